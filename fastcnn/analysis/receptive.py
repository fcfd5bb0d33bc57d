"""Receptive fields: which pixels of the inputs a unit of each layer depends on.

A unit at index i of an axis sees the pixels start + stride * i ... start + stride * i + size - 1 of the axis of an input that it
runs along, those in the padding included. Sizes and strides are exact through convolution, pooling, padding, dilation, slicing and
joining; behind a resampling or a transposed convolution, where they differ between units, they are those of the unit that sees most.
"""
from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from fastcnn.ir.spec import Spec
from fastcnn.operators.cards import card_of
from fastcnn.ops.base import BoundNode
from fastcnn.ops.window import Window, resolve

Along = tuple[str, int]                 # an input of the graph and one of its axes


@dataclass(frozen=True)
class Place:
    """The part of one axis of an input that a value's units see.

    size           pixels, None for all of them
    at             the axis of the value that runs along it, None where there is none any more
    inner, extent  where that axis is several merged into one: units a step along the input's axis, and how many steps; else 1 and 0
    """

    at: int | None
    size: Fraction | None = Fraction(1)
    stride: Fraction = Fraction(1)
    start: Fraction = Fraction(0)
    inner: int = 1
    extent: int = 0

    @property
    def end(self) -> Fraction:
        return self.start + (self.size or 0)


Seen = dict[Along, Place]
WINDOWS = {"Conv": 1, "ConvInteger": 1, "FusedConv": 1, "DeformConv": 1, "QConv": 1, "QLinearConv": 3}     # where the weights are
RESIDUALS = {"Conv": 3, "QConv": 4}                                                            # and what is added to the sums
POOLS = ("MaxPool", "AveragePool", "LpPool", "QAveragePool")
EVERYWHERE = ("GlobalMaxPool", "GlobalAveragePool", "GlobalLpPool", "QGlobalAveragePool", "InstanceNormalization", "GroupNormalization",
              "MeanVarianceNormalization")
ELEMENTWISE = ("BatchNormalization", "LRN", "QuantizeLinear", "DequantizeLinear", "Identity", "Dropout", "Split", "QuantizeBytes",
               "QuantizeScaled", "DequantizeBytes", "ByteTable", "QAdd", "QMul", "QPRelu", "QAffine")


class Fields:
    """Receptive fields of the values of a graph, node by node in its order."""

    def __init__(self, inputs: Mapping[str, Spec]):
        self.values: dict[str, Seen] = {name: {(name, axis): Place(axis) for axis in range(1, spec.rank)}
                                        for name, spec in inputs.items() if spec.rank > 2}
        self.spatial: set[Along] = set()

    def add(self, b: BoundNode, outputs: Sequence[Spec | None]) -> None:
        """Adds the next node's outputs."""
        seen = _merged([self.values[name] for name in b.node.reads if name in self.values])
        if b.op_type in WINDOWS or b.op_type in POOLS:
            self.spatial |= {along for along, place in seen.items() if place.at is not None and place.at >= 2}
        rule = RULES.get(b.op_type, _elementwise if _is_elementwise(b) else _whole)
        try:
            found = rule(b, outputs[0] if outputs else None, self.values, seen)
        except (LookupError, TypeError, ValueError, ArithmeticError):       # an attribute or a shape that only the run knows
            found = _all(seen)
        self.values.update(dict.fromkeys(filter(None, b.node.outputs), found))

    def of(self, name: str) -> list[tuple[Along, Place]]:
        """The receptive field of a value along each axis that windows run along, ordered by inputs and their axes."""
        return sorted((along, place) for along, place in self.values.get(name, {}).items() if along in self.spatial)


Rule = Callable[[BoundNode, "Spec | None", Mapping[str, Seen], Seen], Seen]


def _is_elementwise(b: BoundNode) -> bool:
    card = card_of(b.node)
    return b.op_type in ELEMENTWISE or (card is not None and card.operands != 0)


def _all(seen: Seen) -> Seen:
    return {along: Place(None, None) for along in seen}


def _merged(parts: Sequence[Seen]) -> Seen:
    """The union of what several parts see, unit by unit; the whole axis where their strides differ."""
    found: Seen = {}
    for part in parts:
        for along, place in part.items():
            found[along] = _union(found[along], place) if along in found else place
    return found


def _union(a: Place, b: Place) -> Place:
    if a.size is None or b.size is None:
        kept = a if a.at is not None and a.size is not None else b if b.at is not None else a
        return replace(kept, size=None)
    if (a.stride, a.at, a.inner, a.extent) != (b.stride, b.at, b.inner, b.extent):
        return Place(None, None)
    start = min(a.start, b.start)
    return replace(a, size=max(a.end, b.end) - start, start=start)


def _by_axis(seen: Seen, change: Callable[[Place, int], Place]) -> Seen:
    """Applies a change to the places along known axes, keeps the others. Changes along merged axes are not followed."""
    found = {}
    for along, place in seen.items():
        moved = change(place, place.at) if place.at is not None else place
        same = (moved.size, moved.stride, moved.start) == (place.size, place.stride, place.start)
        found[along] = moved if same or not place.extent else Place(None, None)
    return found


def _widened(place: Place, taps: int, before: int, stride: Fraction | int) -> Place:
    """A window of so many taps (dilation counted), `before` pixels of padding in front, moved by `stride`."""
    size = None if place.size is None else place.size + (taps - 1) * place.stride
    return replace(place, size=size, stride=place.stride * stride, start=place.start - before * place.stride)


def _whole(b: BoundNode, y: Spec | None, values: Mapping[str, Seen], seen: Seen) -> Seen:
    return _all(seen)


def _elementwise(b: BoundNode, y: Spec | None, values: Mapping[str, Seen], seen: Seen) -> Seen:
    """Operands are broadcast: their axes count from the back."""
    rank = y.rank if y is not None else 0
    parts = []
    for name, spec in zip(b.node.inputs, b.args.specs):
        if name in values and spec is not None:
            parts.append({along: replace(place, at=None if place.at is None else place.at + rank - spec.rank)
                          for along, place in values[name].items()})
    return _merged(parts)


def _channels(seen: Seen) -> Seen:
    """Operators whose units see all channels."""
    return _by_axis(seen, lambda place, at: replace(place, size=None) if at == 1 else place)


def window_of(b: BoundNode) -> Window:
    """The window of a convolution or pooling node."""
    x = b.args.spec(0)
    kernel = b.args.spec(WINDOWS[b.op_type]).shape[2:] if b.op_type in WINDOWS else tuple(b.node.attrs["kernel_shape"])
    return resolve(b.args, x.shape[2:], kernel)


def _windowed(b: BoundNode, y: Spec | None, values: Mapping[str, Seen], seen: Seen) -> Seen:
    window, x = window_of(b), values.get(b.node.input(0), {})

    def moved(place: Place, at: int) -> Place:
        if at < 2:
            return place
        k = at - 2
        return _widened(place, (window.kernel[k] - 1) * window.dilations[k] + 1, window.before[k], window.strides[k])

    if any(n > 1 for n in (*window.kernel, *window.strides)):
        x = {along: Place(None, None) if place.at is None else place for along, place in x.items()}
    found = _by_axis(x, moved)
    found = found if b.op_type in POOLS else _channels(found)
    added = b.node.input(RESIDUALS[b.op_type]) if b.op_type in RESIDUALS else ""
    others = [values[added]] if added in values else []
    return _merged([found, *others])


def _upsampled(b: BoundNode, y: Spec | None, values: Mapping[str, Seen], seen: Seen) -> Seen:
    """ConvTranspose: output o reads the inputs (o + pad - dilation * tap) / stride that are whole."""
    attrs, kernel = b.node.attrs, b.args.spec(1).shape[2:]
    rank = len(kernel)
    strides, dilations = attrs.get("strides") or [1] * rank, attrs.get("dilations") or [1] * rank
    pads = attrs.get("pads") or [0] * 2 * rank

    def moved(place: Place, at: int) -> Place:
        if at < 2:
            return place
        k = at - 2
        span = (kernel[k] - 1) * dilations[k]
        first = -((span - pads[k]) // strides[k])                 # of output 0
        return _widened(place, span // strides[k] + 1, -first, Fraction(1, strides[k]))

    return _channels(_by_axis(seen, moved))


def _resized(b: BoundNode, y: Spec | None, values: Mapping[str, Seen], seen: Seen) -> Seen:
    x = b.args.spec(0)
    extra = {"nearest": 0, "linear": 1, "cubic": 3}[b.node.attrs.get("mode", "nearest")]

    def moved(place: Place, at: int) -> Place:
        if y is None or x.shape[at] == y.shape[at]:
            return place
        return _widened(place, extra + 1, extra // 2 + (extra > 0), Fraction(x.shape[at], y.shape[at]))

    return _by_axis(seen, moved)


def _everywhere(b: BoundNode, y: Spec | None, values: Mapping[str, Seen], seen: Seen) -> Seen:
    return _by_axis(seen, lambda place, at: replace(place, size=None) if at >= 2 else place)


def _along(b: BoundNode, axes: Sequence[int], y: Spec | None, seen: Seen, dropped: bool = False) -> Seen:
    """Operators whose units see the whole of these axes; dropped: the axes are gone from the output."""
    rank = b.args.spec(0).rank
    axes = [axis % rank for axis in axes]

    def moved(place: Place, at: int) -> Place:
        if at in axes:
            return Place(None if dropped else at, None)
        return replace(place, at=at - sum(axis < at for axis in axes)) if dropped else place

    return _by_axis(seen, moved)


def _softmax(b: BoundNode, y: Spec | None, values: Mapping[str, Seen], seen: Seen) -> Seen:
    return _along(b, [b.node.attrs.get("axis", -1)], y, seen)


def _from_axis(b: BoundNode, y: Spec | None, values: Mapping[str, Seen], seen: Seen) -> Seen:
    """LayerNormalization."""
    rank = b.args.spec(0).rank
    return _along(b, range(b.node.attrs.get("axis", -1) % rank, rank), y, seen)


def _reduced(b: BoundNode, y: Spec | None, values: Mapping[str, Seen], seen: Seen) -> Seen:
    axes: Sequence[int] | None = b.node.attrs.get("axes") or b.args.ints(1, [])
    return _along(b, axes or range(b.args.spec(0).rank), y, seen, not b.node.attrs.get("keepdims", 1))


def _picked(b: BoundNode, y: Spec | None, values: Mapping[str, Seen], seen: Seen) -> Seen:
    """ArgMax, ArgMin."""
    return _along(b, [b.node.attrs.get("axis", 0)], y, seen, not b.node.attrs.get("keepdims", 1))


def _product(b: BoundNode, y: Spec | None, values: Mapping[str, Seen], seen: Seen) -> Seen:
    """Gemm, MatMul by a constant: the last axis of x as a whole, and everything whose axis is not known any more."""
    if b.args.specs[1] is not None and b.args.values[1] is None:
        return _all(seen)
    rank = b.args.spec(0).rank
    x = {along: Place(None, None) if place.at is None else place for along, place in values.get(b.node.input(0), {}).items()}
    return _by_axis(x, lambda place, at: Place(None, None) if at == rank - 1 else place)


def _transposed(b: BoundNode, y: Spec | None, values: Mapping[str, Seen], seen: Seen) -> Seen:
    perm = list(b.node.attrs.get("perm") or range(b.args.spec(0).rank)[::-1])
    return _by_axis(seen, lambda place, at: replace(place, at=perm.index(at)))


def _reshaped(b: BoundNode, y: Spec | None, values: Mapping[str, Seen], seen: Seen) -> Seen:
    """Reshape: an axis continues, alone or merged with others, where an output axis has all of its steps; else its place is unknown."""
    x = b.args.spec(0).shape
    out = y.shape if y is not None else ()

    def moved(place: Place, at: int) -> Place:
        inner, extent = place.inner * math.prod(x[at + 1:]), place.extent or x[at]
        steps = [(k, inner // after, size) for k, size in enumerate(out)
                 if inner % (after := math.prod(out[k + 1:])) == 0 and after * size % (inner * extent) == 0]
        for k, step, size in sorted(steps, key=lambda found: (found[1], found[2]) != (1, extent)):
            return replace(place, at=k, inner=step, extent=0 if (step, size) == (1, extent) else extent)
        return replace(place, at=None)

    return _by_axis(seen, moved)


def _padded(b: BoundNode, y: Spec | None, values: Mapping[str, Seen], seen: Seen) -> Seen:
    rank = b.args.spec(0).rank
    pads = list(b.node.attrs.get("pads") or b.args.ints(1) or [0] * 2 * rank)
    axes = [axis % rank for axis in b.args.ints(3, range(rank)) or range(rank)]
    before = dict(zip(axes, pads))
    return _by_axis(seen, lambda place, at: replace(place, start=place.start - before.get(at, 0) * place.stride))


def _sliced(b: BoundNode, y: Spec | None, values: Mapping[str, Seen], seen: Seen) -> Seen:
    rank, shape, attrs = b.args.spec(0).rank, b.args.spec(0).shape, b.node.attrs
    starts = list(attrs.get("starts") or b.args.ints(1) or [])
    axes = list(attrs.get("axes") or b.args.ints(3, range(len(starts))) or [])
    steps = b.args.ints(4, [1] * len(starts)) or [1] * len(starts)
    cuts = {axis % rank: (min(start + shape[axis] if start < 0 else start, shape[axis]), step)
            for axis, start, step in zip(axes, starts, steps)}

    def moved(place: Place, at: int) -> Place:
        start, step = cuts.get(at, (0, 1))
        return Place(place.at, None) if step < 0 else _widened(place, 1, -max(start, 0), step)

    return _by_axis(seen, moved)


def _gathered(b: BoundNode, y: Spec | None, values: Mapping[str, Seen], seen: Seen) -> Seen:
    axis, many = b.node.attrs.get("axis", 0) % b.args.spec(0).rank, b.args.spec(1).rank
    return _by_axis(seen, lambda place, at: Place(None, None) if at == axis else replace(place, at=at + (many - 1) * (at > axis)))


def _joined(b: BoundNode, y: Spec | None, values: Mapping[str, Seen], seen: Seen) -> Seen:
    axis = b.node.attrs.get("axis", 0) % (y.rank if y is not None else 1)
    return _by_axis(_merged([_by_axis(values[name], lambda place, at: Place(at, None) if at == axis else place)
                             for name in b.node.reads if name in values]), lambda place, at: place)


def _blocks(b: BoundNode, y: Spec | None, values: Mapping[str, Seen], seen: Seen) -> Seen:
    """DepthToSpace and SpaceToDepth."""
    size = b.node.attrs["blocksize"]

    def moved(place: Place, at: int) -> Place:
        if at < 2:
            return replace(place, size=None)
        return _widened(place, 1, 0, Fraction(1, size)) if b.op_type == "DepthToSpace" else _widened(place, size, 0, size)

    return _by_axis(seen, moved)


RULES: dict[str, Rule] = {
    **dict.fromkeys((*WINDOWS, *POOLS), _windowed),
    **dict.fromkeys(("ConvTranspose", "QConvTranspose"), _upsampled),
    **dict.fromkeys(("Resize", "Upsample"), _resized),
    **dict.fromkeys(EVERYWHERE, _everywhere),
    **dict.fromkeys(("Softmax", "LogSoftmax", "Hardmax", "CumSum", "LpNormalization"), _softmax),
    **dict.fromkeys(("LayerNormalization", "RMSNormalization"), _from_axis),
    **dict.fromkeys((f"Reduce{kind}" for kind in ("Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "SumSquare", "LogSum", "LogSumExp")),
                    _reduced),
    **dict.fromkeys(("ArgMax", "ArgMin"), _picked),
    **dict.fromkeys(("Gemm", "MatMul", "MatMulInteger", "QLinearMatMul", "QMatMul", "QBatchMatMul"), _product),
    "Transpose": _transposed,
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), _reshaped),
    "Pad": _padded,
    "Slice": _sliced,
    "Gather": _gathered,
    "Concat": _joined,
    **dict.fromkeys(("DepthToSpace", "SpaceToDepth"), _blocks),
}


def dropped_pixels(b: BoundNode) -> list[tuple[int, int]]:
    """(axis, pixels) at the end of the input that no window of a convolution or pooling reads, though the stride is not what skips them."""
    window, x = window_of(b), b.args.spec(0)
    found = []
    for k, out in enumerate(window.out):
        last = (out - 1) * window.strides[k] - window.before[k] + (window.kernel[k] - 1) * window.dilations[k]
        rest = x.shape[2 + k] - 1 - last
        if rest > 0 and window.kernel[k] > 1:
            found.append((2 + k, rest))
    return found
