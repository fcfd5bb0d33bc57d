"""Graph: a model as plain Python data, in topological order, each value assigned once (SSA).

Made by the reader, rewritten by the passes, read by everything after them. Knows ONNX's names, no protobuf and no machine.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import field, fields, replace
from typing import Any

import numpy as np

from fastcnn.ir.errors import ModelError
from fastcnn.ir.lazy import lazy
from fastcnn.ir.record import changed, dataclass

Dim = int | str | None          # a size, a symbolic name, unknown
Shape = tuple[Dim, ...]
# Shapes of outputs that rules have inferred while a model is loaded, by operator, attributes and input shapes. The attributes are kept:
# their id is in the key.
Memory = dict[tuple[object, ...], tuple[Mapping[str, Any], Sequence["Sequence[Dim] | None"]]]


@dataclass(frozen=True)
class ValueInfo:
    """Name, ONNX type string as onnxruntime spells it ("tensor(float)") and shape (None: unknown rank)."""

    name: str
    type: str
    shape: Shape | None


@dataclass(frozen=True)
class Activation:
    """y = f(x) applied in a node's epilogue; `name` is ONNX's operator, alpha and beta its parameters in ONNX's order.

    Relu, LeakyRelu(alpha), Clip(alpha=min, beta=max), Sigmoid, Tanh, HardSigmoid(alpha, beta), HardSwish, Elu(alpha),
    Selu(alpha, beta=gamma), Softplus, Softsign, Mish, Gelu (erf), GeluTanh, Swish(alpha: x * sigmoid(alpha * x)); RoundFloat16 and
    RoundBfloat16, which are the operators of this package that a Cast to these types becomes.
    """

    name: str
    alpha: float = 0.0
    beta: float = 0.0


@dataclass(frozen=True)
class Node:
    """One operator application. Omitted optional inputs and outputs are "".

    version     opset version of `domain` the node is written in
    attrs       never changed in place, as nodes alike share them; a body of a control-flow node is a Graph: its own inputs, then, once
                passes have run, what it captures
    captures    (name inside, value outside) of what bodies read from around them
    activation  fused epilogue; Conv and ConvTranspose also take a residual as 4th input, added before it, and a PRelu
                slope per channel as 5th, applied in its stead; MatMul takes a bias along the last axis as 3rd input and a
                residual as 4th; MaxUnpool takes the shape that its indices count in as 4th
    """

    op_type: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attrs: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    domain: str = ""
    version: int = 0
    captures: tuple[tuple[str, str], ...] = ()
    activation: Activation | None = None

    def but(self, **changes: Any) -> Node:
        """A copy of the node with these fields changed."""
        return changed(self, NODE_FIELDS, changes)

    def input(self, i: int) -> str:
        """The name of input i, "" where it is omitted."""
        return self.inputs[i] if i < len(self.inputs) else ""

    @lazy
    def reads(self) -> tuple[str, ...]:
        """The names of all values that the node needs: given inputs and captures."""
        inputs = self.inputs
        if not self.captures:
            return inputs if "" not in inputs else tuple([v for v in inputs if v])
        return tuple([v for v in (*inputs, *[outer for _, outer in self.captures]) if v])

    @lazy
    def bodies(self) -> dict[str, Graph]:
        """The bodies of a control-flow node by attribute."""
        return {name: value for name, value in self.attrs.items() if type(value) is Graph}

    def where(self) -> str:
        """The node's name in error messages: "Conv 'layer1.0'"."""
        operator = f"{self.domain}::{self.op_type}" if self.domain else self.op_type
        return f"{operator} {self.name!r}"

    def __str__(self) -> str:
        shown = {k: f"graph {v.name}" if isinstance(v, Graph) else v for k, v in self.attrs.items()}
        attrs = ", ".join(f"{k}={v}" for k, v in shown.items() if not isinstance(v, np.ndarray) or v.size < 8)
        tail = f" -> {self.activation.name}" if self.activation else ""
        return f"{', '.join(self.outputs)} = {self.op_type}({', '.join(self.inputs)}) {{{attrs}}}{tail}"


NODE_FIELDS = tuple(field.name for field in fields(Node))


def is_control_flow(node: Node) -> bool:
    """Whether the node runs graphs of its own: If, Loop or Scan."""
    return node.op_type in ("If", "Loop", "Scan") and not node.domain


class Index:
    """Lookup tables over a list of nodes: producer and consumers of each value, the operators. Built when first asked for."""

    def __init__(self, nodes: list[Node]) -> None:
        self.nodes = nodes

    @lazy
    def producers(self) -> dict[str, Node]:
        return {value: node for node in self.nodes for value in node.outputs if value}

    @lazy
    def consumers(self) -> dict[str, list[Node]]:
        readers: dict[str, list[Node]] = {}
        for node in self.nodes:
            for value in node.reads:
                found = readers.get(value)
                if found is None:
                    readers[value] = [node]
                elif found[-1] is not node:             # else it reads the value twice
                    found.append(node)
        return readers

    @lazy
    def operators(self) -> frozenset[str]:
        return frozenset([node.op_type for node in self.nodes])


@dataclass
class Graph:
    """nodes in topological order; constants by name; opset version by domain; metadata from the file.

    types          of values, where they are known ("tensor(float)")
    shapes         of values; unknown sizes are strings, equal strings are equal sizes
    contents       elements of small integer tensors that sizes make (fastcnn.inference.sizes.Contents); None before inference
    overridable    constants that are inputs of the graph too
    inferred_from  while passes run: what types and shapes were inferred from
    memory         while the model is loaded

    The list of nodes is never changed in place: whoever rewrites the graph gives it another list, and asks for producers() and
    consumers() of that.
    """

    nodes: list[Node]
    inputs: list[ValueInfo]
    outputs: list[ValueInfo]
    constants: dict[str, np.ndarray]
    opsets: dict[str, int]
    name: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    shapes: dict[str, Shape] = field(default_factory=dict)
    contents: dict[str, Any] | None = None
    overridable: list[str] = field(default_factory=list)
    inferred_from: Any = None
    memory: Memory | None = field(default=None, repr=False, compare=False)

    _index: Index | None = field(default=None, init=False, repr=False, compare=False)

    def forgetful(self) -> Graph:
        """A copy without inferred types, shapes and contents."""
        return replace(self, types={}, shapes={}, contents=None, inferred_from=None)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_index": None, "memory": None}

    def _indexed(self) -> Index:
        if self._index is None or self._index.nodes is not self.nodes:
            self._index = Index(self.nodes)
        return self._index

    def producers(self) -> Mapping[str, Node]:
        """Value name -> the node that writes it."""
        return self._indexed().producers

    def consumers(self) -> Mapping[str, list[Node]]:
        """Value name -> the nodes that read it, in order."""
        return self._indexed().consumers

    def operators(self) -> Set[str]:
        """The names of all operators in the graph, of any domain."""
        return self._indexed().operators

    def node_names(self) -> set[str]:
        """The names of all nodes, including those in bodies of control flow."""
        return {node.name for node in self.nodes}.union(*(body.node_names() for node in self.nodes for body in node.bodies.values()))

    def output_names(self) -> set[str]:
        """Names that must survive every rewrite."""
        return {info.name for info in self.outputs}

    def free_names(self) -> list[str]:
        """Values that are read but are no input, no constant and no node's output (a body captures them), in order of first use."""
        known = set(self.constants) | {i.name for i in self.inputs} | {v for n in self.nodes for v in n.outputs}
        reads = [v for n in self.nodes for v in n.reads] + [o.name for o in self.outputs]
        return list(dict.fromkeys(v for v in reads if v not in known))

    def check_assignments(self) -> None:
        """Raises ModelError naming the node for a value that is made twice: a plan has memory for one."""
        made = {*self.constants, *(info.name for info in self.inputs)}
        for node in self.nodes:
            for value in node.outputs:
                if value in made:
                    raise ModelError(f"{node.where()}: value {value!r} is assigned twice")
                if value:
                    made.add(value)

    def fresh_name(self, stem: str) -> str:
        """A value name that starts with `stem` and is not in use."""
        made, inputs = self.producers(), {info.name for info in self.inputs}
        name, k = stem, 0
        while name in self.constants or name in made or name in inputs:
            k += 1
            name = f"{stem}_{k}"
        return name

    def __str__(self) -> str:
        heads = [f"{i.name}: {i.type}{list(i.shape) if i.shape is not None else '?'}" for i in self.inputs]
        lines = [f"graph {self.name}({', '.join(heads)})"] + [f"  {node}" for node in self.nodes]
        return "\n".join(lines + [f"  return {', '.join(o.name for o in self.outputs)}"])
