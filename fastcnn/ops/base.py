"""What an operator is: a shape rule and a lowering, and what a lowering may ask of the planner.

An operator family is one file; fastcnn.ops.OPS maps ONNX names to one instance of Op each.
"""
from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from fastcnn.convolve.choice import Choice
from fastcnn.convolve.shape import Problem
from fastcnn.ir.errors import ShapeError
from fastcnn.ir.graph import Node
from fastcnn.ir.tensor import Strides, Tensor

F32 = np.dtype(np.float32)


@dataclass(frozen=True)
class Spec:
    """dtype and concrete shape of a value."""

    dtype: np.dtype
    shape: tuple[int, ...]

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def __str__(self) -> str:
        return f"{self.dtype}{list(self.shape)}"


@dataclass(frozen=True)
class Capped(Spec):
    """A value whose extent along `axis` only the data tell: shape has the largest it can be, at least one.

    The step that computes it writes it without gaps, row-major for the extent it came to, and that extent to Lowering.count.
    """

    axis: int = 0


class DataDependent(Exception):
    """A shape depends on values that are not known before the model runs; the planner then goes on at run time.

    names  of the values that decide: with them at hand the shape is known, or another value is asked for
    """

    def __init__(self, where: str, *names: str):
        super().__init__(f"{where}: {', '.join(names)}")
        self.names = names


@dataclass(frozen=True)
class Args:
    """What is known of a node's inputs when shapes are bound: specs, and values where they are constant (None: computed at run time)."""

    node: Node
    specs: tuple[Spec | None, ...]
    values: tuple[np.ndarray | None, ...]

    def has(self, i: int) -> bool:
        return i < len(self.specs) and self.specs[i] is not None

    def spec(self, i: int) -> Spec:
        """Spec of a required input."""
        spec = self.specs[i] if i < len(self.specs) else None
        if spec is None:
            raise ShapeError(f"{self.node.where()}: input {i} is missing")
        return spec

    def value(self, i: int, default: Any = None) -> Any:
        """Value of an optional input that shapes depend on. Raises DataDependent when only the run will tell."""
        if not self.has(i):
            return default
        value = self.values[i]
        if value is None:
            raise DataDependent(self.node.where(), self.node.inputs[i])
        return value

    def constant(self, i: int) -> np.ndarray:
        """Value of an input that native() has found to be constant."""
        value = self.values[i]
        assert value is not None, f"{self.node.where()}: input {i} is no constant"
        return value

    def ints(self, i: int, default: Sequence[int] | None = None) -> list[int] | None:
        """value(i) as a list of Python integers."""
        value = self.value(i)
        return list(default) if value is None and default is not None else None if value is None else [int(v) for v in np.ravel(value)]


class Lowering(Protocol):
    """What the planner offers an operator while it lowers one node of a bound graph."""

    node: Node
    args: Args
    threads: int

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

    def constant(self, array: np.ndarray) -> Tensor:
        """An array that lives as long as the program, as it lies."""

    def packed(self, key: Hashable, make: Callable[[], np.ndarray]) -> Tensor:
        """make(), computed once per model: key names the weights and everything the result depends on."""

    def contents(self, i: int) -> np.ndarray:
        """args.constant(i) to look into outside of packed(): long constants are computed again where their memory was given back."""

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


class Op(ABC):
    """One ONNX operator."""

    def native(self, args: Args) -> bool:
        """Whether lower() covers this node: dtypes, ranks, attributes. Everything else goes to the fallback."""
        return all(spec is None or spec.dtype == F32 for spec in args.specs)

    @abstractmethod
    def infer(self, args: Args) -> list[Spec]:
        """Output specs. Raises ShapeError naming the node, DataDependent when values decide."""

    def lower(self, low: Lowering) -> None:
        """Emit the steps that compute the node's outputs. Not for operators whose outputs are known before any run: they are folded."""
        raise AssertionError(f"{type(self).__name__} is folded when it is bound, or has a lowering")


def bad_shape(args: Args, why: str) -> ShapeError:
    """A ShapeError that names the node and what its inputs are."""
    inputs = ", ".join(str(spec) for spec in args.specs if spec is not None)
    return ShapeError(f"{args.node.where()}: {why} (inputs: {inputs})")
