"""Tensor: a value's place in memory, as a shape and strides over a Buffer. Layouts are strides, so that transposes, slices and concats
can be views. Used by operators and by the planner; imports neither.
"""
from __future__ import annotations

import math
from dataclasses import field
from functools import lru_cache

import numpy as np

from fastcnn.ir.record import dataclass

Strides = tuple[int, ...]

# A pitch that is a multiple of 2 KB maps the pixels of a tile to two L1 sets: one line of cache more keeps them apart. In bytes.
ALIASING, PITCH_SKEW = 2048, 64
FLOAT = 4               # bytes
HALF = np.dtype(np.uint16)      # the bits of bfloat16
REMEMBERED = 256        # layouts of so many shapes: a plan asks for each several times


@dataclass(eq=False)
class Buffer:
    """A piece of memory that tensors are views of: a place in the arena, a constant, or an input or output of the program.

    elements  extent in elements of dtype            array  the data of a constant, else None
    io        index among the program's inputs and outputs, None in the arena
    first, last  steps that touch it (set by the planner), offset: bytes into the arena
    shared    the buffer whose place in the arena it takes over (set by the planner)
    """

    dtype: np.dtype
    elements: int
    array: np.ndarray | None = None
    io: int | None = None
    first: int | None = None
    last: int = -1
    offset: int = 0
    shared: Buffer | None = None

    @property
    def nbytes(self) -> int:
        return self.elements * self.dtype.itemsize

    @property
    def place(self) -> Buffer:
        """The buffer whose place in the arena this one uses: itself, or the one that it shares with."""
        return self if self.shared is None else self.shared


@dataclass(frozen=True)
class Tensor:
    """Element (i0, i1, ...) lies at offset + sum(i * strides), in elements of the buffer."""

    buffer: Buffer = field(repr=False)
    shape: tuple[int, ...]
    strides: Strides
    offset: int = 0

    @property
    def dtype(self) -> np.dtype:
        return self.buffer.dtype

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def slice(self, axis: int, start: int, extent: int, step: int = 1) -> Tensor:
        """The view of `extent` indices start, start + step, ... along an axis."""
        if not start and step == 1 and extent == self.shape[axis]:
            return self
        shape, strides = list(self.shape), list(self.strides)
        offset = self.offset + (start * strides[axis] if extent else 0)
        shape[axis], strides[axis] = extent, strides[axis] * step
        return Tensor(self.buffer, tuple(shape), tuple(strides), offset)

    def select(self, axis: int, index: int) -> Tensor:
        """The view at one index of an axis, without it."""
        drop = lambda values: (*values[:axis], *values[axis + 1:])  # noqa: E731
        return Tensor(self.buffer, drop(self.shape), drop(self.strides), self.offset + index * self.strides[axis])

    def transpose(self, perm: tuple[int, ...]) -> Tensor:
        """The view with axis i taken from perm[i]."""
        return Tensor(self.buffer, tuple(self.shape[p] for p in perm), tuple(self.strides[p] for p in perm), self.offset)

    def broadcast(self, shape: tuple[int, ...]) -> Tensor:
        """The view repeated to `shape` by ONNX's multidirectional rule: stride 0 where the extent is 1."""
        lead = len(shape) - len(self.shape)
        strides = [0] * lead + [0 if n == 1 and m != 1 else s for n, m, s in zip(self.shape, shape[lead:], self.strides)]
        return Tensor(self.buffer, tuple(shape), tuple(strides), self.offset)

    def reshape(self, shape: tuple[int, ...]) -> Tensor | None:
        """The view with another shape of the same size, None when strides cannot express it."""
        strides = reshaped_strides(self.shape, self.strides, shape)
        return None if strides is None else Tensor(self.buffer, tuple(shape), strides, self.offset)

    def view(self, shape: tuple[int, ...]) -> Tensor:
        """reshape() for shapes that are known to fit: axes are split, or the tensor is dense. Raises AssertionError otherwise."""
        view = self.reshape(shape)
        assert view is not None, f"{self.shape} with strides {self.strides} has no view {shape}"
        return view


@lru_cache(maxsize=REMEMBERED)
def dense_strides(shape: tuple[int, ...]) -> Strides:
    """Row-major strides of a shape, in elements."""
    strides, step = [], 1
    for extent in reversed(shape):
        strides.append(step)
        step *= max(extent, 1)
    return tuple(reversed(strides))


def pitch(channels: int, itemsize: int = FLOAT) -> int:
    """Elements from one pixel to the next in a tensor with its own buffer: the channels, and a skew where pixels would alias in L1."""
    return channels + PITCH_SKEW // itemsize if channels and channels * itemsize % ALIASING == 0 else channels


@lru_cache(maxsize=REMEMBERED)
def channels_last_strides(shape: tuple[int, ...], itemsize: int = FLOAT) -> Strides:
    """Strides of (N, C, spatial...) with channels innermost, pixels `pitch` apart."""
    n, c, *spatial = shape
    step = pitch(c, itemsize) if math.prod(spatial) * n > 1 else max(c, 1)
    strides = []
    for extent in reversed(spatial):
        strides.append(step)
        step *= max(extent, 1)
    return (step, 1, *reversed(strides))


def depth_inner_strides(shape: tuple[int, ...], itemsize: int = FLOAT) -> Strides:
    """Strides of (N, C, D, H, W) in memory order N, H, W, D, C: the depths of a pixel next to each other, pixels `pitch` apart."""
    _, c, d, h, w = shape
    step = pitch(d * c, itemsize)
    return h * w * step, 1, c, w * step, step


@lru_cache(maxsize=REMEMBERED)
def strides_like(shape: tuple[int, ...], strides: Strides) -> Strides:
    """Dense strides for `shape` whose axes are nested in memory as those of `strides`; channels-last stays channels-last."""
    if is_channels_last(shape, strides):
        return channels_last_strides(shape)
    order = sorted(range(len(shape)), key=lambda d: (-strides[d], d))
    out, step = [0] * len(shape), 1
    for d in reversed(order):
        out[d] = step
        step *= max(shape[d], 1)
    return tuple(out)


@lru_cache(maxsize=REMEMBERED)
def span(shape: tuple[int, ...], strides: Strides) -> int:
    """Elements of the buffer from a tensor's first element to one past its last; strides are not negative."""
    return 0 if 0 in shape else 1 + sum((n - 1) * s for n, s in zip(shape, strides))


def matches(shape: tuple[int, ...], strides: Strides, wanted: Strides) -> bool:
    """Whether strides are equal, ignoring axes of extent 1."""
    return all(n == 1 or s == w for n, s, w in zip(shape, strides, wanted))


@lru_cache(maxsize=REMEMBERED)
def is_dense(shape: tuple[int, ...], strides: Strides) -> bool:
    """Whether a tensor is row-major without gaps."""
    return 0 in shape or matches(shape, strides, dense_strides(shape))


@lru_cache(maxsize=REMEMBERED)
def is_channels_last(shape: tuple[int, ...], strides: Strides) -> bool:
    """Whether a tensor of rank 3 or more has axis 1 (channels) contiguous and innermost and its spatial axes nested in order."""
    if len(shape) < 3 or (shape[1] != 1 and strides[1] != 1):
        return False
    outer = [s for d, (n, s) in enumerate(zip(shape, strides)) if d != 1 and n != 1]
    if not outer:
        return True
    return outer == sorted(outer, reverse=True) and outer[-1] >= shape[1]


def is_depth_inner(shape: tuple[int, ...], strides: Strides) -> bool:
    """Whether a tensor of rank 5 has the channels of all depths of a pixel in one run of memory."""
    return len(shape) == 5 and (shape[1] == 1 or strides[1] == 1) and (shape[2] == 1 or strides[2] == shape[1])


def reshaped_strides(shape: tuple[int, ...], strides: Strides, target: tuple[int, ...]) -> Strides | None:
    """Strides that give the same memory the shape `target` with the same order of elements; None where no strides do."""
    if 0 in target:
        return dense_strides(target)
    old = [(n, s) for n, s in zip(shape, strides) if n != 1]
    out: list[int] = []
    position = 0
    rest, step = 1, 0                     # what is left to hand out of the current run, and its innermost stride
    for extent in target:
        if extent == 1:
            out.append(0)
            continue
        if rest == 1:
            if position == len(old):
                return None
            rest, step = old[position]
            position += 1
        while rest % extent != 0 or (rest < extent):
            if position == len(old) or step != old[position][0] * old[position][1]:
                return None
            rest, step = rest * old[position][0], old[position][1]
            position += 1
        rest //= extent
        out.append(step * rest)
    return tuple(out)


@lru_cache(maxsize=REMEMBERED)
def walk(shape: tuple[int, ...], *strides: Strides) -> tuple[tuple[int, ...], tuple[Strides, ...]]:
    """Merges the axes of an elementwise loop over several tensors into as few as possible, in the memory order of the first tensor.

    Axes of extent 1 are dropped; neighbouring axes merge where every tensor steps through both evenly. A loop without elements becomes
    one empty axis, since it could have 2^40 empty rows. Returns the merged shape and the strides of each tensor.
    """
    if 0 in shape:
        return (0,), ((1,),) * len(strides)
    axes = [(n, *s) for n, *s in zip(shape, *strides) if n != 1]
    axes.sort(key=lambda axis: -axis[1])
    merged: list[list[int]] = []
    for axis in axes:
        if merged and all(outer == inner * axis[0] for outer, inner in zip(merged[-1][1:], axis[1:])):
            merged[-1] = [merged[-1][0] * axis[0], *axis[1:]]
        else:
            merged.append(list(axis))
    if not merged:
        return (1,), ((1,),) * len(strides)
    return tuple([axis[0] for axis in merged]), tuple([tuple([axis[k + 1] for axis in merged]) for k in range(len(strides))])
