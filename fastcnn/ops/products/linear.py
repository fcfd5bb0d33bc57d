"""Gemm and MatMul: a constant right-hand side is a 1x1 convolution over rows, anything else the batched matmul step."""
from __future__ import annotations

import numpy as np

from fastcnn.convolve import split_sums
from fastcnn.convolve.shape import ConvShape, Problem
from fastcnn.convolve.tile import best_nv
from fastcnn.ir.graph import Activation
from fastcnn.ir.spec import F32, Args
from fastcnn.ir.tensor import Tensor, walk
from fastcnn.ops.base import Lowering, Op
from fastcnn.ops.convolution.conv_emit import epilogue, place, vector_of
from fastcnn.ops.products.typed_products import emit_fused_sums, emit_typed_matmul, is_plain_product


class Gemm(Op):
    """y = alpha * op(a) @ op(b) + beta * c, op by transA and transB. a: (M, K), b: (K, N), c broadcasts to (M, N). ONNX Gemm-7 to 13."""

    def native(self, args: Args) -> bool:
        if not super().native(args):
            return False
        c = args.spec(2) if args.has(2) else None
        if args.values[1] is None:
            plain = args.node.attrs.get("alpha", 1.0) == 1.0 and (c is None or args.node.attrs.get("beta", 1.0) == 1.0)
            columns = args.spec(1).shape[0 if args.node.attrs.get("transB", 0) else -1:][:1]
            return plain and (c is None or c.shape[-1:] == (c.size,) == columns) and args.spec(0).size > 0
        row = c is None or (args.values[2] is not None and (c.size == 1 or (c.shape[-1] == c.size)))
        return args.values[1] is not None and row and args.spec(0).size > 0

    def lower(self, low: Lowering) -> None:
        attrs = low.node.attrs
        a = low.read(0)
        if attrs.get("transA", 0):
            a = a.transpose((1, 0))
        if low.args.values[1] is None:
            b = low.read(1)
            b = b.transpose((1, 0)) if attrs.get("transB", 0) else b
            emit_matmul(low, low.write(0, "dense"), a, b, vector_of(low, 2, b.shape[1]))
            return
        if a.shape[1] != 1 and a.strides[1] != 1:
            dense = low.temp(a.shape)
            low.copy(dense, a)
            a = dense
        w, alpha, beta = low.args.constant(1), attrs.get("alpha", 1.0), attrs.get("beta", 1.0)
        weights = w if attrs.get("transB", 0) else w.T
        if alpha != 1.0:
            low.contents(1)
            weights = weights * np.float32(alpha)
        bias = None
        if low.args.has(2):
            c = low.args.constant(2)
            bias = low.packed(("gemm bias", low.node.input(2), beta, weights.shape[0]), lambda: np.ascontiguousarray(
                np.broadcast_to(c.ravel() * np.float32(beta), (weights.shape[0],)), F32))
        key = (low.node.input(1), "gemm", alpha, attrs.get("transB", 0))
        emit_rows(low, low.write(0, "dense"), a, weights, key, bias, activation=low.node.activation)


class MatMul(Op):
    """y = a @ b with numpy's rules for batches and vectors, then + input 2 along the last axis when passes fused a bias.

    Input 3 is a residual, fused by passes where b is a constant matrix. float32; doubles and integers
    by plain loops. ONNX MatMul-1 to 13. Raises ShapeError.
    """

    def native(self, args: Args) -> bool:
        return is_plain_product(args) or (super().native(args) and args.spec(0).shape[-1:] != (0,))

    def lower(self, low: Lowering) -> None:
        a, b = low.read(0), low.read(1)
        whole = y = low.write(0, "dense")
        if len(a.shape) == 1:
            a, y = a.view((1, *a.shape)), _insert_axis(y, len(y.shape) - (len(b.shape) > 1))
        if len(b.shape) == 1:
            b, y = Tensor(b.buffer, (*b.shape, 1), (*b.strides, 0), b.offset), _insert_axis(y, len(y.shape))
        constant = low.args.values[1]
        if y.dtype != F32:
            emit_typed_matmul(low, y, a, b)
            emit_fused_sums(low, whole, len(whole.shape) - 1)
        elif constant is not None and len(b.shape) == 2:
            self._lower_rows(low, y, a, constant.reshape(b.shape))
        else:
            emit_matmul(low, y, a, b, vector_of(low, 2, b.shape[-1]))

    def _lower_rows(self, low: Lowering, y: Tensor, a: Tensor, b: np.ndarray) -> None:
        rows = int(np.prod(a.shape[:-1], dtype=np.int64))
        bias = vector_of(low, 2, b.shape[1])
        residual = as_rows(low, low.read(3), rows) if low.args.has(3) else None
        key = (low.node.input(1), "matmul")
        emit_rows(low, y.view((rows, b.shape[1])), as_rows(low, a, rows), b.T, key, bias, residual, low.node.activation)


def as_rows(low: Lowering, t: Tensor, rows: int) -> Tensor:
    """t as a matrix of that many rows, each contiguous; copied only where strides cannot say so."""
    flat = t.reshape((rows, t.shape[-1]))
    if flat is not None and (flat.shape[1] == 1 or flat.strides[1] == 1):
        return flat
    dense = low.temp(t.shape)
    low.copy(dense, t)
    return dense.view((rows, t.shape[-1]))


def emit_rows(low: Lowering, y: Tensor, a: Tensor, weights: np.ndarray, key: tuple, bias: Tensor | None,
              residual: Tensor | None = None, activation: Activation | None = None) -> None:
    """y[m][n] = activation(a[m][k] * weights[n][k] + bias + residual[m][n]): a 1x1 convolution whose pixels are the rows of a."""
    (m, k), n = a.shape, weights.shape[0]
    if y.size == 0:
        return
    pieces = split_sums.of_columns(k, m)
    if len(pieces) > 1:
        for i, (first, last) in enumerate(pieces):     # each adds to what the ones before it left in y
            emit_rows(low, y, a.slice(1, first, last - first), weights[:, first:last], (*key, first, last), bias if i == 0 else None,
                      residual if i == 0 else y, activation if i == len(pieces) - 1 else None)
        return
    shape = ConvShape(1, 1, k, n, 1, 1, 1, 1, 1, 1, 0, 0, 1, m, 1, m)
    strides_x, strides_y = (0, 1, m * a.strides[0], a.strides[0]), (0, 1, m * y.strides[0], y.strides[0])
    picked = low.decide(Problem(shape, (strides_x, strides_y), low.threads, rounds=low.rounds, weights=low.weights), key)
    filters = (n, k, 1, 1)
    packed = low.packed_weights(key, picked, weights.reshape(filters))
    x4, y4 = (Tensor(t.buffer, (1, c, 1, m), s, t.offset) for t, c, s in ((a, k, strides_x), (y, n, strides_y)))
    r4 = residual and Tensor(residual.buffer, (1, n, 1, m), (0, 1, m * residual.strides[0], residual.strides[0]), residual.offset)
    fields = {**shape.window, **place("x", x4), **place("y", y4), **place("r", r4), **epilogue(activation), **picked.fields}
    low.emit(picked.kind, [y4, x4, packed, bias, r4, None], shape.macs, **fields)


def emit_matmul(low: Lowering, y: Tensor, a: Tensor, b: Tensor, bias: Tensor | None = None) -> None:
    """y[..., m, n] = activation(a[..., m, k] * b[..., k, n] + bias[n]), both operands where the run finds them."""
    m, k, n = a.shape[-2], a.shape[-1], b.shape[-1]
    batch = y.shape[:-2]
    if y.size == 0:
        return
    a, b = a.broadcast((*batch, m, k)), b.broadcast((*batch, k, n))
    shape, (ys, as_, bs) = walk(batch, y.strides[:-2], a.strides[:-2], b.strides[:-2])
    low.emit("matmul", [y, a, b, bias], int(np.prod(batch, dtype=np.int64)) * m * n * k,
             ndim=len(shape), shape=shape, y_strides=ys, a_strides=as_, b_strides=bs, m=m, n=n, k=k,
             a_m=a.strides[-2], a_k=a.strides[-1] if k > 1 else 1, b_k=b.strides[-2], b_n=b.strides[-1] if n > 1 else 1,
             y_m=y.strides[-2], nv=best_nv(n, m, k), row_bias=0, **epilogue(low.node.activation))


def _insert_axis(t: Tensor, axis: int) -> Tensor:
    return Tensor(t.buffer, (*t.shape[:axis], 1, *t.shape[axis:]), (*t.strides[:axis], 0, *t.strides[axis:]), t.offset)


OPERATORS: dict[str, Op] = {"Gemm": Gemm(), "MatMul": MatMul()}
