"""When Winograd's F(m, r) computes a convolution of stride 1, with which m and in blocks of how many tiles.

Along both axes for windows of 2x2 to 5x5, along one for 1x2, 1x3, 1x5, 1x7 and their transposes. A cost model in cycles of one core,
against that of the direct kernel in tile.py. Its constants began as a least-squares fit to 26 layers (224x224x64 to 4x4x256) and were then
searched for the least regret on 70 3x3 layers of ResNet, VGG, DenseNet, GoogLeNet, Inception and ShuffleNet at AVX-512 and AVX2, weights
from memory as in a network. On 64 of them measured afresh the pick takes 2.6 % more time than the best of direct, F(2,3) and F(4,3) with
7 block sizes each on average (AVX-512 3.6, AVX2 1.6; 4.1 % with the constants before). 2026-11-21, Intel Xeon (family 6 model 167,
AVX-512, 3.3 GHz, 2 MB L2), gcc 12.2, one thread; reproduce with
`python -m bench.layers --cold resnet18 resnet50 vgg16 densenet121 googlenet inception_v3`.
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

Past the bound, so there are no kernels: 3x3 F(6,3) 10.7 9.2 8.4, 5x5 F(4,5) 6.5 5.2 4.9, 1x7 F(4,7) 6.7 5.2 5.5 (bench/README.md has their
times). F(2,7), 3.0 2.4 2.5, is never the fastest.
"""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import inf

from fastcnn import _native
from fastcnn.choice import machine
from fastcnn.choice.tile import best_nv, tile_slots

GEMM_SLOTS = 1.06           # FMA slots spent for one useful FMA
BAND_CYCLES = 2.0           # direct: per tap, pixel and vector of input channels (the band is copied and read back)
# A cycle: the first read of weights in a run. The fit to single layers gave 10; inside a network the weights come from memory at
# 13 GB/s, and threads share that: 7x7x512 then goes to the direct kernel, 14x14x256 to F(2,3). With 5, in one process and interleaved
# rounds: resnet50 1.01, resnet152 1.01 and resnet18 1.04 times as fast on one thread, resnet50 1.09 and resnet152 1.22 on two;
# inception_v3, unet and googlenet within 2 % (2026-11-21, the same machine). The constants of the search, 4 among them, against those
# before it: googlenet and unet 1.01, resnet18, resnet50, densenet121 and inception_v3 1.00.
WEIGHT_BYTES = 4.0
L3_BYTES = 25.0             # a cycle: every further block reads weights that L2 does not hold again
L2_BYTES = 10.0             # a cycle: and those that it holds
SPILL_BYTES = 4.0           # a cycle: what a block has more than its share of L2


@dataclass(frozen=True)
class Transforms:
    """in_cycles: per position of a patch and vector of input channels; out_cycles: of output channels.

    block_share: of L2, V and M of one block, and the weights if they stay there; the rest is for x and y.
    """

    in_cycles: float
    out_cycles: float
    block_share: float


BOTH_AXES = Transforms(12.0, 7.0, 0.6)
ONE_AXIS = Transforms(10.0, 5.0, 0.4)       # positions a pixel: 1.3 to 3 instead of 2.25 to 9, so x and y weigh more beside V and M
WORTH_IT = 0.9              # of the direct kernel's time: below that the gain pays for the larger rounding error
# Width of the register tile in vectors. Two make the tallest tiles, so a block passes over the weights the fewest times: within 3 % of
# the best width on average over the same layers, where three cost 5 % and four 7 % (23 % with AVX2's 16 registers).
TILE_VECTORS = 2
# Window, the shorter side first -> {m: input channels from which on}: with fewer the error passes four times the direct kernel's.
FORMS = {(2, 2): {3: 16}, (3, 3): {2: 1, 4: 16}, (4, 4): {3: 16}, (5, 5): {2: 16, 3: 16},
         (1, 2): {3: 16}, (1, 3): {2: 16, 4: 16}, (1, 5): {2: 16, 4: 16}, (1, 7): {3: 32}}
BLOCK_SIZES = (14, 28, 42, 56, 84, 112, 168)      # tiles; whole register tiles of 14, 7 and 6 rows


def choose_winograd(kernel: tuple[int, int], ic: int, oc: int, oh: int, ow: int, n: int, l2_bytes: int,
                    threads: int) -> tuple[int, int] | None:
    """(m, tiles) or None for the direct kernel."""
    return _choose(kernel, ic, oc, oh, ow, n, l2_bytes, threads, _native.vector_length())


@lru_cache(maxsize=4096)
def _choose(kernel: tuple[int, int], ic: int, oc: int, oh: int, ow: int, n: int, l2_bytes: int, threads: int,
            vector: int) -> tuple[int, int] | None:
    """m by what one thread would take, so that results are the same bits for any number of threads; tiles for `threads`."""
    cost, m, alone = min(_candidates(kernel, ic, oc, oh, ow, n, l2_bytes, 1, vector), default=(inf, 0, 0))
    if cost >= WORTH_IT * direct_cycles(kernel, ic, oc, oh, ow, n, 1, vector):
        return None
    if threads == 1:
        return m, alone
    return min((cost, m, tiles) for cost, other, tiles in _candidates(kernel, ic, oc, oh, ow, n, l2_bytes, threads, vector)
               if other == m)[1:]


def _candidates(kernel: tuple[int, int], ic: int, oc: int, oh: int, ow: int, n: int, l2_bytes: int, threads: int,
                vector: int) -> Iterator[tuple[float, int, int]]:
    for m in forms(kernel, ic):
        total = tile_count(kernel, m, n, oh, ow)
        for tiles in {even_tiles(total, size, threads) for size in BLOCK_SIZES}:
            yield winograd_cycles(kernel, m, ic, oc, total, tiles, l2_bytes, threads, vector), m, tiles


def covers(kernel: tuple[int, int]) -> bool:
    """Whether there are transforms for a window, at stride 1 without dilation."""
    return (min(kernel), max(kernel)) in FORMS


def forms(kernel: tuple[int, int], ic: int) -> Sequence[int]:
    """Every m of F(m, r) that keeps the error bound for so many input channels."""
    return [m for m, fewest in FORMS.get((min(kernel), max(kernel)), {}).items() if ic >= fewest]


def tile_count(kernel: tuple[int, int], m: int, n: int, oh: int, ow: int) -> int:
    """Tiles of n images: m outputs along each axis where the window is wider than 1."""
    rows, columns = (-(-size // m) if r > 1 else size for r, size in zip(kernel, (oh, ow), strict=True))
    return n * rows * columns


def positions_of(kernel: tuple[int, int], m: int) -> int:
    """Products a tile takes: m + r - 1 along each axis where the window is wider than 1."""
    rows, columns = (m + r - 1 if r > 1 else 1 for r in kernel)
    return rows * columns


def even_tiles(total: int, size: int, threads: int) -> int:
    """Blocks of at most `size` tiles, nearly equal, a multiple of the threads where there are enough tiles for that."""
    blocks = -(-total // size)
    if total >= threads * BLOCK_SIZES[0]:
        blocks = -(-blocks // threads) * threads
    return -(-total // blocks)


def direct_cycles(kernel: tuple[int, int], ic: int, oc: int, oh: int, ow: int, n: int, threads: int, vector: int) -> float:
    """The implicit GEMM's time with its best tile width."""
    taps, columns, rows = kernel[0] * kernel[1], -(-oc // vector), n * oh
    slots = rows * tile_slots(oc, ow, taps * ic, best_nv(oc, ow, taps * ic))
    band = taps * rows * ow * -(-ic // vector) * BAND_CYCLES if kernel[1] > 1 else 0.0
    return (slots / machine.FMAS_PER_CYCLE + band) / threads + 4 * taps * ic * columns * vector / WEIGHT_BYTES


def winograd_cycles(kernel: tuple[int, int], m: int, ic: int, oc: int, total: int, tiles: int, l2_bytes: int, threads: int,
                    vector: int) -> float:
    """The time of `total` tiles in blocks of `tiles`; weights that fit half of L2 are expected to stay there."""
    cost, positions = ONE_AXIS if 1 in kernel else BOTH_AXES, positions_of(kernel, m)
    columns, blocks = -(-oc // vector), -(-total // tiles)
    transforms = -(-ic // vector) * cost.in_cycles + columns * cost.out_cycles
    per_tile = positions * (ic * columns * GEMM_SLOTS / machine.FMAS_PER_CYCLE + transforms)
    weights = 4 * positions * ic * columns * vector
    resident = weights if weights <= l2_bytes / 2 else 0
    spill = max(0.0, 4 * positions * tiles * (ic + oc) + resident - cost.block_share * l2_bytes) / SPILL_BYTES
    rounds = -(-blocks // threads)
    alone = 4 * blocks >= 3 * rounds * threads            # as in ops/winograd.c: otherwise the threads share each block
    parallel = blocks / rounds if alone else threads
    reads = rounds if alone else blocks / threads
    again = max(0.0, reads - 1) / (L2_BYTES if resident else L3_BYTES)
    return total * per_tile / parallel + weights * (1 / WEIGHT_BYTES + again) + rounds * spill
