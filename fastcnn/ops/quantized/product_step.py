"""Emits one two-dimensional convolution of bytes, with its offsets and epilogue, for all products with constant weights."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fastcnn.convolve import regions
from fastcnn.convolve.arithmetic import U8S8
from fastcnn.convolve.shape import ConvShape, Problem
from fastcnn.ir.record import replace
from fastcnn.ir.spec import F32
from fastcnn.ir.tensor import Tensor
from fastcnn.ops.base import Lowering
from fastcnn.ops.convolution.conv_emit import place
from fastcnn.ops.window import Window

BIAS, FACTOR, RESIDUAL, TABLE = 2, 3, 4, 5         # inputs of a product
BYTE = 255
TO = {"int32": 0, "float": 1, "uint8": 2}           # FC_Q_SUMS, FC_Q_FLOATS, FC_Q_BYTES


def problem_of(low: Lowering, y: Tensor, x: Tensor, residual: Tensor | None, w: np.ndarray, window: Window, group: int) -> Problem:
    """One two-dimensional convolution of bytes, w (M, C/group, kh, kw)."""
    n, m, oh, ow = y.shape
    (kh, kw), (sh, sw), (dh, dw), (pt, pl) = window.kernel, window.strides, window.dilations, window.before
    shape = ConvShape(n, group, w.shape[1], m // group, kh, kw, sh, sw, dh, dw, pt, pl, x.shape[2], x.shape[3], oh, ow, arithmetic=U8S8)
    return Problem(shape, tuple(t.strides for t in (x, y, residual) if t is not None), low.threads)


def emit_product(low: Lowering, y: Tensor, x: Tensor, residual: Tensor | None, w: np.ndarray, name: str, window: Window,
                 group: int) -> None:
    """The steps of one convolution of bytes: of all columns together, or of those that read the same kernel columns.

    Taps that meet nothing but padding are left out: the offset counts on the others alone.
    """
    problem = problem_of(low, y, x, residual, w, window, group)
    shape = problem.shape
    for begin, end in regions.column_regions(shape):
        part = replace(shape, pl=shape.pl - begin * shape.sw, ow=end - begin)
        seen, (r, s) = regions.without_unseen(part)
        taps = w[:, :, r:r + seen.kh, s:s + seen.kw]
        at = name if seen.kernel == shape.kernel else f"{name}@{r}+{seen.kh},{s}+{seen.kw}"
        target, added = (t and t.slice(3, begin, end - begin) for t in (y, residual))
        assert target is not None
        _emit_region(low, target, x, added, taps, at, replace(problem, shape=seen))


def _emit_region(low: Lowering, y: Tensor, x: Tensor, residual: Tensor | None, w: np.ndarray, name: str, problem: Problem) -> None:
    picked = low.decide(problem, name)
    packed = low.packed_weights(name, picked, w)
    operands = [y, x, packed, _offset(low, w, name), factor_of(low)]
    table = low.read(TABLE, "dense") if low.args.has(TABLE) else None
    fields = {**picked.shape.window, **place("x", x), **place("y", y), **picked.fields}
    epilogue = _epilogue(low.node.attrs)
    if picked.kind == "qdepthwise":                     # it makes bytes, and adds nothing to them
        only = {field: epilogue[field] for field in ("x_zero", "lo", "hi", "zero")}
        low.emit(picked.kind, [*operands, table], picked.shape.macs, **fields, **only)
    else:
        more = [residual, table, _row_sums(low, w, name, problem), _largest(low, w, name)]
        low.emit(picked.kind, [*operands, *more], picked.shape.macs, **fields, **place("r", residual), **epilogue)


def _epilogue(attrs: Mapping[str, Any]) -> dict[str, float]:
    """Step fields of what happens to the sums: limits are counted from zero points there."""
    zero, own = attrs["y_zero"], attrs.get("first_zero", 0)
    return {"x_zero": attrs["x_zero"], "to": TO[attrs["to"]],
            "own_factor": attrs.get("first_factor", 0.0), "own_lo": float(attrs.get("first_lo", 0) - own),
            "own_hi": float(attrs.get("first_hi", 0) - own), "r_factor": attrs.get("r_factor", 0.0), "r_zero": attrs.get("r_zero", 0),
            "lo": float(attrs["lo"] - zero), "hi": float(attrs["hi"] - zero), "zero": zero}


def _offset(low: Lowering, w: np.ndarray, name: str) -> Tensor:
    """The offset of each output channel: bias, less the zero point of x times the sum of the weights, padding included."""
    zero = low.node.attrs["x_zero"]

    def make() -> np.ndarray:
        low.contents(1)
        sums = w.reshape(w.shape[0], -1).sum(1, dtype=np.int64)
        bias = low.args.values[BIAS] if low.args.has(BIAS) else 0
        return np.ascontiguousarray(bias - zero * sums, np.int32)
    return low.packed((name, low.node.input(BIAS), "offset", zero), make)


def _row_sums(low: Lowering, w: np.ndarray, name: str, problem: Problem) -> Tensor | None:
    """Sums of the weights of each kernel row, [kh][M], where outputs see rows of padding that are not 0."""
    shape = problem.shape
    if shape.kh == 1 or not shape.touches_padding or low.node.attrs["x_zero"] == 0:
        return None

    def make() -> np.ndarray:
        low.contents(1)
        return np.ascontiguousarray(w.sum((1, 3), dtype=np.int64).T, np.int32)
    return low.packed((name, "row sums"), make)


def _largest(low: Lowering, w: np.ndarray, name: str) -> Tensor:
    """A bound of the magnitude of all sums: of bytes that are 255 wherever weights have one sign."""
    zero = low.node.attrs["x_zero"]

    def make() -> np.ndarray:
        low.contents(1)
        wide = w.reshape(w.shape[0], -1).astype(np.int64)
        bias = low.args.values[BIAS] if low.args.has(BIAS) else 0
        offset = np.asarray(bias, np.int64) - zero * wide.sum(1)
        most = np.maximum(np.abs(offset + BYTE * np.maximum(wide, 0).sum(1)), np.abs(offset + BYTE * np.minimum(wide, 0).sum(1)))
        return np.array([min(int(most.max(initial=0)), np.iinfo(np.int32).max)], np.int32)
    return low.packed((name, low.node.input(BIAS), "largest", zero), make)


def factor_of(low: Lowering) -> Tensor:
    """The factor of each output channel's sums."""
    factor = low.args.constant(FACTOR)
    return low.packed((low.node.input(FACTOR), "factor"), lambda: np.ascontiguousarray(factor, F32))
