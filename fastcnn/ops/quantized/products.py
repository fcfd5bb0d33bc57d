"""QConv, QMatMul: bytes times constant weights of signed bytes, by the rungs for bytes of fastcnn.convolve.ladder."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fastcnn.convolve import ladder
from fastcnn.convolve.arithmetic import U8S8
from fastcnn.convolve.shape import ConvShape, Problem
from fastcnn.ir.spec import F32, Args
from fastcnn.ir.tensor import Tensor
from fastcnn.ops.base import Lowering, Op
from fastcnn.ops.convolution.conv_emit import place, two_dimensional
from fastcnn.ops.products.linear import as_rows
from fastcnn.ops.quantized import in_floats
from fastcnn.ops.quantized.bytes import are_bytes, past_the_end
from fastcnn.ops.window import Window, resolve, two_axes

BIAS, FACTOR, RESIDUAL, TABLE = 2, 3, 4, 5         # inputs
TO = {"int32": 0, "float": 1, "uint8": 2}           # FC_Q_SUMS, FC_Q_FLOATS, FC_Q_BYTES


class QConv(Op):
    """y = (sum of (x - x_zero) * w + bias) * factor, then bytes within limits or floats.

    x: (N, C, H, W) or (N, C, L); w: (M, C/group, k...). A residual is added to the bytes, a table looked up at last.
    """

    def native(self, args: Args) -> bool:
        return are_bytes(args, 0) and args.spec(0).rank in (3, 4) and args.values[1] is not None and args.spec(0).size > 0

    def lower(self, low: Lowering) -> None:
        w = low.args.constant(1)
        w = w[:, :, None, :] if w.ndim == 3 else w
        x = past_the_end(low, low.read(0, "channels_last"), w.shape[1])
        y = low.write(0, "channels_last")
        residual = two_dimensional(low.read(RESIDUAL, "channels_last")) if low.args.has(RESIDUAL) else None
        emit_product(low, two_dimensional(y), two_dimensional(x), residual, w, two_axes(_window(low.args)), low.node.attrs.get("group", 1))


class QMatMul(Op):
    """The same for the rows of x: (..., K), w: (N, K)."""

    def native(self, args: Args) -> bool:
        return are_bytes(args, 0) and args.values[1] is not None and args.spec(0).size > 0

    def lower(self, low: Lowering) -> None:
        w, x = low.args.constant(1), low.read(0)
        n, k = w.shape
        m = int(np.prod(x.shape[:-1], dtype=np.int64))
        rows = past_the_end(low, as_rows(low, x, m), k)
        y = low.write(0, "dense").view((m, n))
        residual = _as_image(as_rows(low, low.read(RESIDUAL), m)) if low.args.has(RESIDUAL) else None
        window = Window((1, 1), (1, 1), (1, 1), (0, 0), (0, 0), (1, m))
        emit_product(low, _as_image(y), _as_image(rows), residual, w.reshape(n, k, 1, 1), window, 1)


def emit_product(low: Lowering, y: Tensor, x: Tensor, residual: Tensor | None, w: np.ndarray, window: Window, group: int) -> None:
    """The step for one convolution of bytes."""
    n, m, oh, ow = y.shape
    (kh, kw), (sh, sw), (dh, dw), (pt, pl) = window.kernel, window.strides, window.dilations, window.before
    shape = ConvShape(n, group, w.shape[1], m // group, kh, kw, sh, sw, dh, dw, pt, pl, x.shape[2], x.shape[3], oh, ow, arithmetic=U8S8)
    problem = Problem(shape, tuple(t.strides for t in (x, y, residual) if t is not None), low.threads)
    table = low.read(TABLE, "dense") if low.args.has(TABLE) else None
    if low.node.attrs["to"] != "int32" and in_floats.pays(problem, ladder.choose(problem)):
        in_floats.lower_in_floats(low, y, x, residual, w, window, group, table)
        return
    name = low.node.input(1)
    picked = low.decide(problem, name)
    packed = low.packed((name, *picked.layout), lambda: ladder.pack(picked, w))
    operands = [y, x, packed, _offset(low, w), _factor(low)]
    fields = {**picked.shape.window, **place("x", x), **place("y", y), **picked.fields}
    epilogue = _epilogue(low.node.attrs)
    if picked.kind == "qdepthwise":                     # it makes bytes, and adds nothing to them
        only = {field: epilogue[field] for field in ("x_zero", "lo", "hi", "zero")}
        low.emit(picked.kind, [*operands, table], shape.macs, **fields, **only)
    else:
        low.emit(picked.kind, [*operands, residual, table], shape.macs, **fields, **place("r", residual), **epilogue)


def _epilogue(attrs: Mapping[str, Any]) -> dict[str, float]:
    """Step fields of what happens to the sums: limits are counted from zero points there."""
    zero, own = attrs["y_zero"], attrs.get("first_zero", 0)
    return {"x_zero": attrs["x_zero"], "to": TO[attrs["to"]],
            "own_factor": attrs.get("first_factor", 0.0), "own_lo": float(attrs.get("first_lo", 0) - own),
            "own_hi": float(attrs.get("first_hi", 0) - own), "r_factor": attrs.get("r_factor", 0.0), "r_zero": attrs.get("r_zero", 0),
            "lo": float(attrs["lo"] - zero), "hi": float(attrs["hi"] - zero), "zero": zero}


def _as_image(t: Tensor) -> Tensor:
    """Rows (M, K) as the pixels of one row."""
    m, k = t.shape
    return Tensor(t.buffer, (1, k, 1, m), (0, 1, m * t.strides[0], t.strides[0]), t.offset)


def _offset(low: Lowering, w: np.ndarray) -> Tensor:
    """What the zero point of x adds to every sum, padding included, and the bias."""
    zero = low.node.attrs["x_zero"]

    def make() -> np.ndarray:
        low.contents(1)
        sums = w.reshape(w.shape[0], -1).sum(1, dtype=np.int64)
        bias = low.args.values[BIAS] if low.args.has(BIAS) else 0
        return np.ascontiguousarray(bias - zero * sums, np.int32)
    return low.packed((low.node.input(1), low.node.input(BIAS), "offset", zero), make)


def _factor(low: Lowering) -> Tensor:
    factor = low.args.constant(FACTOR)
    return low.packed((low.node.input(FACTOR), "factor"), lambda: np.ascontiguousarray(factor, F32))


def _window(args: Args) -> Window:
    return resolve(args, args.spec(0).shape[2:], args.spec(1).shape[2:])
