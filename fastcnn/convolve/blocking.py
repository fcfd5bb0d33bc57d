"""Block sizes: how many rows or tiles to compute at a time so that operands fit the caches; whether threads share rows or channels."""
from __future__ import annotations

import fastcnn._native as _native
from fastcnn.convolve.shape import ConvShape, Places
from fastcnn.machine.current import current


def streams_weights(shape: ConvShape) -> bool:
    """Whether the layer is a matrix-vector product with weights larger than L2: it streams them, whatever the width of panels."""
    return shape.n * shape.oh * shape.ow == 1 and shape.w_bytes > current().l2_bytes


def block_rows(shape: ConvShape, threads: int) -> int:
    """Output rows whose input band fills a quarter of L2, the rest is for weights and results.

    All of L2 where weights take more than half of it: every block reads them from beyond L2 again. 14x14, 512 to 512 channels, 3x3
    stride 2 in blocks of 1, 2, 4 and 7 rows 4.91, 4.24, 3.86, 3.66 ms; 7x7, 1024 in 32 groups 0.86, 0.75, 0.75, 0.66; two threads:
    resnet18 1.019, resnet50 1.018 times as fast (2026-11-30, EPYC Zen 3, weights cold).
    One row where the weights fit half of L1: the band then stays in L1 while the next rows of x are prefetched. 3 channels of 224x224
    to 16 and 32, 3x3 stride 2: 107 -> 96 us, 149 -> 131 us (2026-11-21, Xeon, AVX-512).
    """
    if shape.w_bytes <= current().l1d_bytes // 2 and not _native.gemm_pair(shape.ow):
        return 1
    row_bytes = shape.arithmetic.x.itemsize * shape.columns_seen * shape.ic * shape.groups
    again = shape.w_bytes > current().l2_bytes // 2
    room = current().l2_bytes // (1 if again else 4) // max(row_bytes, 1)
    rows = (room - (shape.kh - 1) * shape.dh - 1) // shape.sh + 1
    share = -(-shape.oh * shape.n // threads)
    return max(1, min(rows, shape.oh, share))


def streamed(shape: ConvShape, places: Places, threads: int) -> int:
    """Number of output-sized tensors (y, residual) that do not fit L2; 0 where all tensors of the layer fit into it together."""
    outputs = len(places) - 1
    maps = shape.n * shape.groups * (shape.x_bytes + outputs * shape.y_bytes)
    return outputs if maps > threads * current().l2_bytes else 0


def block_tiles(shape: ConvShape, nv: int, places: Places, threads: int) -> int:
    """Tiles in a block: their part of x fills a quarter of L2 while all panels of w are multiplied with it.

    All tiles are one block where weights take more than half of L2 and x fits it, so that weights are read only once: 8x8, 2048 to 384
    channels 0.67 -> 0.55 ms (2026-11-21, Xeon, AVX-512, cold); where L2 keeps them one block is 1 % slower on average.
    """
    whole = shape.oh * -(-shape.ow // _native.gemm_max_mr(nv))
    image_bytes = shape.x_bytes + streamed(shape, places, threads) * shape.y_bytes
    tiles = max(1, current().l2_bytes // 4 * whole // max(image_bytes, 1))
    again = shape.w_bytes // shape.groups > current().l2_bytes // 2 and shape.x_bytes <= current().l2_bytes
    return whole if again or _rereads_memory(shape, nv, whole / tiles) else min(tiles, whole)


def _rereads_memory(shape: ConvShape, nv: int, blocks: float) -> bool:
    """Whether weights that L3 does not keep would come from memory for each block, and x from L3 for each panel takes less time.

    A product of 100 rows of 2049 by 4096 columns 67 -> 28 ms (EPYC Zen 3, one thread, 2026-11-30); weights of 4 MB lose 8 % so.
    """
    machine, weights = current(), shape.w_bytes // shape.groups
    panels = -(-shape.oc // (nv * _native.vector_length()))
    return weights > machine.l3_bytes // 2 and panels * shape.x_bytes / machine.l3_weights < (blocks - 1) * weights / machine.memory


def splits_columns(shape: ConvShape, nv: int, band: bool, threads: int) -> bool:
    """Whether threads share output channels instead of rows: there are too few rows, or weights take more than four times the memory of x.

    Each weight is then read by one thread only. But each thread copies the whole band: with few channels a group that costs more than rows
    that do not divide evenly. 1024 channels in 32 groups, 3x3 on two threads, columns and rows shared: 14x14 stride 2 0.66 and 0.51 ms,
    7x7 0.51 and 0.37 (2026-11-30, EPYC Zen 3, weights cold).
    """
    if threads == 1:
        return False
    panels = -(-shape.oc // (nv * _native.vector_length()))
    units = shape.n * shape.oh * (1 if band else -(-shape.ow // _native.gemm_max_mr(nv)))
    if panels < threads or (band and shape.groups > 1 and units >= 2 * threads):
        return False
    return units < 4 * threads or shape.k * shape.oc > 4 * shape.n * shape.ih * shape.iw * shape.ic


def fused_rows(row_bytes: int, stride: int, out_rows: int, factor: float = 1) -> int:
    """Output rows at a time of two fused convolutions: the ring of rows between them should stay in L1.

    With 64 KB a quarter to four times that: within 2 % on MobileNetV2, MNASNet and EfficientNet-B0; 256 KB: 4 to 8 % of MobileNetV2 (Xeon).
    """
    return max(1, min(out_rows, int(factor * current().ring_bytes) // row_bytes // stride))


def whole_tiles(rows: int, tile: int) -> int:
    """The number of rows rounded down to whole tiles of the depthwise kernel, at least one tile."""
    return max(tile, rows // tile * tile)


def strip_rows(row_bytes: int, kernel: int, stride: int, out_rows: int, factor: float = 1) -> int:
    """Output rows at a time of a convolution fused with pooling: the strip of convolution rows between them fills an eighth of L2.

    A third to a 24th: within the noise on ResNet-18, SqueezeNet and ShuffleNet, slower at either end (Xeon, one thread, 2026-11-21).
    """
    rows = int(factor * current().l2_bytes) // 8 // max(row_bytes, 1)
    return max(1, min(out_rows, (rows - kernel) // stride + 1))


def chained_rows(rows: int, width: int, threads: int, factor: float = 1) -> int:
    """Rows at a time of two chained matrix products: the rows between them, `width` floats each, fill a quarter of the threads' L2.

    ConvNeXt-T by a half, a quarter and an eighth: 0.981, 0.972, 0.973 of the time without (Xeon, one thread, 2026-11-21).
    """
    blocks = -(-16 * width * rows // max(int(factor * current().l2_bytes * threads), 1))
    return -(-rows // max(blocks, 1))
