"""Part of _native.pyx: aligned arrays, and weights packed into them."""


def aligned_empty(int64_t count, dtype=np.float32):
    """A 1-D array of `count` elements on an FC_ALIGN boundary, uninitialised."""
    dtype = np.dtype(dtype)
    raw = np.empty(count * dtype.itemsize + FC_ALIGN, np.uint8)
    cdef uintptr_t address = <uintptr_t>cnp.PyArray_DATA(<cnp.ndarray>raw)
    skip = -address % FC_ALIGN
    return raw[skip:skip + count * dtype.itemsize].view(dtype)


def _room(int64_t count, out):
    """Memory for packed floats: `out`, where it is given. Raises ValueError where that has another size."""
    if out is None:
        return aligned_empty(count)
    if out.size != count:
        raise ValueError(f"{out.size} floats of memory for {count}")
    return out


def pack_gemm_b(const float[:, ::1] w, bint transposed, int64_t nv, out=None):
    """Weights w [n][k], or [k][n] when transposed, as panels of nv vectors over n (fc_gemm_pack_b). out: where to."""
    cdef int64_t n = w.shape[1] if transposed else w.shape[0]
    cdef int64_t k = w.shape[0] if transposed else w.shape[1]
    packed = _room(fc_gemm_packed_floats(n, k, nv), out)
    cdef float[::1] y = packed
    if y.shape[0]:
        with nogil:
            fc_gemm_pack_b(&y[0], &w[0, 0], n, k, w.shape[1], transposed, nv)
    return packed


def pack_conv(const float[:, :, :, ::1] w, int64_t groups, int64_t nv, out=None):
    """Weights w [oc][ic][kh][kw] as panels of nv vectors over each group's oc (fc_conv_pack). out: where to."""
    cdef int64_t oc = w.shape[0] // groups, ic = w.shape[1], taps = w.shape[2] * w.shape[3], g
    cdef int64_t floats = fc_gemm_packed_floats(oc, ic * taps, nv)
    packed = _room(groups * floats, out)
    cdef float[::1] y = packed
    if y.shape[0]:
        with nogil:
            for g in range(groups):
                fc_conv_pack(&y[0] + g * floats, &w[0, 0, 0, 0] + g * oc * ic * taps, oc, ic, taps, nv)
    return packed


def pack_winograd(const float[:, :, :, ::1] w, int64_t m, int64_t nv, out=None, int64_t stride=1):
    """Weights w [oc][ic][kh][kw] transformed for F(m, kh) by F(m, kw), of this stride, and packed (fc_winograd_pack). out: where to.

    Raises ValueError where there is no such transform.
    """
    if not fc_winograd_covers(m, w.shape[2], w.shape[3], stride):
        raise ValueError(f"Winograd: no F({m}) of {w.shape[2]}x{w.shape[3]} with a stride of {stride}")
    packed = _room(fc_winograd_packed_floats(m, w.shape[2], w.shape[3], stride, w.shape[0], w.shape[1], nv), out)
    cdef float[::1] y = packed
    if y.shape[0]:
        with nogil:
            fc_winograd_pack(&y[0], &w[0, 0, 0, 0], m, w.shape[2], w.shape[3], stride, w.shape[0], w.shape[1], nv)
    return packed


def qgemm_turns(int64_t nv):
    """Rows of each of the two tiles of 8-bit values, nv vectors wide, that take turns; 0 where there are none."""
    return fc_qgemm_turns(nv)


def qwide_max_mr(int64_t nv):
    """Rows of the tallest tile of 8-bit values, nv vectors wide, over operands that are widened to 16 bits first; 0 where there is none."""
    return fc_qwide_max_mr(nv)


def pack_qconv(const signed char[:, :, :, ::1] w, int64_t groups, int64_t nv, bint whole_rows):
    """8-bit weights w [oc][ic][kh][kw] as panels of nv vectors over each group's oc (fc_qconv_pack); whole_rows: k has a run a kernel row."""
    cdef int64_t oc = w.shape[0] // groups, ic = w.shape[1], kh = w.shape[2], kw = w.shape[3], g
    cdef int64_t nbytes = fc_qconv_packed_bytes(oc, ic, kh, kw, whole_rows)
    packed = aligned_empty(groups * nbytes, np.int8)
    cdef signed char[::1] out = packed
    if out.shape[0]:
        with nogil:
            for g in range(groups):
                fc_qconv_pack(&out[0] + g * nbytes, &w[0, 0, 0, 0] + g * oc * ic * kh * kw, oc, ic, kh, kw, nv, whole_rows)
    return packed


def pack_qdepthwise(const signed char[:, :, ::1] w, int64_t sh, int64_t dh):
    """8-bit weights w [c][kh][kw] of a depthwise convolution with such strides and dilations of rows (fc_qdepthwise_pack)."""
    packed = aligned_empty(fc_qdepthwise_packed_bytes(w.shape[0], w.shape[1], w.shape[2], sh, dh), np.int8)
    cdef signed char[::1] out = packed
    if out.shape[0]:
        with nogil:
            fc_qdepthwise_pack(&out[0], &w[0, 0, 0], w.shape[0], w.shape[1], w.shape[2], sh, dh)
    return packed


def pgemm_odd_runs():
    """Whether these tiles take runs of k of an odd length."""
    return bool(fc_pgemm_odd_runs())


def pgemm_halves():
    """Whether half a vector of columns has tiles of its own, which multiply no more."""
    return bool(fc_pgemm_halves())
