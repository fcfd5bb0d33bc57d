"""ScaledConv: a Mul by one number per channel and the 1x1 Conv after it: the scale goes into the weights instead of the whole map."""
from __future__ import annotations

from fastcnn.convolve import ladder, split_sums
from fastcnn.convolve.accuracy import Accuracy
from fastcnn.convolve.shape import Problem, own_places
from fastcnn.fusions.fused import Fused, Neighbours
from fastcnn.fusions.nodes import conv_shape, conv_window, is_clamp, is_native, is_pointwise
from fastcnn.ir.record import dataclass, replace
from fastcnn.ops.base import BoundNode, Lowering, Unit
from fastcnn.ops.convolution.conv_emit import emit_conv, weights_of

# The weights are read and written once more, C*M numbers, instead of the map, C*H*W: worth it up to this many times the pixels.
MOST_OUTPUTS_A_PIXEL = 2


@dataclass(frozen=True)
class ScaledConv(Fused):
    """y[n] = act(sum_c x[n,c] * (scale[n,c] * w[m,c]) + b[m] + residual[n]): the scale goes into the weights, image by image."""

    mul: BoundNode
    conv: BoundNode

    readers = frozenset({"Conv"})

    @classmethod
    def of(cls, maker: Unit, reader: BoundNode, near: Neighbours) -> Fused | None:
        if not is_pointwise(reader) or not near.is_private(maker.outputs[0]) or _operands(maker) is None:
            return None
        (_, _, height, width), outputs = reader.args.spec(0).shape, reader.args.spec(1).shape[0]
        return cls(maker, reader) if outputs <= MOST_OUTPUTS_A_PIXEL * height * width else None     # type: ignore[arg-type]

    def halves(self, accuracy: Accuracy, threads: int) -> tuple[bool, frozenset[str]]:
        node, indices = self.conv.node, _operands(self.mul)
        shape = replace(conv_shape(self.conv), n=1, strict=accuracy.is_strict(node.name))
        if indices is None or not accuracy.rounds(node.name) or ladder.in_bfloat16(Problem(shape, own_places(shape), threads)) is None:
            return False, frozenset()
        whole = len(split_sums.of_channels(shape.ic, (1, 1), (1, 1), shape.oh * shape.ow)) == 1
        takes = frozenset({self.mul.node.input(indices[0]), node.input(3)} - {""})
        return whole and is_clamp(node.activation) and not node.input(4) and shape.oh * shape.ow > 1, takes

    def lower(self, low: Lowering) -> None:
        mul, conv, indices = low.part(self.mul), low.part(self.conv, self.name), _operands(self.mul)
        assert indices is not None
        x, y, scale = mul.read(indices[0], "channels_last"), conv.write(0), mul.read(indices[1], "dense")
        residual = conv.read(3, "channels_last") if conv.args.has(3) else None
        for i in range(x.shape[0]):
            emit_conv(conv, y.slice(0, i, 1), x.slice(0, i, 1), residual and residual.slice(0, i, 1), weights_of(conv), conv.node.input(1),
                      conv_window(self.conv), 1, scale=scale.slice(0, i, 1))


def _operands(unit: Unit) -> tuple[int, int] | None:
    """Which input of a Mul is the map (N, C, H, W) and which the scale (N, C, 1, 1)."""
    if not is_native(unit, "Mul") or unit.node.activation is not None or None in unit.args.specs:
        return None
    shapes = [unit.args.spec(i).shape for i in (0, 1)]
    for x, scale in ((0, 1), (1, 0)):
        if len(shapes[x]) == 4 and shapes[scale] == (*shapes[x][:2], 1, 1) != shapes[x] and unit.args.values[scale] is None:
            return x, scale
    return None
