"""Predicates on nodes that several fusions share."""
from __future__ import annotations

from typing import TypeGuard

from fastcnn.convolve.shape import ConvShape
from fastcnn.ir.graph import Activation, Node
from fastcnn.ops.base import BoundNode, Unit
from fastcnn.ops.pooling.pool import Pool
from fastcnn.ops.window import Window, resolve

# The operators of is_image_pool().
POOLS = frozenset({"AveragePool", "LpPool", "MaxPool"})


def is_clamp(activation: Activation | None) -> bool:
    """Whether an activation, or none, is a maximum and a minimum, which convolutions apply while they store."""
    return activation is None or activation.name in ("Relu", "Clip")


def is_looked_up(node: Node) -> bool:
    """Whether what a Conv makes is rounded and looked up in a table, which is its fifth input."""
    return node.activation is not None and node.activation.name == "RoundClip" and bool(node.input(4))


def is_native(unit: Unit, op_type: str) -> TypeGuard[BoundNode]:
    """Whether a unit is a single ONNX node with a kernel, not fused yet."""
    return isinstance(unit, BoundNode) and unit.op is not None and unit.node.op_type == op_type and not unit.node.domain


def is_conv(unit: Unit, inputs: int = 3) -> TypeGuard[BoundNode]:
    """A Conv of images, weights constant, no padding below zero, with at most so many inputs (4th: residual, 5th: slope)."""
    if not is_native(unit, "Conv") or len(unit.node.inputs) > inputs or unit.args.spec(0).rank != 4 or unit.args.values[1] is None:
        return False
    return min(unit.node.attrs.get("pads") or (0,)) >= 0


def is_dense(b: BoundNode) -> bool:
    """A Conv of one group, undilated."""
    return b.node.attrs.get("group", 1) == 1 and not set(b.node.attrs.get("dilations", ())) - {1}


def is_pointwise(unit: Unit, inputs: int = 5) -> TypeGuard[BoundNode]:
    """A dense 1x1 Conv that skips nothing and pads nothing."""
    if not is_conv(unit, inputs) or unit.args.spec(1).shape[2:] != (1, 1):
        return False
    attrs = unit.node.attrs
    return set(attrs.get("strides", ())) <= {1} and set(attrs.get("pads", ())) <= {0} and attrs.get("group", 1) == 1


def is_image_pool(unit: Unit) -> TypeGuard[BoundNode]:
    """A pooling over height and width, with no activation of its own and no Indices."""
    if not isinstance(unit, BoundNode) or not isinstance(unit.op, Pool) or unit.node.activation is not None:
        return False
    return len([name for name in unit.outputs if name]) == 1 and unit.args.spec(0).rank == 4


def conv_window(b: BoundNode) -> Window:
    """The window of a Conv over its input."""
    return resolve(b.args, b.args.spec(0).shape[2:], b.args.spec(1).shape[2:])


def conv_shape(b: BoundNode) -> ConvShape:
    """The ConvShape of a Conv."""
    (n, _, h, w), (oc, ic, *_), window, groups = b.args.spec(0).shape, b.args.spec(1).shape, conv_window(b), b.node.attrs.get("group", 1)
    (kh, kw), (sh, sw), (dh, dw), (pt, pl) = window.kernel, window.strides, window.dilations, window.before
    return ConvShape(n, groups, ic, oc // groups, kh, kw, sh, sw, dh, dw, pt, pl, h, w, *window.out)
