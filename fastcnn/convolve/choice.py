"""Choice: what a rung would do; Rung: what can compute convolutions, and how to ask it."""
from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np

import fastcnn._native as _native
from fastcnn.convolve.arithmetic import FLOAT32, Arithmetic
from fastcnn.convolve.shape import ConvShape, Problem
from fastcnn.ir.record import dataclass
from fastcnn.ir.spec import F32, Spec


@dataclass(frozen=True)
class Choice:
    """How a rung computes a convolution.

    rung       its name                    kind     of the step (fastcnn_c/steps.h)
    shape      as the step sees it         fields   the step's own, beside window, places and epilogue
    packing    what the packed weights depend on beside the weights and the kind
    """

    rung: str
    kind: str
    shape: ConvShape
    fields: dict[str, Any]
    packing: tuple[Any, ...] = ()

    @property
    def bits(self) -> tuple[object, ...]:
        """What decides the last bits of the result. Tile widths, blocks and threads do not: every sum runs over k in the same order."""
        return self.kind, self.fields.get("m"), self.shape.ic

    @property
    def layout(self) -> tuple[object, ...]:
        """Of the packed weights: choices that agree here share them."""
        return "conv" if self.kind == "im2col" else self.kind, self.shape.arithmetic, self.packing


class Rung(ABC):
    """One way to compute convolutions: a file of fastcnn/convolve.

    name              shown by Model.choices() and by candidates
    arithmetic        of its kernels
    on_planes         x and y lie row-major; else channels last
    computed_weights  the run can pack them, with steps that move elements
    of_halves         operands may lie in memory as bfloat16
    """

    name: str
    arithmetic: Arithmetic = FLOAT32
    on_planes = False
    computed_weights = False
    of_halves = False

    def takes(self, problem: Problem) -> bool:
        """Whether it can compute a problem."""
        fits = self.on_planes == problem.planes and self.arithmetic is problem.shape.arithmetic
        return fits and (not problem.half or self.of_halves) and (problem.constant or self.computed_weights) and self.covers(problem)

    @abstractmethod
    def covers(self, problem: Problem) -> bool:
        """Whether the result is right, and within the error bound, where the attributes above fit."""

    def pays(self, problem: Problem) -> bool:
        """Whether it is expected to be the fastest of this rung and those below it."""
        return True

    @abstractmethod
    def choose(self, problem: Problem) -> Choice:
        """What it would do."""

    def candidates(self, problem: Problem) -> Iterator[tuple[str, Choice]]:
        """(name, choice) of all it could do: what tuning times."""
        yield self.name, self.choose(problem)

    @abstractmethod
    def pack(self, choice: Choice, w: np.ndarray) -> np.ndarray:
        """w (M, C/group, kh, kw) as the step of a choice reads it."""

    def packed_spec(self, choice: Choice, w_shape: tuple[int, ...]) -> Spec | None:
        """What pack() makes of weights of this shape: packs that come from a file must be so. None: it is packed whenever it is loaded."""
        return None

    @abstractmethod
    def cycles(self, choice: Choice, threads: int) -> float:
        """Predicted cycles of one core until the last of the threads is done, weights from beyond L2."""


def floats(count: int) -> Spec:
    """A row of so many float32."""
    return Spec(F32, (count,))


def whole_vectors(channels: int) -> int:
    """Channels rounded up to whole vectors."""
    vector = _native.vector_length()
    return -(-channels // vector) * vector


def aligned(array: np.ndarray) -> np.ndarray:
    """The elements in a vector of its own on a boundary that kernels like."""
    out = _native.aligned_empty(array.size)
    out[:] = array.ravel()
    return out
