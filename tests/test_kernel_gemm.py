"""Every register tile of fc_gemm against float64: sizes, bias, residual, clamps, k in several blocks; and matmul."""
from __future__ import annotations

import re

import numpy as np
import pytest
from conv_step import Case, operands, reference, run_conv
from step_helper import Guarded, assert_close, run_step, tolerance, unary_number

from fastcnn import _native

# k of one tile; the last is a layer of ResNet-50
LENGTHS = (1, 2, 7, 64, 521)
IM2COL_KC = 1024                # fastcnn_c/ops/im2col.c: longer sums go in blocks, the later ones accumulate


def tiles() -> list[tuple[str, str, int, int]]:
    """(kernel, instruction set, mr, nr) of every tile this machine can run."""
    return [(name, isa, *map(int, re.match(r"fc_gemm_f32_(\d+)x(\d+)__", name).groups()))
            for isa in _native.isas() for name in _native.kernels(isa) if re.match(r"fc_gemm_f32_\d", name)]


@pytest.fixture(params=tiles(), ids=lambda tile: tile[0])
def tile(request):
    """(mr, nv, nr) of each tile, its instruction set selected."""
    _, isa, mr, nr = request.param
    before = _native.current_isa()
    _native.set_isa(isa)
    yield mr, nr // _native.vector_length(), nr
    _native.set_isa(before)


def widths(nv: int, nr: int) -> list[int]:
    """Columns that take this width of tile: the fewest, one more, one less than all, all."""
    v = nr // nv
    return sorted({nr - v + 1, min(nr - v + 2, nr), max(nr - 1, nr - v + 1), nr})


@pytest.mark.parametrize("k", LENGTHS)
def test_gemm_sum_of_products(tile, k):
    mr, nv, nr = tile
    for n in widths(nv, nr):
        case = Case(k, n, ow=mr, x_gap=3, y_gap=5)
        data = operands(case)
        assert_close(run_conv(case, data, nv=nv, block=3), reference(case, data.x, data.w), tolerance(k), f"n={n}")


def test_gemm_bias_residual_and_clamp(tile):
    mr, nv, nr = tile
    for n in widths(nv, nr):
        case = Case(19, n, ow=mr, y_gap=1)
        data = operands(case, 1)
        plain = reference(case, data.x, data.w)
        sums = {(False, True): plain + data.residual, (True, False): plain + data.bias,
                (True, True): plain + data.bias + data.residual}
        for (bias, residual), expected in sums.items():
            y = run_conv(case, data, nv=nv, bias=bias, residual=residual)
            assert_close(y, expected, tolerance(19), f"n={n} bias={bias} residual={residual}")
            y = run_conv(case, data, nv=nv, bias=bias, residual=residual, fn="Relu")
            assert_close(y, np.maximum(expected, 0), tolerance(19), f"n={n} Relu")
            y = run_conv(case, data, nv=nv, bias=bias, residual=residual, fn="Clip", alpha=-0.25, beta=0.5)
            assert_close(y, expected.clip(-0.25, 0.5), tolerance(19), f"n={n} Clip")


@pytest.mark.parametrize("block", [1, 3, 100])
def test_gemm_tiles_that_continue_a_row(tile, block):
    """Tiles of one height go into one call, which takes as many as a block has and its k allows; k of 521 leaves two in a call."""
    mr, nv, nr = tile
    for k, tiles in ((7, 5), (521, 4)):
        for ow in (tiles * mr, tiles * mr - 1):
            case = Case(k, max(1, nr - 1), ow=ow, oh=2, x_gap=3, y_gap=5)
            data = operands(case, 4)
            expected = reference(case, data.x, data.w) + data.bias + data.residual
            y = run_conv(case, data, nv=nv, bias=True, residual=True, block=block, fn="Relu")
            assert_close(y, np.maximum(expected, 0), tolerance(k), f"k={k} ow={ow}")


def test_gemm_taps_of_a_window(tile):
    mr, nv, nr = tile
    case = Case(5, nr, kh=2, kw=3, ow=mr, oh=2, dw=2, x_gap=1)
    data = operands(case, 2)
    assert_close(run_conv(case, data, nv=nv, bias=True), reference(case, data.x, data.w) + data.bias, tolerance(30))


def test_gemm_accumulates_over_blocks_of_k(tile):
    mr, nv, nr = tile
    k = 2 * IM2COL_KC + 7
    case = Case(k, nr, ow=mr, y_gap=2)
    data = operands(case, 3)
    y = run_conv(case, data, "im2col", nv=nv, bias=True, residual=True, fn="Relu")
    assert_close(y, np.maximum(reference(case, data.x, data.w) + data.bias + data.residual, 0), tolerance(k))


def test_gemm_propagates_nan_and_infinity_of_the_input(tile):
    mr, nv, nr = tile
    case = Case(3, nr, ow=mr)
    data = operands(case, 4)
    data.x[0, 0, mr - 1, 1] = np.nan
    y = run_conv(case, data, nv=nv)
    assert np.isnan(y[0, 0, mr - 1]).all() and np.isfinite(y[0, 0, :mr - 1]).all()
    data.x[0, 0, mr - 1, 1] = np.inf
    assert (np.abs(run_conv(case, data, nv=nv)[0, 0, mr - 1]) == np.inf).all()


# ---- matmul: the same tiles on operands that both come at run time ----


def run_matmul(a: np.ndarray, b: np.ndarray, batch: tuple[int, ...] = (), *, nv: int = 1, threads: int = 1,
               bias: np.ndarray | None = None,
               fn: str = "None", a_turned: bool = False, b_turned: bool = False, row_bias: bool = False) -> np.ndarray:
    """fn(a @ b + bias) with the batch axes of a and b broadcast; turned: stored with the last two axes exchanged."""
    (m, k), n = a.shape[-2:], b.shape[-1]
    stored = [np.ascontiguousarray(t.swapaxes(-1, -2)) if turned else t for t, turned in ((a, a_turned), (b, b_turned))]
    buffers = [Guarded(t) for t in stored]
    y = Guarded(np.full((*batch, m, n), np.nan, np.float32), output=True)

    def strides(array: np.ndarray) -> list[int]:
        return [s // array.itemsize for s in np.broadcast_to(array, (*batch, *array.shape[-2:])).strides]

    (*y_batch, y_m, _), (*a_batch, a0, a1), (*b_batch, b0, b1) = (strides(g.array) for g in (y, *buffers))
    a_m, a_k = (a1, a0) if a_turned else (a0, a1)
    b_k, b_n = (b1, b0) if b_turned else (b0, b1)
    status = run_step("matmul", [y, *buffers, None if bias is None else Guarded(bias)], threads, ndim=len(batch),
                      shape=batch, y_strides=y_batch,
                      a_strides=a_batch, b_strides=b_batch, m=m, n=n, k=k, a_m=a_m, a_k=a_k, b_k=b_k, b_n=b_n, y_m=y_m,
                      nv=nv, row_bias=int(row_bias),
                      fn=unary_number(fn), alpha=0.3, beta=0.7)
    assert status == 0
    return y.array.copy()


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


@pytest.mark.parametrize("turned", [(False, False), (True, False), (False, True), (True, True)],
                         ids=["nn", "tn", "nt", "tt"])
@pytest.mark.parametrize("m, k, n",
                         [(1, 1, 1), (1, 7, 3), (5, 1, 17), (13, 31, 16), (14, 64, 33), (29, 48, 67), (6, 130, 64)])
def test_matmul_any_orientation(isa, m, k, n, turned):
    a, b = normal(m, k), normal(k, n, seed=1)
    for nv in (1, 2, 3, 4):
        y = run_matmul(a, b, nv=nv, a_turned=turned[0], b_turned=turned[1])
        assert_close(y, a.astype(np.float64) @ b, tolerance(k), f"nv={nv}")


@pytest.mark.parametrize("a_batch, b_batch", [((3,), (3,)), ((2, 3), (3,)), ((1,), (4,)), ((2, 1), (1, 3)), ((), (5,))])
def test_matmul_broadcasts_batches(isa, a_batch, b_batch):
    a, b = normal(*a_batch, 5, 9), normal(*b_batch, 9, 21, seed=1)
    batch = np.broadcast_shapes(a_batch, b_batch)
    assert_close(run_matmul(a, b, batch, nv=2), a.astype(np.float64) @ b, tolerance(9))


@pytest.mark.parametrize("fn", list(_native.UNARY))
def test_matmul_bias_then_every_activation(isa, fn):
    a, b, bias = normal(7, 11), normal(11, 37, seed=1), normal(37, seed=2)
    plain = run_matmul(a, b, nv=2, bias=bias)
    assert_close(plain, a.astype(np.float64) @ b + bias, tolerance(11))
    expected = np.empty(plain.size, np.float32)
    run_step("unary", [expected, plain.ravel()], ndim=1, shape=[plain.size], y_strides=[1], x_strides=[1],
             fn=unary_number(fn), alpha=0.3, beta=0.7)
    np.testing.assert_array_max_ulp(run_matmul(a, b, nv=2, bias=bias, fn=fn), expected.reshape(plain.shape), 2)


def test_matmul_bias_of_rows(isa):
    a, b, bias = normal(29, 11), normal(3, 11, 37, seed=1), normal(29, seed=2)
    expected = np.maximum(a.astype(np.float64) @ b + bias[:, None], 0)
    for nv in (1, 2, 4):
        assert_close(run_matmul(a, b, (3,), nv=nv, bias=bias, row_bias=True, fn="Relu"), expected, tolerance(11))


def test_matmul_is_bitwise_the_same_for_any_number_of_threads(isa):
    a, b = normal(4, 23, 40), normal(4, 40, 150, seed=1)
    one = run_matmul(a, b, (4,), nv=2)
    for threads in (2, 3):
        np.testing.assert_array_equal(run_matmul(a, b, (4,), nv=2, threads=threads), one)


# ---- packing ----


@pytest.mark.parametrize("nv", [1, 2, 3, 4])
@pytest.mark.parametrize("n, k", [(1, 1), (15, 3), (16, 5), (17, 2), (67, 9), (131, 4)])
def test_pack_gemm_b_layout(isa, n, k, nv):
    w, v = normal(n, k), _native.vector_length()
    packed = _native.pack_gemm_b(w, False, nv)
    np.testing.assert_array_equal(packed, _native.pack_gemm_b(np.ascontiguousarray(w.T), True, nv))
    position = 0
    for first in range(0, n, nv * v):
        columns = min(nv * v, n - first)
        width = -(-columns // v) * v
        panel = packed[position:position + k * width].reshape(k, width)
        np.testing.assert_array_equal(panel[:, :columns], w[first:first + columns].T)
        assert not panel[:, columns:].any()
        position += k * width
    assert position == packed.size and packed.ctypes.data % _native.ALIGN == 0
