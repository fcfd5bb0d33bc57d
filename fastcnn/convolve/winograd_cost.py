"""Decides when Winograd's F(m, r) computes a convolution, with which m and in blocks of how many tiles.

Along both axes for windows of 2x2 to 5x5, along one for 1x2, 1x3, 1x5, 1x7 and their transposes, with a stride of 1; for 3x3 with a stride
of 2 too. A cost model in cycles of one core,
against that of the implicit GEMM in tile.py; the numbers are those of the machine (fastcnn/machine/table.py). On 64 3x3 layers of ResNet,
VGG, DenseNet, GoogLeNet, Inception and ShuffleNet, weights from memory as in a network, the pick takes 2.6 % more time than the best of
direct, F(2,3) and F(4,3) with 7 block sizes each on average (AVX-512 3.6, AVX2 1.6). 2026-11-21, Intel Xeon (AVX-512, 3.3 GHz, 2 MB L2),
gcc 12.2, one thread; reproduce with `python -m bench.layers --cold resnet18 resnet50 vgg16 densenet121 googlenet inception_v3`.
Direct / F(2,3) / F(4,3) in ms, cold weights (warm differs by less than 10 % except where given as cold; warm):

    224x224 64->64    22.2 / 11.5 / 7.2        14x14 256->256   1.39 / 0.80 / 0.67
    112x112 128->128  20.7 / 11.0 / 6.9        14x14 512->512   5.50 / 2.82 / 3.13; 5.37 / 2.67 / 2.45
    56x56 64->64      1.36 / 0.77 / 0.51       7x7 512->512     1.85 / 1.22 / 1.65; 1.76 / 1.00 / 1.31
    56x56 256->256    21.3 / 11.2 / 6.7        7x7 128->128     0.146 / 0.144 / 0.136; 0.087 / 0.055 / 0.058
    28x28 128->128    1.34 / 0.69 / 0.46       56x56 16->16     0.121 / 0.112 / 0.079
    28x28 512->512    21.5 / 11.0 / 7.6        112x112 8->8     0.247 / 0.348 / 0.231
    20x20 256->256    2.68 / 1.39 / 0.93       4x4 256->256     0.177 / 0.177 / 0.324

The other windows, on the same machine, one thread, cold weights: direct / the best of each m in ms.

    5x5 27x27 64->192   1.89 / F(2,5) 1.06 / F(3,5) 0.69       1x7 17x17 128->128  0.311 / F(3,7) 0.161
    5x5 35x35 48->64    0.83 / F(2,5) 0.43 / F(3,5) 0.29       7x1 17x17 192->192  0.632 / F(3,7) 0.369
    1x3 32x64 64->64    0.234 / F(2,3) 0.202 / F(4,3) 0.153    7x1 17x17 224->256  0.985 / F(3,7) 0.572
    1x3 8x8 384->384    0.300 / F(2,3) 0.294 / F(4,3) 0.341    7x1 73x73 64->64    1.394 / F(3,7) 0.809
    2x2 32x32 128->64   0.330 / F(3,2) 0.205                   2x2 8x8 512->256    0.454 / F(3,2) 0.786
    2x2 64x64 64->64    0.712 / F(3,2) 0.430                   4x4 28x28 64->64    0.419 / F(3,4) 0.167

On 68 layers of one axis the pick takes 2.1 % more time than the best on average (AVX2 1.6), on 18 of 5x5 0.5 % (2.3).

Rounding error, RMS to that of the direct kernel (Relu inputs, He weights, 17x17, 32 outputs) with 16, 64 and 192 input channels:

    3x3  F(2,3) 0.9 0.8 0.7   F(4,3) 2.5 2.2 2.1     1x5  F(2,5) 1.6 1.4 1.4   F(4,5) 3.2 2.5 2.6
    5x5  F(2,5) 1.9 1.5 1.4   F(3,5) 3.3 2.6 2.5     1x7  F(3,7) 4.2 3.5 3.6
    1x3  F(2,3) 1.1 0.9 0.9   F(4,3) 1.8 1.6 1.6     4x4  F(3,4) 1.9 1.6 1.5
    2x2  F(3,2) 1.3 1.1 1.1                          1x2  F(3,2) 1.2 1.2 1.0

Past the bound, so there are no kernels: 3x3 F(6,3) 10.7 9.2 8.4, 5x5 F(4,5) 6.5 5.2 4.9, 1x7 F(4,7) 6.7 5.2 5.5.
bench/notes/winograd.md has their times. F(2,7), 3.0 2.4 2.5, is never the fastest.
"""
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import inf

import fastcnn._native as _native
from fastcnn.convolve.arithmetic import WORD
from fastcnn.convolve.tile import best_nv, tile_cycles
from fastcnn.machine.current import cached, current, weights_rate

# Of L2, V and M of one block, and the weights if they stay there; the rest is for x and y, which weigh more along one axis: 1.3 to 3
# positions a pixel instead of 2.25 to 9.
BOTH_SHARE, ONE_SHARE = 0.6, 0.4
WORTH_IT = 0.9              # of the direct kernel's time: below that the gain pays for the larger rounding error
# With a stride of 2 the transforms add few terms: their share of the time of the others, in and out. 3x3 of 16 to 256 channels, 28x28 to
# 160x160: 4.8 to 6.2 cycles a position and vector where the row has 12 and 7. Weights that L2 keeps come again at its whole rate: 160x160,
# 64 to 128 channels 5.2, 4.9, 4.9 and 5.4 ms in blocks of 14, 28, 42 and 80 tiles (2026-11-30, Intel family 6 model 207).
STRIDED_IN, STRIDED_OUT, STRIDED_SHARE = 0.5, 0.8, 0.8
# Width of the register tile in vectors. Two make the tallest tiles, so a block passes over the weights the fewest times: within 3 % of
# the best width on average over the same layers, where three cost 5 % and four 7 % (23 % with AVX2's 16 registers).
TILE_VECTORS = 2
# Window, the shorter side first -> {m: input channels from which on}: with fewer the error passes four times the direct kernel's.
FORMS = {(2, 2): {3: 16}, (3, 3): {2: 1, 4: 16}, (4, 4): {3: 16}, (5, 5): {2: 16, 3: 16},
         (1, 2): {3: 16}, (1, 3): {2: 16, 4: 16}, (1, 5): {2: 16, 4: 16}, (1, 7): {3: 32}}
# With a stride of 2: 25 products instead of 36. Fewer channels gain nothing: 160x160, 32 to 64 1.48 to 1.55 ms, direct 1.53.
STRIDED_FORMS = {(3, 3): {2: 48}}
# Threads that share a block read a part of the weights each, and so many of them have a core's whole rate from memory (a guess beyond two).
# ResNet-18 on two threads, 14x14x256 and 7x7x512: 373 and 684 us with a block for each thread, 272 and 444 with shared ones, 373 and 679 on
# one thread (EPYC Zen 5, 2026-11-29).
STREAMS = 4
# Cycles of each shared block: three barriers, maps that cross between cores, weights that were prefetched and cost nothing to read twice.
# RegNet-Y's groups of 24 channels (83 KB of weights each) lose 14000 a step by sharing, DenseNet's 128 to 32 channels (590 KB) some 40000.
SHARED_BLOCK = 40_000
BLOCK_SIZES = (14, 28, 42, 56, 84, 112, 168)      # tiles; whole register tiles of 14, 7 and 6 rows


@cached
def choose_winograd(kernel: tuple[int, int], ic: int, oc: int, oh: int, ow: int, n: int, threads: int,
                    stride: int = 1) -> tuple[int, int] | None:
    """(m, tiles per block), or None for the direct kernel.

    m is chosen for one thread, so that the bits are the same for any number of threads; the block size is chosen for `threads`.
    """
    cost, m, alone = min(_candidates(kernel, ic, oc, oh, ow, n, 1, stride), default=(inf, 0, 0))
    if cost >= WORTH_IT * direct_cycles(kernel, ic, oc, oh, ow, n, 1):
        return None
    if threads == 1:
        return m, alone
    return min((cost, m, tiles) for cost, other, tiles in _candidates(kernel, ic, oc, oh, ow, n, threads, stride)
               if other == m)[1:]


def _candidates(kernel: tuple[int, int], ic: int, oc: int, oh: int, ow: int, n: int, threads: int,
                stride: int) -> Iterator[tuple[float, int, int]]:
    for m in forms(kernel, ic, stride):
        total = tile_count(kernel, m, n, oh, ow)
        for tiles in {even_tiles(total, size, threads) for size in BLOCK_SIZES}:
            yield winograd_cycles(kernel, m, ic, oc, total, tiles, threads, stride), m, tiles


def has_transforms(kernel: tuple[int, int], strides: tuple[int, int] = (1, 1)) -> bool:
    """Whether there are transforms for a window with these strides, without dilation."""
    return strides[0] == strides[1] and (min(kernel), max(kernel)) in _forms_of(strides[0])


def forms(kernel: tuple[int, int], ic: int, stride: int = 1) -> Sequence[int]:
    """Every m for which F(m, r) keeps the error bound with this number of input channels."""
    return [m for m, fewest in _forms_of(stride).get((min(kernel), max(kernel)), {}).items() if ic >= fewest]


def _forms_of(stride: int) -> Mapping[tuple[int, int], Mapping[int, int]]:
    return {1: FORMS, 2: STRIDED_FORMS}.get(stride, {})


def tile_count(kernel: tuple[int, int], m: int, n: int, oh: int, ow: int) -> int:
    """Tiles of n images: m outputs along each axis where the window is wider than 1."""
    rows, columns = (-(-size // m) if r > 1 else size for r, size in zip(kernel, (oh, ow), strict=True))
    return n * rows * columns


def positions_of(kernel: tuple[int, int], m: int, stride: int = 1) -> int:
    """Products per tile: m + r - 1 along each axis where the window is wider than 1; with a stride of 2 as many as the tile sees pixels."""
    rows, columns = ((m - 1) * stride + r if r > 1 else 1 for r in kernel)
    return rows * columns


def even_tiles(total: int, size: int, threads: int) -> int:
    """Blocks of at most `size` tiles, nearly equal, a multiple of the threads where there are enough tiles for that."""
    blocks = -(-total // size)
    if total >= threads * BLOCK_SIZES[0]:
        blocks = -(-blocks // threads) * threads
    return -(-total // blocks)


def direct_cycles(kernel: tuple[int, int], ic: int, oc: int, oh: int, ow: int, n: int, threads: int) -> float:
    """The implicit GEMM's time with its best tile width."""
    machine, vector = current(), _native.vector_length()
    taps, columns, rows = kernel[0] * kernel[1], -(-oc // vector), n * oh
    work = rows * tile_cycles(oc, ow, taps * ic, best_nv(oc, ow, taps * ic))
    if kernel[1] > 1:
        work += taps * rows * ow * -(-ic // vector) * machine.core(vector).band
    return work / threads + WORD * taps * ic * columns * vector / weights_rate()


def winograd_cycles(kernel: tuple[int, int], m: int, ic: int, oc: int, total: int, tiles: int, threads: int, stride: int = 1) -> float:
    """The time of `total` tiles in blocks of `tiles`; weights that fit half of L2 are expected to stay there."""
    machine, vector = current(), _native.vector_length()
    core, positions, both = machine.core(vector), positions_of(kernel, m, stride), 1 not in kernel
    strided = stride == 2
    columns, blocks = -(-oc // vector), -(-total // tiles)
    forth, back = (core.both_in, core.both_out) if both else (core.one_in, core.one_out)
    if strided:
        forth, back = STRIDED_IN * forth, STRIDED_OUT * back
    transforms = -(-ic // vector) * forth + columns * back
    per_tile = positions * (ic * columns * core.products / core.fmas + transforms)
    weights = WORD * positions * ic * columns * vector
    resident = weights if weights <= machine.l2_bytes / 2 else 0
    share = (STRIDED_SHARE if strided else BOTH_SHARE if both else ONE_SHARE) * machine.l2_bytes
    spill = max(0.0, WORD * positions * tiles * (ic + oc) + resident - share) / machine.spill
    rounds = -(-blocks // threads)
    alone = _native.winograd_whole_blocks(blocks, threads)
    parallel = blocks / rounds if alone else threads
    reads = rounds if alone else blocks / threads
    near = machine.l2_read if strided else machine.l2_weights
    again = max(0.0, reads - 1) / (near if resident else machine.again)
    first = 1 / weights_rate() / (1 if alone else min(threads, STREAMS))
    sharing = 0 if alone else blocks * SHARED_BLOCK
    stream = 0 if resident else weights * reads / machine.stream
    return max(total * per_tile / parallel + weights * (first + again) + rounds * spill, stream) + sharing
