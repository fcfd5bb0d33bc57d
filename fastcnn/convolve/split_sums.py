"""Splits very long sums into pieces, so that the strips of inputs and weights that a tile walks along stay in L2.

One core that other processes used too, AVX-512, 2026-11-21. 300 x 25088 x 512 in pieces of up to 512, 1024, 1536, 2048, 4096 and whole:
77, 77, 76, 78, 94, 270 ms; 300 x 4096 x 1024: 27, 23, 22, 26, 30, 30 ms; with 12 rows no difference. 7x7 convolution of 512 channels to
512, 16x16 pixels: 92 ms in pieces of 32 channels, 99 of 64, 353 whole; 5x5 of 512, 14x14 pixels: 30 ms in pieces of 64, 78 whole.
1x1 convolution of 6656 channels to 1664, 7x7 pixels, in pieces of 416, 832, 1664, 3328 and whole: 10.9, 10.5, 10.6, 11.9, 29.9 ms; of 4096
to 1024 no gain.
"""
from __future__ import annotations

from fastcnn.convolve.winograd_cost import has_transforms

PIECE = 1536            # products of a sum in one piece
ROWS = 24               # with fewer rows or pixels the weights are read once anyway
WHOLE_PRODUCT = 2048    # up to this one piece of a matrix product is as good
WHOLE_WINDOW = 8192     # of a convolution: smaller ones were measured and chosen as they are
WHOLE_POINTWISE = 4096  # of a 1x1 convolution
CHANNELS = 16           # pieces of channels are multiples of this


def of_columns(k: int, rows: int) -> list[tuple[int, int]]:
    """(first, last) columns of each piece of a matrix product with `rows` rows and sums over k columns."""
    if k <= WHOLE_PRODUCT or rows < ROWS:
        return [(0, k)]
    count = -(-k // PIECE)
    return [(k * i // count, k * (i + 1) // count) for i in range(count)]


def of_channels(ic: int, kernel: tuple[int, int], strides: tuple[int, int], pixels: int, strict: bool = False) -> list[tuple[int, int]]:
    """(first, last) input channels of each piece of a dense convolution over `pixels` pixels.

    Windows for which Winograd's algorithm may be used stay whole, as it would transform the output once for each piece.
    """
    taps, winograd = kernel[0] * kernel[1], has_transforms(kernel) and strides == (1, 1) and not strict
    if taps * ic <= (WHOLE_POINTWISE if taps == 1 else WHOLE_WINDOW) or pixels < ROWS or winograd:
        return [(0, ic)]
    step = max(1, round(PIECE / taps / CHANNELS)) * CHANNELS
    return [(first, min(first + step, ic)) for first in range(0, ic, step)]
