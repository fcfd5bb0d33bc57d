"""Which algorithm, tile and blocking compute a convolution on this machine, and its weights packed for them."""
from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from fastcnn import _native
from fastcnn.convolve import grouped
from fastcnn.convolve.lanes import group_tables
from fastcnn.convolve.tile import CACHE_LINE_FLOATS, best_nv
from fastcnn.convolve.winograd import TILE_VECTORS, choose_winograd, covers
from fastcnn.machine.current import current

NOWHERE = 1 << 30       # padding before an axis so wide that no window meets the input: outputs are the bias


@dataclass(frozen=True)
class ConvShape:
    """ic and oc are per group; pt and pl may be negative (the window starts inside) or NOWHERE (it never meets the input).

    An axis with a single tap has dilation 1, whatever it is made with: nothing lies between taps there. strict: fastcnn.convolve.accuracy.
    """

    n: int
    groups: int
    ic: int
    oc: int
    kh: int
    kw: int
    sh: int
    sw: int
    dh: int
    dw: int
    pt: int
    pl: int
    ih: int
    iw: int
    oh: int
    ow: int
    strict: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        for dilation, taps in (("dh", self.kh), ("dw", self.kw)):
            if taps == 1:
                object.__setattr__(self, dilation, 1)

    @property
    def macs(self) -> int:
        return self.n * self.groups * self.ic * self.oc * self.kh * self.kw * self.oh * self.ow

    @property
    def k(self) -> int:
        return self.kh * self.kw * self.ic

    @property
    def dilations(self) -> tuple[int, int]:
        return self.dh, self.dw

    @property
    def touches_padding(self) -> bool:
        """Whether any window leaves the input."""
        bottom = (self.oh - 1) * self.sh - self.pt + (self.kh - 1) * self.dh
        right = (self.ow - 1) * self.sw - self.pl + (self.kw - 1) * self.dw
        return self.pt > 0 or self.pl > 0 or bottom >= self.ih or right >= self.iw

    @property
    def splits_taps(self) -> bool:
        """Whether in some kernel column part of the output reads padding and part does not; rows are looked at one by one anyway.

        An undilated kernel row is one run: there any column in padding counts.
        """
        ranges = [self.valid_columns(s) for s in range(self.kw)]
        if self.dw == 1:
            return any(valid != (0, self.ow) for valid in ranges)
        return any(0 < end - begin < self.ow for begin, end in ranges)

    def __str__(self) -> str:
        stride = f"stride {self.sh}" if self.sh == self.sw else f"strides {self.sh}x{self.sw}"
        dilated = f" dilation {self.dh}x{self.dw}" if self.dilations != (1, 1) else ""
        groups = f" groups {self.groups}" if self.groups > 1 else ""
        images = f"{self.n}x" if self.n > 1 else ""
        sizes = f"{images}{self.ih}x{self.iw}x{self.groups * self.ic} -> {self.groups * self.oc}"
        return f"{sizes}, {self.kh}x{self.kw} {stride}{dilated}{groups}{', strict' if self.strict else ''}"

    def valid_columns(self, s: int) -> tuple[int, int]:
        """Output columns [begin, end) whose kernel column s reads the input; begin == end where none does."""
        first = self.pl - s * self.dw
        begin = min(max(0, -(-first // self.sw)), self.ow)
        return begin, max(begin, min(self.ow, (self.iw - 1 + first) // self.sw + 1))


@dataclass(frozen=True)
class ConvChoice:
    """A step kind, the shape as the step sees it, its own fields, and what its packed weights depend on."""

    algorithm: str
    shape: ConvShape
    fields: dict[str, Any]
    packing: tuple[Any, ...]


Places = tuple[tuple[int, ...], ...]          # strides (n, c, h, w) of x, y and, when there is one, the residual


def choose(shape: ConvShape, places: Places, threads: int) -> ConvChoice:
    """The planner's pick for one convolution."""
    if is_depthwise(shape):
        return depthwise(shape)
    if fills_vectors(shape):
        return rotated_groups(shape, threads)
    if by_lanes(shape):
        return depthwise(shape)
    if grouped.laces(shape.groups, shape.ic, shape.oc, _native.vector_length()):
        return laced(shape, threads)
    phase = phase_of(shape)
    if phase is not None:
        picked = choose_winograd((phase.kh, phase.kw), phase.ic, phase.oc, phase.oh, phase.ow, phase.n, threads)
        if picked is not None:
            return on_phases(winograd(phase, *picked), shape, places)
    if is_winograd_window(shape) and shape.dilations == (1, 1):
        picked = choose_winograd((shape.kh, shape.kw), shape.ic, shape.oc, shape.oh, shape.ow, shape.n, threads)
        if picked is not None:
            return winograd(shape, *picked)
    return implicit_gemm(flatten(shape, places), places, threads)


def without_weights(shape: ConvShape, places: Places, threads: int) -> ConvChoice:
    """The pick where the weights exist only at run time: what packs them by moving them."""
    laned = is_depthwise(shape) or by_lanes(shape)
    return depthwise(shape) if laned else implicit_gemm(flatten(shape, places), places, threads)


def is_depthwise(shape: ConvShape) -> bool:
    """One input and one output channel a group."""
    return shape.ic == 1 and shape.oc == 1 and shape.groups > 1


def is_winograd_window(shape: ConvShape) -> bool:
    """Dense, stride 1, 3x3 and others: what Winograd covers, and may compute."""
    return not shape.strict and shape.groups == 1 and (shape.sh, shape.sw) == (1, 1) and covers((shape.kh, shape.kw))


def phase_of(shape: ConvShape) -> ConvShape | None:
    """A convolution dilated by dh and dw as dh*dw times as many images: every dh-th row and dw-th pixel is an undilated one of its own.

    None where the phases are not all alike (extents or padding no multiple of the dilation) and for batches dilated along both axes.
    """
    dh, dw = shape.dilations
    even = not any(v % dh for v in (shape.ih, shape.oh, shape.pt)) and not any(v % dw for v in (shape.iw, shape.ow, shape.pl))
    if not is_winograd_window(shape) or dh == dw == 1 or (shape.n != 1 and min(dh, dw) > 1) or not even:
        return None
    return replace(shape, n=shape.n * dh * dw, dh=1, dw=1, pt=shape.pt // dh, pl=shape.pl // dw, ih=shape.ih // dh, iw=shape.iw // dw,
                   oh=shape.oh // dh, ow=shape.ow // dw)


def on_phases(picked: ConvChoice, dilated: ConvShape, places: Places) -> ConvChoice:
    """A choice for the phases of a dilated convolution, with the strides that walk them: runs of the phases of a row, or of an image."""
    dh, dw = dilated.dilations
    fields = {**picked.fields, "inner": dw if dw > 1 else dh}
    for prefix, (image, _, row, pixel) in zip("xyr", places):
        fields.update({f"{prefix}_image": pixel if dw > 1 else row, f"{prefix}_outer": row if dh > 1 and dw > 1 else image,
                       f"{prefix}_row": dh * row, f"{prefix}_pixel": dw * pixel})
    return replace(picked, fields=fields)


def fills_vectors(shape: ConvShape) -> bool:
    """Groups of 2, 4 or 8 channels, as many outputs as inputs, in whole vectors."""
    return grouped.covers(shape.groups, shape.ic, shape.oc, _native.vector_length())


def shares_vectors(shape: ConvShape) -> bool:
    """Whether the outputs of two groups or more fit a vector, each lane of which can be given the channels that it sees."""
    narrow = shape.groups > 1 and 2 * shape.oc <= _native.vector_length()
    return narrow and group_tables(shape.groups, shape.ic, shape.oc) is not None


def by_lanes(shape: ConvShape) -> bool:
    """Whether groups that share vectors are quicker so than one by one in tiles half empty or more.

    Merged to a block diagonal they were between the two; then NaN of one group spread to others, as zeros times NaN. Merged, by lanes and
    one by one in us: 56x56, 64 groups of 1 to 2, 3x3 300, 61, 706; 28x28, 64 of 2 to 1 125, 21, 270; 16 of 3 to 3 58, 22, 83; 32 of 4 to
    4 dilated 141, 88, 223; of half a vector each, 16 of 4 to 8 -, 78, 99; 16 of 8 to 8 dilated 141, 194, 155 (2026-11-29, EPYC 9005,
    AVX-512, one thread).
    """
    return shares_vectors(shape) and (2 * shape.oc < _native.vector_length() or shape.ic < shape.oc)


def rotated_groups(shape: ConvShape, threads: int) -> ConvChoice:
    """Several groups in a vector, whose sums are rotated."""
    columns = (shape.ow - 1) * shape.sw + (shape.kw - 1) * shape.dw + 1
    block = fused_rows(4 * columns * grouped.TOGETHER, shape.sh, shape.oh)
    fields = {"c": shape.groups * shape.ic, "width": shape.ic, "block": block}
    return ConvChoice("grouped", shape, fields, (_native.vector_length(),))


def laced(shape: ConvShape, threads: int) -> ConvChoice:
    """Two groups of one and a half vectors as one of three: no lane multiplies what is not there."""
    two = replace(shape, groups=shape.groups // 2, oc=2 * shape.oc)
    fields = conv(two, grouped.LACED_NV, True, block_rows(shape, threads), False).fields
    return ConvChoice("conv", two, {**fields, "laced": 1}, (two.groups, grouped.LACED_NV, "laced"))


def depthwise(shape: ConvShape) -> ConvChoice:
    """A lane an output: of groups of one channel its own channel of x, of others those that lanes() tells."""
    chosen = 0 if is_depthwise(shape) else shape.groups * shape.ic
    return ConvChoice("depthwise", shape, {"c": shape.groups * shape.oc, "ic": shape.ic, "x_c": chosen}, ())


def lanes(picked: ConvChoice) -> np.ndarray | None:
    """The operand that tells a depthwise step which channels of x its lanes see; None where the step takes none."""
    if not picked.fields.get("x_c"):
        return None
    return group_tables(picked.shape.groups, picked.shape.ic, picked.shape.oc)


def winograd(shape: ConvShape, m: int, tiles: int) -> ConvChoice:
    """F(m, r) in blocks of `tiles` tiles."""
    fields = {"ic": shape.ic, "oc": shape.oc, "nv": TILE_VECTORS, "m": m, "tiles": tiles, "inner": max(shape.n, 1), "x_outer": 0,
              "y_outer": 0, "r_outer": 0}
    return ConvChoice("winograd", shape, fields, (m, TILE_VECTORS))


def flatten(shape: ConvShape, places: Places) -> ConvShape:
    """A 1x1 convolution that skips nothing as one long row of pixels; images join when they too lie evenly."""
    pointwise = (shape.kh, shape.kw, shape.sh, shape.sw) == (1, 1, 1, 1) and not shape.touches_padding
    if not pointwise or (shape.ih, shape.iw) != (shape.oh, shape.ow):
        return shape
    if all(s[2] == shape.ow * s[3] or shape.oh == 1 for s in places):
        shape = replace(shape, ih=1, iw=shape.ih * shape.iw, oh=1, ow=shape.oh * shape.ow)
        if all(s[0] == shape.ow * s[3] or shape.n == 1 for s in places):
            shape = replace(shape, n=1, iw=shape.n * shape.iw, ow=shape.n * shape.ow)
    return shape


def implicit_gemm(shape: ConvShape, places: Places, threads: int) -> ConvChoice:
    """The conv step, in place or through a band.

    Short runs of k too: 28x28, one channel to 32, 3x3 takes 3.7 us in place and 21.6 by im2col, which is faster nowhere (2026-11-21, Xeon).
    """
    nv = best_nv(shape.oc, shape.ow, shape.k, streamed(shape, places, threads))
    dense = places[0][3] == shape.ic and shape.groups == 1
    band = shape.splits_taps or (shape.kw > 1 and not dense and shape.ic < CACHE_LINE_FLOATS)
    nv = pair_nv(shape, band) or nv
    block = block_rows(shape, threads) if band else block_tiles(shape, nv, places, threads)
    return conv(shape, nv, band, block, splits_columns(shape, nv, band, threads))


def pair_nv(shape: ConvShape, band: bool) -> int:
    """The width of tile that takes two output rows at once where rows are that narrow; 0 where there is none.

    b is then read half as often: 512 to 512 channels, 3x3 on 7x7 1.26 -> 1.11 ms with weights in L2 (2026-11-21, Xeon, AVX-512).
    """
    nv = _native.gemm_pair(shape.ow) if band and shape.dw == 1 and shape.oh > 1 else 0
    return nv if shape.oc > (nv - 1) * _native.vector_length() else 0


def conv(shape: ConvShape, nv: int, band: bool, block: int, split: bool) -> ConvChoice:
    """The implicit GEMM: tiles nv vectors wide, `block` rows (band) or tiles of x at a time; split: threads share output channels."""
    fields = {"groups": shape.groups, "ic": shape.ic, "oc": shape.oc, "nv": nv, "band": int(band), "block": block,
              "split_columns": int(split), "y_gap": 0, "laced": 0}
    return ConvChoice("conv", shape, fields, (shape.groups, nv))


def banded(shape: ConvShape, threads: int, nv: int = 0, factor: float = 1) -> ConvChoice:
    """The implicit GEMM on rows of x copied to a band, whatever the window: for what happens to x on the way there.

    nv, factor  for tuning: another tile width, more or fewer rows at a time than the caches suggest
    """
    nv = nv or best_nv(shape.oc, shape.ow, shape.k)
    block = max(1, min(shape.oh, int(factor * block_rows(shape, threads))))
    return conv(shape, nv, True, block, splits_columns(shape, nv, True, threads))


def im2col(shape: ConvShape, nv: int) -> ConvChoice:
    """The matrix of all windows, a tile of rows at a time."""
    return ConvChoice("im2col", shape, conv(shape, nv, False, 1, False).fields, (shape.groups, nv))


def streams_weights(shape: ConvShape) -> bool:
    """One row of x against weights from beyond L2: panels of any width are the same stream."""
    return shape.n * shape.oh * shape.ow == 1 and 4 * shape.k * shape.oc * shape.groups > current().l2_bytes


def block_rows(shape: ConvShape, threads: int) -> int:
    """Output rows whose input band fills a quarter of L2, the rest is for weights and results.

    One row where half of L1 holds the weights, which then need not last: its band stays in L1 and the next rows of x are on their way
    meanwhile. 3 channels of 224x224 to 16 and 32, 3x3 stride 2: 107 -> 96 us, 149 -> 131 us (2026-11-21, Xeon, AVX-512).
    """
    if 4 * shape.k * shape.oc * shape.groups <= current().l1d_bytes // 2 and not _native.gemm_pair(shape.ow):
        return 1
    row_bytes = 4 * ((shape.ow - 1) * shape.sw + (shape.kw - 1) * shape.dw + 1) * shape.ic * shape.groups
    room = current().l2_bytes // 4 // max(row_bytes, 1)
    rows = (room - (shape.kh - 1) * shape.dh - 1) // shape.sh + 1
    share = -(-shape.oh * shape.n // threads)
    return max(1, min(rows, shape.oh, share))


def streamed(shape: ConvShape, places: Places, threads: int) -> int:
    """Maps of the output's size, residual included, that pass L2 by because all maps of the layer together outgrow it; 0: they stay."""
    pixels, outputs = shape.oh * shape.ow, len(places) - 1
    maps = 4 * shape.n * shape.groups * (x_pixels(shape) * shape.ic + outputs * pixels * shape.oc)
    return outputs if maps > threads * current().l2_bytes else 0


def x_pixels(shape: ConvShape) -> int:
    """Pixels of an image that some window reads, about."""
    return min(shape.ih * shape.iw, shape.oh * shape.ow * shape.kh * shape.kw)


def block_tiles(shape: ConvShape, nv: int, places: Places, threads: int) -> int:
    """Tiles whose part of x fills a quarter of L2 while the panels of w pass over them; with y and residual where those pass it by.

    All tiles as one block where that takes half of L2 and saves reading weights twice that L2 does not keep: 8x8, 2048 to 384 channels,
    0.67 -> 0.55 ms (2026-11-21, Xeon, AVX-512, cold); where L2 keeps them one block is 1 % slower on average.
    """
    per_row = -(-shape.ow // _native.gemm_max_mr(nv))
    whole = shape.oh * per_row
    image_bytes = 4 * (x_pixels(shape) * shape.ic + streamed(shape, places, threads) * shape.oh * shape.ow * shape.oc)
    tiles = max(1, current().l2_bytes // 4 * whole // max(image_bytes, 1))
    again = 4 * shape.k * shape.oc > current().l2_bytes // 2 and 4 * x_pixels(shape) * shape.ic <= current().l2_bytes
    return whole if again else min(tiles, whole)


def fused_rows(row_bytes: int, stride: int, out_rows: int, factor: float = 1) -> int:
    """Output rows at a time of fused convolutions: the ring of rows between them should leave L1 little.

    With 64 KB a quarter to four times that: within 2 % on MobileNetV2, MNASNet and EfficientNet-B0; 256 KB: 4 to 8 % of MobileNetV2 (Xeon).
    """
    return max(1, min(out_rows, int(factor * current().ring_bytes) // row_bytes // stride))


def strip_rows(row_bytes: int, kernel: int, stride: int, out_rows: int, factor: float = 1) -> int:
    """Output rows at a time of a pooling: those whose strip of the convolution's rows fills an eighth of L2.

    A third to a 24th: within the noise on ResNet-18, SqueezeNet and ShuffleNet, slower at either end (Xeon, one thread, 2026-11-21).
    """
    rows = int(factor * current().l2_bytes) // 8 // max(row_bytes, 1)
    return max(1, min(out_rows, (rows - kernel) // stride + 1))


def chained_rows(rows: int, width: int, threads: int, factor: float = 1) -> int:
    """Rows of a chain of products whose part between the two, `width` floats each, fills a quarter of the threads' L2; blocks are alike.

    ConvNeXt-T by a half, a quarter and an eighth: 0.981, 0.972, 0.973 of the time without (Xeon, one thread, 2026-11-21).
    """
    blocks = -(-16 * width * rows // max(int(factor * current().l2_bytes * threads), 1))
    return -(-rows // max(blocks, 1))


def splits_columns(shape: ConvShape, nv: int, band: bool, threads: int) -> bool:
    """Threads share output channels where rows are too few to share evenly, or where the weights outweigh them.

    So each weight is read once.
    """
    if threads == 1:
        return False
    panels = -(-shape.oc // (nv * _native.vector_length()))
    units = shape.n * shape.oh * (1 if band else -(-shape.ow // _native.gemm_max_mr(nv)))
    if panels < threads:
        return False
    return units < 4 * threads or shape.k * shape.oc > 4 * shape.n * shape.ih * shape.iw * shape.ic


def pack(choice: ConvChoice, w: np.ndarray) -> np.ndarray:
    """w (M, C/group, kh, kw) packed for the step that was chosen."""
    columns = w[:, :, 0, 0].T
    as_they_are = choice.packing[:1] == (1,) and not choice.packing[2:] and w.shape[2:] == (1, 1)       # one group, not laced
    if as_they_are and columns.flags.c_contiguous and w.dtype == np.float32:
        return _native.pack_gemm_b(columns, True, choice.packing[1])        # MatMul's weights as they lie
    w = np.ascontiguousarray(w, np.float32)
    if choice.algorithm == "depthwise":
        return _aligned(w.transpose(2, 1, 3, 0))
    if choice.algorithm == "grouped":
        return _aligned(grouped.packed(w, *choice.packing))
    if choice.algorithm == "winograd":
        return _native.pack_winograd(w, *choice.packing)
    if choice.packing[2:] == ("laced",):
        return _native.pack_conv(grouped.laced(w, choice.shape.oc), *choice.packing[:2])
    return _native.pack_conv(w, *choice.packing)


def _aligned(array: np.ndarray) -> np.ndarray:
    out = _native.aligned_empty(array.size)
    out[:] = array.ravel()
    return out
