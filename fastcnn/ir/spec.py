"""What is known of values when shapes are bound: dtype and shape of each, and the constant inputs of a node."""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastcnn.ir.errors import ShapeError
from fastcnn.ir.graph import Node
from fastcnn.ir.record import dataclass

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

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

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
        """value(i) as a list of Python integers. Raises ShapeError for what is no number."""
        value = self.value(i)
        if value is None:
            return None if default is None else list(default)
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise bad_shape(self, f"input {i} is {value.tolist()}")
        return [int(v) for v in np.ravel(value)]


def bad_shape(args: Args, why: str) -> ShapeError:
    """A ShapeError that names the node and what its inputs are."""
    inputs = ", ".join(str(spec) for spec in args.specs if spec is not None)
    return ShapeError(f"{args.node.where()}: {why} (inputs: {inputs})")
