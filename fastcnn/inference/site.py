"""What a shape rule sees: a node with the known types, shapes and constants of its inputs, and Mismatch to say that these do not fit."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any, NamedTuple

import numpy as np

from fastcnn.inference.sizes import Contents, symbol
from fastcnn.ir.errors import FastCNNError
from fastcnn.ir.graph import Dim, Graph, Memory, Node, Shape
from fastcnn.ir.record import dataclass
from fastcnn.onnx_proto.types import tensor_of

# At most so many elements of a tensor are looked at as sizes, axes, pads or scales.
MAX_ELEMENTS = 64
# The types of sizes that are known.
NUMBERS = frozenset({int})

Types = dict[str, str]
Shapes = dict[str, Shape]
Outputs = Sequence["Sequence[Dim] | None"]      # the shape of each output; None: of no known rank


class Mismatch(FastCNNError):
    """Inputs or attributes of a node contradict each other; the message says why, the caller adds the node's name."""


@dataclass
class Known:
    """What is known of a graph's values: type strings, shapes, constants, and the elements of small integer tensors of sizes.

    scope  stands before the symbols of values in a body; depth: how many graphs are around it
    memory  where rules of attributes and shapes alone look first; None: nothing is remembered
    """

    types: Types = field(default_factory=dict)
    shapes: Shapes = field(default_factory=dict)
    constants: Mapping[str, np.ndarray] = field(default_factory=dict)
    contents: dict[str, Contents] = field(default_factory=dict)
    scope: str = ""
    depth: int = 0
    memory: Memory | None = None

    def fresh(self, name: str, axis: int) -> str:
        """A new symbol for the size of this axis of a value."""
        return self.scope + symbol(name, axis)

    def facts(self) -> dict[str, Any]:
        """What is known, as keyword arguments for the fields of a Graph."""
        return {"types": self.types, "shapes": self.shapes, "contents": self.contents}

    def type(self, name: str) -> str:
        """"tensor(float)" of a value, "" when unknown."""
        array = self.constants.get(name)
        return tensor_of(array.dtype) if array is not None else self.types.get(name, "")

    def shape(self, name: str) -> Shape | None:
        """Sizes of a value, None when its rank is unknown."""
        array = self.constants.get(name)
        return array.shape if array is not None else self.shapes.get(name)


def differ(a: Dim, b: Dim) -> bool:
    """Whether two sizes are known not to be the same."""
    return isinstance(a, int) and isinstance(b, int) and a != b


class Site:
    """The node and its inputs by position."""

    __slots__ = ("attrs", "infer_body", "known", "memory", "node")

    def __init__(self, node: Node, known: Known, infer_body: Callable[[Graph, Known], None]):
        self.node, self.attrs, self.known, self.infer_body, self.memory = node, node.attrs, known, infer_body, known.memory

    def given(self, i: int) -> bool:
        """Whether input i is given, not omitted."""
        inputs = self.node.inputs
        return i < len(inputs) and bool(inputs[i])

    def shape(self, i: int) -> Shape | None:
        """The shape of input i; None where it is omitted or its rank is unknown."""
        inputs = self.node.inputs
        return self.known.shape(inputs[i]) if i < len(inputs) and inputs[i] else None

    def type(self, i: int) -> str:
        """The type string of input i, "" where it is omitted or unknown."""
        inputs = self.node.inputs
        return self.known.type(inputs[i]) if i < len(inputs) and inputs[i] else ""

    def array(self, i: int) -> np.ndarray | None:
        """The array of input i where that is a constant of at most MAX_ELEMENTS elements, else None."""
        array = self.known.constants.get(self.node.input(i))
        return array if array is not None and array.size <= MAX_ELEMENTS else None

    def dims(self, i: int) -> tuple[Dim, ...] | None:
        """The elements of input i as sizes (numbers or symbols), None where they are not known."""
        array = self.array(i)
        if array is not None:
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise Mismatch(f"input {i} is {array.tolist()}")
            return tuple(int(v) for v in array.reshape(-1).tolist())
        found = self.known.contents.get(self.node.input(i))
        return found.dims if found is not None else None

    def ints(self, i: int, attribute: str = "") -> list[int] | None:
        """Input i, or the attribute that it was in earlier opsets, as integers; None where they are not known."""
        if attribute in self.attrs and not self.given(i):
            return list(self.attrs[attribute])
        dims = self.dims(i)
        return None if dims is None else [d for d in dims if isinstance(d, int)] if all(isinstance(d, int) for d in dims) else None

    def missing(self, i: int, attribute: str = "") -> bool:
        """Whether neither input i nor the attribute is given."""
        return not self.given(i) and attribute not in self.attrs

    def expect(self, i: int, wanted: Sequence[Dim], why: str = "") -> None:
        """Raises Mismatch where input i is given and cannot have this shape."""
        shape = self.shape(i)
        if shape is not None and shape != tuple(wanted) and (len(shape) != len(wanted) or any(map(differ, shape, wanted))):
            raise Mismatch(why or f"input {i} is {list(shape)}, not {list(wanted)}")

    def axis(self, axis: int, rank: int) -> int:
        """The axis counted from the front. Raises Mismatch outside of [-rank, rank)."""
        return self.axes([axis], rank)[0]

    def axes(self, axes: Sequence[int], rank: int) -> list[int]:
        """The axes counted from the front. Raises Mismatch outside of [-rank, rank) or where an axis comes twice."""
        found = [a + rank if a < 0 else a for a in axes]
        if any(not 0 <= a < rank for a in found) or len(set(found)) != len(found):
            raise Mismatch(f"axes={list(axes)} for rank {rank}")
        return found

    def outputs(self, shape: Sequence[Dim] | None) -> Outputs:
        """This shape for every output of the node."""
        return [shape] * len(self.node.outputs)


class Rule(NamedTuple):
    """The inference of one operator.

    shapes    function of a Site: the shape of each output. Raises Mismatch
    contents  function of a Site, for operators of shape arithmetic: the elements of the first output
    plain     shapes() looks at the operator, its attributes and the shapes of the inputs alone, and takes long enough to be remembered
    alike     a single output has the type of input 0
    """

    shapes: Callable[[Site], Outputs]
    contents: Callable[[Site], Contents | None] | None = None
    plain: bool = False
    alike: bool = False
