"""Makes small networks with seeded weights, and feeds for them."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastcnn.ir.graph import Graph, Node, ValueInfo
from fastcnn.operators.elementwise import OWN_DOMAIN

OPSET = 17
VERSIONS = {"com.microsoft": 1, OWN_DOMAIN: 1}
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Case:
    """A network and its feeds.

    prefers      the kind of step that computes its convolutions where it can, whether it pays or not; "": the planner decides
    small_cache  planned for a machine whose second cache its maps outgrow, as large networks do on every machine
    precision, weights  of fastcnn.load
    """

    graph: Graph
    feeds: Arrays
    prefers: str = ""
    small_cache: bool = False
    precision: str = "fp32"
    weights: str = "fp32"

    def but(self, **changes: Any) -> Case:
        """The case with some fields changed."""
        return replace(self, **changes)


Make = Callable[[], Case]


class Maker:
    """Makes cases from operators. Constants are named c0, c1, ...; inputs x, x1, x2, ..."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def normal(self, *shape: int) -> np.ndarray:
        return self.rng.standard_normal(shape).astype(np.float32)

    def halves(self, *shape: int) -> np.ndarray:
        """Normal numbers that bfloat16 holds as they are, so that rounding changes nothing."""
        return (self.normal(*shape).view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)

    def positive(self, *shape: int) -> np.ndarray:
        return self.rng.uniform(0.5, 2, shape).astype(np.float32)

    def small(self, *shape: int) -> np.ndarray:
        return self.rng.integers(-100, 100, shape).astype(np.int8)

    def bytes(self, *shape: int) -> np.ndarray:
        return self.rng.integers(0, 256, shape).astype(np.uint8)

    def one(self, op: str, x: tuple[int, ...], *constants: Any, dtype: Any = np.float32, opset: int = OPSET, domain: str = "",
            outputs: int = 1, **attrs: Any) -> Case:
        """An operator that reads x and constants."""
        given = self.normal(*x) if dtype is np.float32 else self.rng.integers(0, 256, x).astype(dtype)
        return self.several(op, [given], *constants, opset=opset, domain=domain, outputs=outputs, **attrs)

    def several(self, op: str, inputs: Sequence[np.ndarray], *constants: Any, opset: int = OPSET, domain: str = "", outputs: int = 1,
                **attrs: Any) -> Case:
        """An operator that reads inputs and then constants."""
        feeds = {f"x{k}" if k else "x": array for k, array in enumerate(inputs)}
        named = dict(zip((f"c{k}" for k in range(len(constants))), map(np.asarray, constants)))
        made = tuple(f"y{k}" if k else "y" for k in range(outputs))
        return self.case([self.node(op, (*feeds, *named), made, opset=opset, domain=domain, **attrs)], feeds, named, made, opset)

    def node(self, op: str, inputs: Sequence[str], outputs: Sequence[str], opset: int = OPSET, domain: str = "", **attrs: Any) -> Node:
        return Node(op, tuple(inputs), tuple(outputs), attrs, f"{op} {outputs[0]}", domain, VERSIONS.get(domain, opset))

    def case(self, nodes: list[Node], feeds: Arrays, constants: Mapping[str, np.ndarray], outputs: Sequence[str] = ("y",),
             opset: int = OPSET) -> Case:
        """Any nodes. Inputs have the types and shapes of their feeds."""
        inputs = [ValueInfo(name, _type_of(array), array.shape) for name, array in feeds.items()]
        graph = Graph(nodes, inputs, [ValueInfo(name, "tensor(float)", None) for name in outputs], dict(constants),
                      {"": opset, **VERSIONS})
        return Case(graph, feeds)

    def chain(self, x: np.ndarray, *links: tuple[str, Sequence[Any], dict[str, Any]], opset: int = OPSET) -> Case:
        """Operators one after the other: (operator, its constants, its attributes)."""
        nodes, constants, value = [], Arrays(), "x"
        for k, (op, arrays, attrs) in enumerate(links):
            named = {f"c{len(constants) + i}": np.asarray(array) for i, array in enumerate(arrays)}
            made = "y" if k == len(links) - 1 else f"v{k}"
            nodes.append(self.node(op, (value, *named), (made,), opset=opset, **attrs))
            constants |= named
            value = made
        return self.case(nodes, {"x": x}, constants, opset=opset)

    def function(self, op: str) -> Make:
        return lambda: self.one(op, (1, 3, 7, 11))

    def cast(self, number: int) -> Make:
        return lambda: self.one("Cast", (2, 3, 7, 11), to=number)

    def quantized(self, out: int, channels: int, group: int, kernel: tuple[int, int] = (3, 3)) -> Case:
        return self.one("QLinearConv", (1, channels * group, 9, 11), np.float32(0.02), np.uint8(128), self.small(out, channels, *kernel),
                        np.float32(0.01), np.int8(0), np.float32(0.3), np.uint8(120), dtype=np.uint8, pads=[1, 1, 1, 1], group=group)


def _type_of(array: np.ndarray) -> str:
    return "tensor(float)" if array.dtype == np.float32 else f"tensor({array.dtype})"
