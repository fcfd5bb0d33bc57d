"""Region: the rewriting of a graph onto bytes. Values are unsigned bytes inside, each with one scale and zero point."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from typing import Any

import numpy as np

from fastcnn.expansion import add_constant, shape_of, type_of
from fastcnn.ir.graph import Graph, Node
from fastcnn.ir.record import dataclass
from fastcnn.operators.elementwise import OWN_DOMAIN
from fastcnn.passes.rewrite import describe

SIGN = 0x80         # what turns a signed byte into the unsigned one that is larger by 128, and back
MOST_OF_TWO = 254   # that two signed bytes add up to
# Since when operators of ONNX that move elements, or pick the largest, take bytes.
BYTES_SINCE = {"MaxPool": 12, "Concat": 4}


@dataclass(frozen=True)
class Scale:
    """An unsigned byte u stands for (u - zero) * scale."""

    scale: float
    zero: int


@dataclass(frozen=True)
class Operand:
    """Unsigned bytes by the name of their value, and what they stand for."""

    name: str
    at: Scale


@dataclass(frozen=True)
class Weights:
    """Signed bytes with zero point 0, by name, and a scale for each index of the axis of output channels.

    excess  what is left of differences from a zero point that are no signed bytes, itself signed bytes: to be added
    """

    name: str
    array: np.ndarray
    scales: np.ndarray
    excess: np.ndarray | None = None


@dataclass
class Region:
    """The nodes of a graph while they are rewritten, in order.

    unsigned  value of signed bytes -> the same as unsigned ones
    """

    graph: Graph
    rewritten: list[Node] = field(default_factory=list)
    made: dict[str, Node] = field(default_factory=dict)
    unsigned: dict[str, str] = field(default_factory=dict)
    changed: bool = False

    def producer(self, value: str) -> Node | None:
        """The node that makes a value, in its present form."""
        return self.made.get(value) or self.graph.producers().get(value)

    def is_read_once(self, value: str) -> bool:
        """Whether one node of the original graph reads a value, and no output is it."""
        return len(self.graph.consumers().get(value, ())) == 1 and value not in self.graph.output_names()

    def keep(self, node: Node) -> None:
        """Keeps a node unchanged."""
        self.rewritten.append(node)

    def add(self, op_type: str, inputs: Sequence[str], output: str, like: str, kind: str = "uint8", name: str = "", **attrs: Any) -> str:
        """A node of this package's own; its output has the shape of `like`, a value of the graph. name: of the node that it stands for."""
        self.put(Node(op_type, tuple(inputs), (output,), attrs, name or f"{output}/{op_type}", OWN_DOMAIN, 1), like, kind=kind)
        return output

    def put(self, node: Node, *like: str, kind: str = "uint8") -> None:
        """Appends a node; like: for each of its outputs a value of the same shape, none where there is none yet."""
        for k, output in enumerate(v for v in node.outputs if v):
            if k < len(like):
                describe(self.graph, output, like[k])
            self.graph.types[output] = f"tensor({kind})"
            self.made[output] = node
        self.rewritten.append(node)
        self.changed = True

    def rank(self, value: str) -> int:
        """The rank of a value, 0 where it is not known."""
        return len(shape_of(self.graph, value) or ())

    def fresh(self, stem: str) -> str:
        """A new name for a value."""
        name, k = stem, 0
        while name in self.made or name in self.unsigned.values() or self.graph.fresh_name(name) != name:
            k += 1
            name = f"{stem}_{k}"
        return name

    def constant(self, stem: str, array: np.ndarray) -> str:
        """Adds a constant and returns its name."""
        return add_constant(self.graph, stem, np.ascontiguousarray(array))

    def kind_of(self, value: str, zero: str = "") -> str:
        """The element type ("uint8", "int8" ...) of a value, or of its constant zero point; "" where unknown."""
        kind = type_of(self.graph, zero if zero in self.graph.constants else value) or ""
        return kind[7:-1] if kind.startswith("tensor(") else ""

    def scale(self, node: Node, scale: int, zero: int, kind: str) -> Scale | None:
        """One scale and one zero point from constant inputs of a node, of a value of that kind; None where there are others."""
        s, z = self.graph.constants.get(node.input(scale)), self.graph.constants.get(node.input(zero))
        if s is None or s.size != 1 or s.dtype != np.float32 or kind not in ("uint8", "int8"):
            return None
        if node.input(zero) and (z is None or z.size != 1 or z.dtype != np.dtype(kind)):
            return None
        number, point = float(s.reshape(())), 0 if z is None else int(z.reshape(()))
        return Scale(number, point + (128 if kind == "int8" else 0)) if np.isfinite(number) and number > 0 else None

    def operand(self, value: str) -> Operand | None:
        """The bytes that a float value is dequantised from, constants of the file included; None where there are none."""
        node = self.producer(value)
        if node is None:
            return None
        if node.op_type == "DequantizeBytes":
            return Operand(node.inputs[0], Scale(node.attrs["scale"], node.attrs["zero"]))
        array = self.graph.constants.get(node.input(0))
        if node.op_type != "DequantizeLinear" or array is None:
            return None
        kind = self.kind_of(node.input(0), node.input(2))
        at = self.scale(node, 1, 2, kind)
        return Operand(self.bytes_of(node.input(0), kind), at) if at is not None else None

    def bytes_of(self, value: str, kind: str) -> str:
        """The name of the unsigned bytes of a value; signed ones are converted."""
        if kind == "uint8":
            return value
        if value not in self.unsigned:
            array = self.graph.constants.get(value)
            if array is not None:
                self.unsigned[value] = self.constant(f"{value}/unsigned", array.view(np.uint8) ^ SIGN)
            else:
                self.unsigned[value] = self.add("ByteTable", [value, self._flips("uint8")], self.fresh(f"{value}/unsigned"), value)
        return self.unsigned[value]

    def target(self, value: str, kind: str) -> str:
        """The name under which unsigned bytes for a value of this kind are made."""
        return value if kind == "uint8" else self.fresh(f"{value}/unsigned")

    def give(self, value: str, kind: str, made: str) -> None:
        """Makes the file's value from the unsigned bytes that were made under the name of target()."""
        if kind == "int8":
            self.unsigned[value] = made
            self.add("ByteTable", [made, self._flips("int8")], value, value, "int8")
        elif made != value:
            self.put(Node("Identity", (made,), (value,), {}, f"{value}/Identity", "", self.graph.opsets.get("", 17)), value)

    def weights(self, value: str, axis: int) -> Weights | None:
        """Constant weights of signed bytes whose scales, if there are several, go along an axis; None for all others.

        Unsigned ones, and those with zero points, by the difference from the zero point.
        """
        node = self.producer(value)
        array = self.graph.constants.get(node.input(0)) if node is not None and node.op_type == "DequantizeLinear" else None
        if node is None or array is None or node.attrs.get("block_size", 0):
            return None
        along = node.attrs.get("axis", 1) % max(array.ndim, 1)
        return self.signed_weights(node, 0, 1, 2, axis, along)

    def signed_weights(self, node: Node, w: int, scale: int | None, zero: int, axis: int, along: int | None = None) -> Weights | None:
        """weights() from the inputs of a node: values, scales (None: 1), zero points; along: the axis of scales by the node."""
        array, zeros = (self.graph.constants.get(node.input(i)) for i in (w, zero))
        scales = np.ones(1, np.float32) if scale is None else self.graph.constants.get(node.input(scale))
        if array is None or array.dtype not in (np.int8, np.uint8) or array.ndim < 2 or array.size == 0 or scales is None:
            return None
        channels = array.shape[axis]
        if scales.dtype != np.float32 or scales.size not in (1, channels) or (scales.size > 1 and along not in (None, axis)):
            return None
        if (node.input(zero) and zeros is None) or not np.isfinite(scales).all():
            return None
        points = np.zeros(1, np.int64) if zeros is None else zeros.reshape(-1).astype(np.int64)
        if points.size not in (1, channels):
            return None
        name, excess = node.input(w), None
        if array.dtype != np.int8 or points.any():
            shape = [1] * array.ndim
            shape[axis] = points.size
            wide = array.astype(np.int16) - points.reshape(shape).astype(np.int16)
            if wide.max() > MOST_OF_TWO:
                return None
            array = np.clip(wide, -128, 127).astype(np.int8)
            excess = (wide - array).astype(np.int8) if (wide != array).any() else None
            name = self.constant(f"{name}/signed", array)
        return Weights(name, array, np.broadcast_to(scales.reshape(-1), (channels,)), excess)

    def _flips(self, kind: str) -> str:
        """The table that adds 128 to a signed byte, or takes it away."""
        name = f"fastcnn/flips to {kind}"
        self.graph.constants.setdefault(name, (np.arange(256, dtype=np.uint8) ^ SIGN).view(kind))
        return name


def on_bytes(node: Node, names: Mapping[int, str], outputs: Sequence[str]) -> Node:
    """The node on bytes: other inputs by position, other outputs, of a version that takes bytes."""
    inputs = tuple(names.get(i, v) for i, v in enumerate(node.inputs))
    version = max(node.version, BYTES_SINCE.get(node.op_type, 0))
    return replace(node, inputs=inputs, outputs=tuple(outputs), version=version, name=f"{node.name}/bytes")
