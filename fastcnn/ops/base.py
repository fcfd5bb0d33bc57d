"""What an operator is to the planner: when its kernels cover a node, and a lowering; and what a lowering may ask.

An operator family is one file; fastcnn.ops.OPS maps ONNX names to one instance of Op each.
"""
from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Protocol

import numpy as np

from fastcnn.convolve.choice import Choice
from fastcnn.convolve.shape import Problem
from fastcnn.ir.graph import Node
from fastcnn.ir.record import dataclass
from fastcnn.ir.spec import F32, Args, Spec
from fastcnn.ir.tensor import Strides, Tensor


class Unit(Protocol):
    """What is lowered as one: a BoundNode, or neighbours that run as one step (fastcnn.fusions)."""

    @property
    def name(self) -> str: ...

    @property
    def op_type(self) -> str: ...

    @property
    def outputs(self) -> tuple[str, ...]: ...

    @property
    def reads(self) -> tuple[str, ...]:
        """The values it needs, one for each time that it reads it."""

    def where(self) -> str:
        """How errors name it."""

    def lower(self, low: Lowering) -> None:
        """Emit its steps."""


class Lowering(Protocol):
    """What the planner offers an operator while it lowers one node of a bound graph.

    threads  at most so many will run its steps
    """

    threads: int

    @property
    def rounds(self) -> bool:
        """Whether operands of the node's convolutions may be rounded to bfloat16 (fastcnn.convolve.accuracy)."""

    @property
    def node(self) -> Node: ...

    @property
    def args(self) -> Args: ...

    def part(self, unit: Unit, name: str = "") -> Lowering:
        """This lowering for one of the nodes that run as one step: its inputs, outputs and name; name: another for its steps."""

    @property
    def strict(self) -> bool:
        """Whether the node's convolutions must be direct (fastcnn.convolve.accuracy)."""

    def read(self, i: int, layout: str = "any") -> Tensor:
        """Input i in a layout, copied only if it does not lie so already.

        any            as it lies           dense   row-major
        channels_last  channels contiguous, other strides arbitrary (rank >= 3)
        rows           innermost axis contiguous
        depth_inner    rank 5: the channels of successive depths in one run, height and width outside (N, H, W, D, C)
        """

    def output_spec(self, i: int = 0) -> Spec:
        """dtype and shape of output i."""

    def write(self, i: int = 0, layout: str | Strides = "channels_last") -> Tensor:
        """Memory for output i: "dense", "channels_last" (dense below rank 3), "depth_inner" or strides.

        May be a slice of a Concat's output.
        """

    def alias(self, i: int, tensor: Tensor) -> None:
        """Output i is this view of something that exists."""

    def count(self, i: int) -> Tensor:
        """One int64 for the extent of output i, which is Capped and written "dense"."""

    def temp(self, shape: tuple[int, ...], dtype: np.dtype = F32, layout: str | Strides = "dense") -> Tensor:
        """Memory for the time between this node's own steps."""

    def once(self, key: Hashable, make: Callable[[], Tensor]) -> Tensor:
        """make(), which emits steps, or what it made for another node with this key before."""

    def constant(self, array: np.ndarray) -> Tensor:
        """An array that lives as long as the program, as it lies."""

    def packed(self, key: Hashable, make: Callable[[], np.ndarray], spec: Spec | None = None) -> Tensor:
        """make(), computed once per model: key names the weights and everything the result depends on.

        spec  what it makes: then it may come from a compiled file, if it is so there
        """

    def contents(self, i: int) -> np.ndarray:
        """args.constant(i), reloaded if its pages were released; for reading values outside packed()."""

    def copy(self, target: Tensor, source: Tensor) -> None:
        """target = source, element by element, any strides."""

    def widths(self, key: Hashable, groups: int = 1) -> list[int]:
        """Tile widths in vectors for whose panels the constant weights named so are packed already, by an earlier plan or another node."""

    def decide(self, problem: Problem, key: Hashable) -> Choice:
        """What computes a convolution of this node.

        key  names constant weights: a tile width that they are packed for is kept where it costs little
        """

    def emit(self, kind: str, operands: Sequence[Tensor | None], work: int, /, **fields: Any) -> None:
        """Append a step (fastcnn_c/steps.h); operands[0] is its output. work: about how many multiply-adds or elements it costs."""

    def dense_output(self, i: int = 0) -> bool:
        """Output i leaves the program row-major: writing it so saves a copy."""


class Op:
    """One ONNX operator."""

    def native(self, args: Args) -> bool:
        """Whether lower() covers this node: dtypes, ranks, attributes. Everything else goes to the fallback.

        Raises DataDependent where lower() needs a value that the shape rule does not ask for and that only the run will tell.
        """
        return all(spec is None or spec.dtype == F32 for spec in args.specs)

    def capped(self, args: Args) -> Spec | None:
        """The one output where data decide how long it is: as long as it can be. Of all others fastcnn.inference knows the shapes."""
        return None

    def lower(self, low: Lowering) -> None:
        """Emit the steps that compute the node's outputs. Not for operators whose outputs are known before any run: they are folded."""
        raise AssertionError(f"{type(self).__name__} is folded when it is bound, or has a lowering")


@dataclass(frozen=True)
class BoundNode:
    """A node with what is known of its inputs; op is None for a fallback."""

    node: Node
    op: Op | None
    args: Args

    @property
    def name(self) -> str:
        return self.node.name

    @property
    def op_type(self) -> str:
        return self.node.op_type

    @property
    def outputs(self) -> tuple[str, ...]:
        return self.node.outputs

    @property
    def reads(self) -> tuple[str, ...]:
        return self.node.reads

    def where(self) -> str:
        return self.node.where()

    def lower(self, low: Lowering) -> None:
        assert self.op is not None, f"{self.where()} has no kernel"
        self.op.lower(low)
