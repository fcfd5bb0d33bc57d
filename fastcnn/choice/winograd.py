"""When Winograd's F(m, 3) computes a 3x3 convolution of stride 1, with which m and in blocks of how many tiles.

A cost model in cycles of one core, against that of the direct kernel in tile.py.  Its constants began as a least-squares fit to 26 layers
(224x224x64 to 4x4x256) and were then searched for the least regret on 70 3x3 layers of ResNet, VGG, DenseNet, GoogLeNet, Inception and
ShuffleNet at AVX-512 and AVX2, weights from memory as in a network. On 64 of them measured afresh the pick takes 2.6 % more time than the
best of direct, F(2,3) and F(4,3) with 7 block sizes each on average (AVX-512 3.6, AVX2 1.6; 4.1 % with the constants before).
2026-11-21, Intel Xeon (family 6 model 167, AVX-512, 3.3 GHz, 2 MB L2), gcc 12.2, one thread; reproduce with
`python -m bench.layers --cold resnet18 resnet50 vgg16 densenet121 googlenet inception_v3`.
Direct / F(2,3) / F(4,3) in ms, cold weights (warm differs by less than 10 % except where given as cold; warm):

    224x224 64->64    22.2 / 11.5 / 7.2        14x14 256->256   1.39 / 0.80 / 0.67
    112x112 128->128  20.7 / 11.0 / 6.9        14x14 512->512   5.50 / 2.82 / 3.13; 5.37 / 2.67 / 2.45
    56x56 64->64      1.36 / 0.77 / 0.51       7x7 512->512     1.85 / 1.22 / 1.65; 1.76 / 1.00 / 1.31
    56x56 256->256    21.3 / 11.2 / 6.7        7x7 128->128     0.146 / 0.144 / 0.136; 0.087 / 0.055 / 0.058
    28x28 128->128    1.34 / 0.69 / 0.46       56x56 16->16     0.121 / 0.112 / 0.079
    28x28 512->512    21.5 / 11.0 / 7.6        112x112 8->8     0.247 / 0.348 / 0.231
    20x20 256->256    2.68 / 1.39 / 0.93       4x4 256->256     0.177 / 0.177 / 0.324
"""
from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from fastcnn import _native
from fastcnn.choice import machine
from fastcnn.choice.tile import best_nv, tile_slots

GEMM_SLOTS = 1.06           # FMA slots spent for one useful FMA
IN_CYCLES = 12.0            # per position of the patch and vector of input channels: transform, stores to 16 or 36 places
OUT_CYCLES = 7.0            # per position and vector of output channels
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
BLOCK_SHARE = 0.6           # of L2: V and M of one block, and the weights if they stay there; the rest is for x and y
WORTH_IT = 0.9              # of the direct kernel's time: below that the gain pays for F(4,3)'s 1.8 times larger rounding error
# Width of the register tile in vectors. Two make the tallest tiles, so a block passes over the weights the fewest times: within 3 % of
# the best width on average over the same layers, where three cost 5 % and four 7 % (23 % with AVX2's 16 registers).
TILE_VECTORS = 2
FEWEST_CHANNELS = {2: 1, 4: 16}     # RMS error over the direct kernel's: F(4,3) 3.9 at ic=4, 2.6 at 16, 2.1 at 64; F(2,3) 1.3, 0.9, 0.8
BLOCK_SIZES = (14, 28, 42, 56, 84, 112, 168)      # tiles; whole register tiles of 14, 7 and 6 rows


def choose_winograd(ic: int, oc: int, oh: int, ow: int, n: int, l2_bytes: int, threads: int) -> tuple[int, int] | None:
    """(m, tiles) or None for the direct kernel."""
    return _choose(ic, oc, oh, ow, n, l2_bytes, threads, _native.vector_length())


@lru_cache(maxsize=4096)
def _choose(ic: int, oc: int, oh: int, ow: int, n: int, l2_bytes: int, threads: int, vector: int) -> tuple[int, int] | None:
    """m by what one thread would take, so that results are the same bits for any number of threads; tiles for `threads`."""
    cost, m, alone = min(_candidates(ic, oc, oh, ow, n, l2_bytes, 1, vector))
    if cost >= WORTH_IT * direct_cycles(ic, oc, oh, ow, n, 1, vector):
        return None
    if threads == 1:
        return m, alone
    return min((cost, m, tiles) for cost, other, tiles in _candidates(ic, oc, oh, ow, n, l2_bytes, threads, vector) if other == m)[1:]


def _candidates(ic: int, oc: int, oh: int, ow: int, n: int, l2_bytes: int, threads: int,
                vector: int) -> Iterator[tuple[float, int, int]]:
    for m in (2, 4):
        if ic < FEWEST_CHANNELS[m]:
            continue
        total = n * -(-oh // m) * -(-ow // m)
        for tiles in {even_tiles(total, size, threads) for size in BLOCK_SIZES}:
            yield winograd_cycles(ic, oc, m, total, tiles, l2_bytes, threads, vector), m, tiles


def even_tiles(total: int, size: int, threads: int) -> int:
    """Blocks of at most `size` tiles, nearly equal, a multiple of the threads where there are enough tiles for that."""
    blocks = -(-total // size)
    if total >= threads * BLOCK_SIZES[0]:
        blocks = -(-blocks // threads) * threads
    return -(-total // blocks)


def direct_cycles(ic: int, oc: int, oh: int, ow: int, n: int, threads: int, vector: int) -> float:
    """The implicit GEMM's time with its best tile width."""
    taps, columns, rows = 9, -(-oc // vector), n * oh
    slots = rows * tile_slots(oc, ow, taps * ic, best_nv(oc, ow, taps * ic))
    band = taps * rows * ow * -(-ic // vector) * BAND_CYCLES
    return (slots / machine.FMAS_PER_CYCLE + band) / threads + 4 * taps * ic * columns * vector / WEIGHT_BYTES


def winograd_cycles(ic: int, oc: int, m: int, total: int, tiles: int, l2_bytes: int, threads: int, vector: int) -> float:
    """The time of `total` tiles in blocks of `tiles`; weights that fit half of L2 are expected to stay there."""
    positions, columns = (m + 2) ** 2, -(-oc // vector)
    blocks = -(-total // tiles)
    per_tile = positions * (ic * columns * GEMM_SLOTS / machine.FMAS_PER_CYCLE + -(-ic // vector) * IN_CYCLES + columns * OUT_CYCLES)
    weights = 4 * positions * ic * columns * vector
    resident = weights if weights <= l2_bytes / 2 else 0
    spill = max(0.0, 4 * positions * tiles * (ic + oc) + resident - BLOCK_SHARE * l2_bytes) / SPILL_BYTES
    rounds = -(-blocks // threads)
    alone = 4 * blocks >= 3 * rounds * threads            # as in ops/winograd.c: otherwise the threads share each block
    parallel = blocks / rounds if alone else threads
    reads = rounds if alone else blocks / threads
    again = max(0.0, reads - 1) / (L2_BYTES if resident else L3_BYTES)
    return total * per_tile / parallel + weights * (1 / WEIGHT_BYTES + again) + rounds * spill
