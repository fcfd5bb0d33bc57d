"""Helpers of all convolution-like lowerings: places and epilogues as step fields, and emit_conv() for one 2-D convolution."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

import fastcnn._native as _native
from fastcnn.convolve import ladder, regions, split_sums
from fastcnn.convolve.accuracy import FP32
from fastcnn.convolve.bf16_gemm import BF16_GEMM, SCALE
from fastcnn.convolve.choice import Choice
from fastcnn.convolve.depthwise import lane_tables
from fastcnn.convolve.shape import NOWHERE, ConvShape, Problem, own_places
from fastcnn.ir.graph import Activation
from fastcnn.ir.record import dataclass, replace
from fastcnn.ir.spec import F32, Args
from fastcnn.ir.tensor import HALF, Tensor, is_dense, walk
from fastcnn.ops.base import BoundNode, Lowering
from fastcnn.ops.window import Window

# Steps that add a residual after a first rounding, and those that look in a table then; what RoundTwice's second zero point is times.
ADD_ROUNDED, LOOK_UP = ("conv", "winograd"), ("conv", "winograd", "depthwise")
SECOND_ZERO, LAST_BYTE = 256, 255.0
# Attribute of a Conv whose input is to be times a factor, rounded and brought between bounds: these three (plan/float_storage.py).
ROUNDED = "rounded"
MOST_PLANES = 64            # that a band is made of: of more, each row is in too many places


def two_dimensional(t: Tensor) -> Tensor:
    """(N, C, L) as (N, C, 1, L)."""
    if len(t.shape) == 4:
        return t
    return Tensor(t.buffer, (*t.shape[:2], 1, t.shape[2]), (*t.strides[:2], t.strides[2] * t.shape[2], t.strides[2]), t.offset)


def weights_of(low: Lowering) -> np.ndarray | Tensor:
    """Input 1 with at least two kernel axes: an array where it is constant, else a Tensor."""
    w = low.args.values[1]
    if w is None:
        computed = low.read(1, "dense")
        return two_dimensional(computed) if len(computed.shape) == 3 else computed
    return w[:, :, None, :] if w.ndim == 3 else w


def three_planes(low: Lowering, window: Window, group: int) -> Tensor | None:
    """Input 0 if it lies as three row-major planes, which the conv step interleaves into its band; None if it must be copied.

    Not for 3x3 kernels of stride 1: these may be Winograd's, which reads pixels.
    """
    spec, wide = low.args.spec(0), window.kernel[-1] > 1 and set(window.dilations) == {1}
    if spec.rank != 4 or spec.shape[1] != 3 or group != 1 or low.args.values[1] is None or not wide:
        return None
    x = low.read(0, "any")
    return x if is_dense(x.shape, x.strides) and (window.kernel, window.strides) != ((3, 3), (1, 1)) else None


def planes_or_pixels(low: Lowering, window: Window, group: int, banded: bool = True) -> tuple[Tensor, Tensor | None]:
    """Input 0 of a Conv as three planes or as pixels, and the operand by which the step rounds planes on their way to the band.

    banded  whether the step has a band
    """
    planes, rounded = three_planes(low, window, group) if banded else None, low.node.attrs.get(ROUNDED)
    if rounded is None:
        return planes or low.read(0, "channels_last"), None
    factor, lo, hi = rounded
    if planes is not None:
        return planes, low.constant(np.array([*[factor] * 3, *[0.0] * 3, lo, hi, 1.0], F32))
    x = low.read(0, "channels_last")
    whole = low.temp(x.shape, F32, "channels_last")
    shape, (ys, xs) = walk(x.shape, whole.strides, x.strides)
    low.emit("round_sum", [whole, x, x], x.size, ndim=len(shape), shape=shape, y_strides=ys, a_strides=xs, b_strides=xs, a_factor=factor,
             b_factor=0.0, lo=lo, hi=hi)
    return whole, None


def banded_planes(low: Lowering, window: Window, group: int) -> Tensor | None:
    """Input 0 if it lies in row-major planes, which the conv step transposes into its band; None if it must be copied.

    Windows of several pixels: those of one are computed as one long row, which has no band.
    """
    spec, w = low.args.spec(0), low.args.values[1]
    if ROUNDED in low.node.attrs:
        return None
    if spec.rank != 4 or group != 1 or w is None or not 1 < spec.shape[1] <= MOST_PLANES or window.kernel == (1, 1) or spec.size == 0:
        return None
    x = low.read(0, "any")
    if not is_dense(x.shape, x.strides):
        return None
    (n, _, ih, iw), (oh, ow) = x.shape, window.out
    (kh, kw), (sh, sw), (dh, dw), (pt, pl) = window.kernel, window.strides, window.dilations, window.before
    shape = ConvShape(n, 1, w.shape[1], w.shape[0], kh, kw, sh, sw, dh, dw, pt, pl, ih, iw, oh, ow, strict=low.strict)
    whole = regions.column_regions(shape) == [(0, ow)]
    return x if whole and ladder.choose(Problem(shape, own_places(shape))).kind == "conv" else None


def place(prefix: str, t: Tensor | None) -> dict[str, int]:
    """image, row and pixel strides of a channels-last tensor as step fields."""
    strides = t.strides if t is not None else (0, 0, 0, 0)
    return {f"{prefix}_image": strides[0], f"{prefix}_row": strides[2], f"{prefix}_pixel": strides[3]}


def epilogue(activation: Activation | None) -> dict[str, float]:
    """Step fields of an activation."""
    if activation is None:
        return {"fn": _native.UNARY["None"], "alpha": 0.0, "beta": 0.0}
    return {"fn": _native.UNARY[activation.name], "alpha": activation.alpha, "beta": activation.beta}


def vector_of(low: Lowering, i: int, count: int) -> Tensor | None:
    """Input i, a bias or a slope, as `count` contiguous floats, constant or computed; None where it is omitted."""
    if not low.args.has(i):
        return None
    value = low.args.values[i]
    if value is not None:
        return low.packed(("vector", low.node.input(i), count), lambda: _repeated(value, count))
    return low.read(i, "dense")


def slope_of(low: Lowering, count: int) -> Tensor | None:
    """Input 4 of a Conv as steps take it: a slope per channel, a residual's factor, or a table."""
    if low.args.has(4) and low.node.activation is not None and low.node.activation.name == "RoundClip":
        return low.packed(("table", low.node.input(4)), lambda: low.args.constant(4))
    return vector_of(low, 4, count)


def _repeated(value: np.ndarray, count: int) -> np.ndarray:
    """The elements as `count` floats; a single element is repeated."""
    if value.shape == (count,) and value.dtype == F32 and value.flags.c_contiguous:
        return value[:]
    flat = np.asarray(value, F32).ravel()
    return np.ascontiguousarray(flat if flat.size == count else np.broadcast_to(flat, (count,)))


@dataclass(frozen=True)
class Term:
    """The part of a node's sum that a step adds: the first step adds the bias, the last applies slope and activation."""

    first: bool = True
    last: bool = True


WHOLE = Term()


def emit_conv(low: Lowering, y: Tensor, x: Tensor, residual: Tensor | None, w: np.ndarray | Tensor, name: str, window: Window, group: int,
              term: Term = WHOLE, scale: Tensor | None = None, affine: Tensor | None = None) -> None:
    """The step for one two-dimensional convolution, w (M, C/group, kh, kw), by the rung that fastcnn.convolve.ladder picks.

    w as a Tensor is computed at run time; its step is preceded by one that packs it. scale, one number per input channel of a dense
    1x1 convolution, is multiplied into the packed weights by a step before it. affine: by which x, three planes, is rounded.
    """
    n, m, oh, ow = y.shape
    if y.size == 0:
        return
    (kh, kw), (sh, sw), (dh, dw), (pt, pl) = window.kernel, window.strides, window.dilations, window.before
    if group == 1 and scale is None and affine is None and isinstance(w, np.ndarray):
        pieces = split_sums.of_channels(w.shape[1], (kh, kw), (sh, sw), n * oh * ow, low.strict)
        if len(pieces) > 1 and low.args.has(4) and low.node.activation is not None:
            _emit_pieces(_without_second(low), y, x, None, w, name, window, pieces, term)
            emit_second(low, y, residual, slope_of(low, m))
            return
        if len(pieces) > 1:
            _emit_pieces(low, y, x, residual, w, name, window, pieces, term)
            return
    bias, slope = vector_of(low, 2, m) if term.first else None, slope_of(low, m) if term.last else None
    shape = ConvShape(n, group, w.shape[1], m // group, kh, kw, sh, sw, dh, dw, pt, pl, x.shape[2], x.shape[3], oh, ow,
                             strict=low.strict)
    for first, count in regions.group_regions(shape) if isinstance(w, np.ndarray) else [(0, group)]:
        (o, oc), (i, ic) = ((first * size, count * size) for size in (shape.oc, shape.ic))
        slopes = slope if slope is None or slope.dtype != F32 else slope.slice(0, o, oc)
        operands = bias and bias.slice(0, o, oc), slopes, epilogue(low.node.activation if term.last else None)
        filters = w if isinstance(w, Tensor) or count == group else w[o:o + oc]
        at = name if group == 1 else f"{name}/{group}@{first}+{count}"      # other groups pack the same weights otherwise
        for begin, end in regions.column_regions(shape):
            whole = (count, begin, end) == (group, 0, ow)
            part = shape if whole else replace(shape, groups=count, pl=shape.pl - begin * shape.sw, ow=end - begin)
            other = residual and residual.slice(1, o, oc).slice(3, begin, end - begin)
            target = y.slice(1, o, oc).slice(3, begin, end - begin)
            _emit_region(low, target, x.slice(1, i, ic), other, filters, at, part, operands, scale, affine)


def emit_unseen(low: Lowering, y: Tensor, x: Tensor, residual: Tensor | None, name: str) -> None:
    """The step for outputs whose windows do not meet the input: bias, residual and activation alone, whatever x holds."""
    m, (oh, ow) = y.shape[1], y.shape[2:]
    window = Window((1, 1), (1, 1), (1, 1), (NOWHERE, NOWHERE), (0, 0), (oh, ow))
    emit_conv(low, y, x.slice(1, 0, 1), residual, np.zeros((m, 1, 1, 1), F32), f"{name}@none of {m}", window, 1)


def _emit_pieces(low: Lowering, y: Tensor, x: Tensor, residual: Tensor | None, w: np.ndarray, name: str, window: Window,
                 pieces: list[tuple[int, int]], term: Term) -> None:
    """Emits a convolution in pieces of input channels, each added to the sum of those before it in y."""
    for i, (first, last) in enumerate(pieces):
        part = Term(term.first and i == 0, term.last and i == len(pieces) - 1)
        emit_conv(low, y, x.slice(1, first, last - first), y if i else residual, w[:, first:last], f"{name}@{first}", window, 1, part)


def _emit_region(low: Lowering, y: Tensor, x: Tensor, residual: Tensor | None, w: np.ndarray | Tensor, name: str,
                 shape: ConvShape, operands: tuple[Tensor | None, Tensor | None, dict[str, float]], scale: Tensor | None,
                 affine: Tensor | None) -> None:
    places = tuple(t.strides for t in (x, y, residual) if t is not None)
    half = {f"{place}_half": int(t is not None and t.dtype == HALF) for place, t in (("x", x), ("y", y), ("r", residual))}
    weights, rounds = low.weights if scale is None and affine is None else FP32, low.rounds and affine is None
    problem = Problem(shape, places, low.threads, isinstance(w, np.ndarray), rounds=rounds, half=any(half.values()), weights=weights)
    picked, w, name = _decided(low, problem, w, name)
    assert affine is None or picked.kind == "conv", "planes go through a band"
    packed = pack_at_run_time(low, picked, w) if isinstance(w, Tensor) else low.packed_weights(name, picked, w)
    rounded = picked.kind == "conv_bf16"
    if scale is not None and not rounded:
        packed = _scaled(low, picked, packed, scale)
    bias, slope, activation = operands
    apart: tuple[Tensor | None, Tensor] | None = None
    if slope is not None and low.node.activation is not None and picked.kind not in (LOOK_UP if residual is None else ADD_ROUNDED):
        apart, residual, slope, activation = (residual, slope), None, None, epilogue(_first_rounding(low.node.activation))
    fields = conv_fields(picked, x, y, residual, activation) | (half | {"scaled": SCALE if scale is not None else 0} if rounded else {})
    lanes = lane_tables(picked)
    tables = scale if rounded else affine if lanes is None else low.constant(lanes)
    low.emit(picked.kind, [y, x, packed, bias, residual, slope, tables], picked.shape.macs, **fields)
    if apart is not None:
        emit_second(low, y, *apart)


def _first_rounding(activation: Activation) -> Activation:
    """The first of two roundings, or the one before a table."""
    zero = activation.beta % SECOND_ZERO
    return Activation("RoundClip", -zero, LAST_BYTE - zero) if activation.name == "RoundTwice" else activation


def _without_second(low: Lowering) -> Lowering:
    """The node as far as its first rounding."""
    assert low.node.activation is not None
    node = low.node.but(inputs=low.node.inputs[:3], activation=_first_rounding(low.node.activation))
    return low.part(BoundNode(node, None, Args(node, low.args.specs[:3], low.args.values[:3])))


def emit_second(low: Lowering, y: Tensor, residual: Tensor | None, slope: Tensor | None) -> None:
    """The step for what comes after the first rounding, where the tiles have none for it: a sum with the residual, or a table."""
    activation = low.node.activation
    assert activation is not None and slope is not None
    if activation.name == "RoundClip":
        shape, (ys, xs) = walk(y.shape, y.strides, y.strides)
        low.emit("lookup", [y, y, slope], y.size, ndim=len(shape), shape=shape, y_strides=ys, x_strides=xs)
        return
    assert residual is not None, "a product with another scale and no residual has no fifth input"
    zero, factor = activation.beta // SECOND_ZERO, float(low.args.constant(4).reshape(-1)[0])
    shape, (ys, as_, bs) = walk(y.shape, y.strides, y.strides, residual.strides)
    low.emit("round_sum", [y, y, residual], y.size, ndim=len(shape), shape=shape, y_strides=ys, a_strides=as_, b_strides=bs,
             a_factor=activation.alpha, b_factor=factor, lo=-zero, hi=LAST_BYTE - zero)


def _decided(low: Lowering, problem: Problem, w: np.ndarray | Tensor, name: str) -> tuple[Choice, np.ndarray | Tensor, str]:
    """What computes it, of which weights: in bfloat16 those that some window sees; kernels of floats leave the others out by themselves."""
    if isinstance(w, Tensor) or not problem.rounds:
        return low.decide(problem, name), w, name
    seen, (r, s) = regions.without_unseen(problem.shape)
    if seen.kernel == problem.shape.kernel:
        return low.decide(problem, name), w, name
    part = f"{name}@{r}+{seen.kh},{s}+{seen.kw}"
    picked = low.decide(replace(problem, shape=seen), part)
    if picked.rung == BF16_GEMM.name:
        return picked, w[:, :, r:r + seen.kh, s:s + seen.kw], part
    return low.decide(replace(problem, rounds=False), name), w, name


def conv_fields(picked: Choice, x: Tensor, y: Tensor, residual: Tensor | None,
                activation: Mapping[str, float]) -> dict[str, Any]:
    """Step fields of a convolution by its choice."""
    return {**picked.shape.window, **place("x", x), **place("y", y), **place("r", residual), **activation, **picked.fields}


def pack_at_run_time(low: Lowering, picked: Choice, w: Tensor) -> Tensor:
    """Steps that lay w (M, C/group, kh, kw) out as ladder.pack does with constants."""
    shape = picked.shape
    if picked.kind == "depthwise":
        taps = low.temp((shape.kh, shape.ic, shape.kw, shape.groups * shape.oc))
        low.copy(taps, w.transpose((2, 1, 3, 0)))
        return taps
    groups, nv = picked.packing[:2]
    rows = low.temp((groups, shape.oc, shape.kh, shape.kw, shape.ic))
    split = w.reshape((groups, shape.oc, *w.shape[1:]))
    assert split is not None, "one axis becomes two"
    low.copy(rows, split.transpose((0, 1, 3, 4, 2)))
    width = _native.vector_length()
    packed = low.temp((groups * -(-shape.oc // width) * width * shape.k,))
    low.emit("pack_weights", [packed, rows], rows.size, groups=groups, oc=shape.oc, k=shape.k, nv=nv)
    return packed


def _scaled(low: Lowering, picked: Choice, packed: Tensor, scale: Tensor) -> Tensor:
    """A step that multiplies what belongs to input channel i of packed weights by scale[i]."""
    assert picked.kind == "conv", "1x1 convolutions run as implicit GEMM"
    scaled = low.temp(packed.shape)
    low.emit("scale_weights", [scaled, packed, scale], packed.size, oc=picked.shape.oc, k=picked.shape.k, nv=picked.packing[1])
    return scaled
