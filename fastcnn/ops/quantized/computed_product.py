"""QBatchMatMul: the matrix product of two values of bytes that the run computes, as between queries and keys."""
from __future__ import annotations

import math

from fastcnn.convolve.arithmetic import U8S8
from fastcnn.convolve.quantized_gemm import Tiles, tile_widths, work_cycles
from fastcnn.convolve.shape import ConvShape
from fastcnn.ir.spec import F32, Args
from fastcnn.ir.tensor import Tensor, walk
from fastcnn.ops.base import Lowering, Op
from fastcnn.ops.products.linear import emit_matmul
from fastcnn.ops.quantized import in_floats
from fastcnn.ops.quantized.bytes import U8, are_bytes, emit_limits, past_the_end, walk_fields
from fastcnn.ops.quantized.product_step import TO

MOST_K = 1 << 14            # 32 bits hold so many products of differences of bytes, and what zero points add


class QBatchMatMul(Op):
    """y = (sum over k of (a - a_zero) * (b - b_zero)) * factor, then bytes within limits, floats, or the sums.

    a: (..., M, K), b: (..., K, N), with numpy's rules for what is before.
    """

    def native(self, args: Args) -> bool:
        a, b = args.spec(0), args.spec(1)
        return are_bytes(args, 0, 1) and min(a.rank, b.rank) >= 2 and 0 < a.shape[-1] <= MOST_K and a.size > 0 and b.size > 0

    def lower(self, low: Lowering) -> None:
        a, b, attrs = low.read(0, "rows"), low.read(1), low.node.attrs
        y = low.write(0, "dense")
        if attrs["to"] != "int32" and not in_floats.has_dots():
            self._lower_in_floats(low, y, a, b)
            return
        if b.strides[-1] != 1 and b.strides[-2] != 1:
            b = low.read(1, "dense")
        m, k, n = a.shape[-2], a.shape[-1], b.shape[-1]
        a, batch = past_the_end(low, a, k, "dense"), y.shape[:-2]
        a, b = a.broadcast((*batch, m, k)), b.broadcast((*batch, k, n))
        shape, (ys, as_, bs) = walk(batch, y.strides[:-2], a.strides[:-2], b.strides[:-2])
        rows = ConvShape(n=1, groups=1, ic=k, oc=n, kh=1, kw=1, sh=1, sw=1, dh=1, dw=1, pt=0, pl=0, ih=1, iw=m, oh=1, ow=m, arithmetic=U8S8)
        zero = attrs["y_zero"]
        low.emit("qmatmul", [y, a, b], math.prod(batch) * m * n * k, ndim=len(shape), shape=shape, y_strides=ys, a_strides=as_,
                 b_strides=bs, m=m, n=n, k=k, a_m=a.strides[-2], b_k=b.strides[-2] if k > 1 else n, b_n=b.strides[-1] if n > 1 else 1,
                 y_m=y.strides[-2], nv=min(tile_widths(n), key=lambda nv: work_cycles(rows, Tiles(nv))), a_zero=attrs["a_zero"],
                 b_zero=attrs["b_zero"], factor=attrs["factor"], lo=float(attrs["lo"] - zero), hi=float(attrs["hi"] - zero), zero=zero,
                 to=TO[attrs["to"]])

    def _lower_in_floats(self, low: Lowering, y: Tensor, a: Tensor, b: Tensor) -> None:
        """Sums of float32, for instruction sets without dot products of bytes."""
        attrs, floats = low.node.attrs, []
        for x, name, scale in ((a, "a", attrs["factor"]), (b, "b", 1.0)):
            t = low.temp(x.shape, F32)
            low.emit("dequantise", [t, x], x.size, scale=scale, zero=attrs[f"{name}_zero"], **walk_fields(t, x=x))
            floats.append(t)
        sums = y if attrs["to"] == "float" else low.temp(y.shape, F32)
        emit_matmul(low, sums, *floats)
        if attrs["to"] == "uint8":
            bytes_ = low.temp(y.shape, U8) if (attrs["lo"], attrs["hi"]) != (0, 255) else y
            low.emit("quantise", [bytes_, sums], y.size, scale=1.0, zero=attrs["y_zero"], **walk_fields(bytes_, x=sums))
            if bytes_ is not y:
                emit_limits(low, y, bytes_)


OPERATORS: dict[str, Op] = {"QBatchMatMul": QBatchMatMul()}
