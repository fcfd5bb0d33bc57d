"""CenterCropPad: images cut or padded around their middle."""
from __future__ import annotations

from fastcnn.ir.spec import Args
from fastcnn.ops.base import Lowering, Op
from fastcnn.ops.layout import movable, own_output, scalar
from fastcnn.ops.movement.shape import normalized_axes


class CenterCropPad(Op):
    """y = x cut or padded with zeros to the extents of input 1 along `axes`, evenly on both sides; the odd element goes after.

    Any type. ONNX CenterCropPad-18. Raises ShapeError.
    """

    def native(self, args: Args) -> bool:
        return movable(args.spec(0))

    def lower(self, low: Lowering) -> None:
        x, y = low.read(0), own_output(low, 0)
        inside = y
        for axis in self._axes(low.args):
            n, m = x.shape[axis], y.shape[axis]
            if n > m:
                x = x.slice(axis, (n - m) // 2, m)
            else:
                inside = inside.slice(axis, (m - n) // 2, n)
        if inside.shape != y.shape:
            low.copy(y, scalar(low, 0, y.dtype).broadcast(y.shape))
        low.copy(inside, x)

    def _axes(self, args: Args) -> list[int]:
        rank = args.spec(0).rank
        given = args.node.attrs.get("axes")
        return list(range(rank)) if given is None else normalized_axes(args, list(given), rank)


OPERATORS: dict[str, Op] = {"CenterCropPad": CenterCropPad()}
