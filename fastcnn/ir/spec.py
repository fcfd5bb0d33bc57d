"""Spec: dtype and shape of a value once shapes are bound. Args: the Specs and constant values of one node's inputs."""
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
    """A value whose extent along `axis` depends on data, such as NonZero's: `shape` has the largest possible extent, at least 1.

    The step that computes it writes a dense row-major tensor of the actual extent, and that extent to Lowering.count.
    """

    axis: int = 0


class DataDependent(Exception):
    """A shape depends on values that only a run computes; the planner then plans the rest during the run.

    names  the values that are needed first; once they are known, planning goes on (and may ask for others)
    """

    def __init__(self, where: str, *names: str):
        super().__init__(f"{where}: {', '.join(names)}")
        self.names = names


@dataclass(frozen=True)
class Args:
    """A node's inputs once shapes are bound: their Specs, and their values where they are constant (None: computed by the run)."""

    node: Node
    specs: tuple[Spec | None, ...]
    values: tuple[np.ndarray | None, ...]

    def has(self, i: int) -> bool:
        return i < len(self.specs) and self.specs[i] is not None

    def spec(self, i: int) -> Spec:
        """The Spec of a required input."""
        spec = self.specs[i] if i < len(self.specs) else None
        if spec is None:
            raise ShapeError(f"{self.node.where()}: input {i} is missing")
        return spec

    def value(self, i: int, default: Any = None) -> Any:
        """The value of an optional input that shapes depend on, or the default. Raises DataDependent where only a run computes it."""
        if not self.has(i):
            return default
        value = self.values[i]
        if value is None:
            raise DataDependent(self.node.where(), self.node.inputs[i])
        return value

    def constant(self, i: int) -> np.ndarray:
        """The value of an input that native() has checked to be constant."""
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
