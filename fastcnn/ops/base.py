"""Op: an operator as the planner sees it. Lowering: the interface through which an operator emits its steps.

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
    """Something that is lowered as one: a BoundNode, or nodes fused into one step (fastcnn.fusions)."""

    @property
    def name(self) -> str: ...

    @property
    def op_type(self) -> str: ...

    @property
    def outputs(self) -> tuple[str, ...]: ...

    @property
    def reads(self) -> tuple[str, ...]:
        """The names of the values that it reads, once for each time."""

    def where(self) -> str:
        """The name for error messages."""

    def lower(self, low: Lowering) -> None:
        """Emits its steps."""


class Lowering(Protocol):
    """The interface to the planner while an operator lowers one node of a bound graph.

    threads  the most threads that will run the steps
    """

    threads: int

    @property
    def rounds(self) -> bool:
        """Whether operands of the node's convolutions may be rounded to bfloat16 (fastcnn.convolve.accuracy)."""

    @property
    def weights(self) -> str:
        """What the node's weights may be in memory (fastcnn.convolve.accuracy)."""

    @property
    def node(self) -> Node: ...

    @property
    def args(self) -> Args: ...

    def part(self, unit: Unit, name: str = "") -> Lowering:
        """This interface for one of several fused nodes: its inputs, outputs and name; name: another name for its steps."""

    @property
    def strict(self) -> bool:
        """Whether the node's convolutions must be direct (fastcnn.convolve.accuracy)."""

    def read(self, i: int, layout: str = "any") -> Tensor:
        """Input i in a layout; copied only if it has another one.

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
        """Makes output i a view of an existing tensor."""

    def count(self, i: int) -> Tensor:
        """A tensor of one int64, for the actual extent of output i, which is Capped and written "dense"."""

    def temp(self, shape: tuple[int, ...], dtype: np.dtype = F32, layout: str | Strides = "dense") -> Tensor:
        """Temporary memory, used only by this node's own steps."""

    def once(self, key: Hashable, make: Callable[[], Tensor]) -> Tensor:
        """The result of make(), which emits steps; for a key that was used before, the earlier result."""

    def constant(self, array: np.ndarray) -> Tensor:
        """A tensor over an array that lives as long as the program."""

    def packed(self, key: Hashable, make: Callable[[], np.ndarray], spec: Spec | None = None) -> Tensor:
        """The result of make(), computed once per model; key: the weights' name and everything else that the result depends on.

        spec  the result's Spec; if given, a pack of a compiled file that has this Spec may be used
        """

    def packed_weights(self, key: Hashable, choice: Choice, w: np.ndarray) -> Tensor:
        """packed() of w (M, C/group, kh, kw) as the step of a choice reads it. key: the weights' name."""

    def contents(self, i: int) -> np.ndarray:
        """args.constant(i), reloaded if its pages were released; for reading values outside packed()."""

    def copy(self, target: Tensor, source: Tensor) -> None:
        """Emits target = source, element by element, for any strides."""

    def widths(self, key: Hashable, groups: int = 1) -> list[int]:
        """Tile widths, in vectors, for which these constant weights have been packed already, by an earlier plan or for another node."""

    def decide(self, problem: Problem, key: Hashable) -> Choice:
        """Decides how a convolution of this node is computed.

        key  names the constant weights: a tile width for which they are packed already is kept where that costs little
        """

    def emit(self, kind: str, operands: Sequence[Tensor | None], work: int, /, **fields: Any) -> None:
        """Appends a step (fastcnn_c/steps.h); operands[0] is its output. work: about how many multiply-adds or elements it takes."""

    def dense_output(self, i: int = 0) -> bool:
        """Whether output i leaves the program row-major, so that writing it row-major saves a copy."""


class Op:
    """One ONNX operator."""

    def native(self, args: Args) -> bool:
        """Whether lower() covers this node (dtypes, ranks, attributes); other nodes go to the fallback.

        Raises DataDependent where lower() needs a value that only the run computes, beyond those that the shape rule needs.
        """
        return all([spec is None or spec.dtype == F32 for spec in args.specs])

    def capped(self, args: Args) -> Spec | None:
        """The Capped output of operators like NonZero, with its largest possible extent; None for others, whose shapes are inferred."""
        return None

    def lower(self, low: Lowering) -> None:
        """Emits the steps that compute the node's outputs."""
        raise AssertionError(f"{type(self).__name__} is folded when it is bound, or has a lowering")


@dataclass(frozen=True)
class BoundNode:
    """A node with the Specs and values of its inputs; op is None for a fallback node."""

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
