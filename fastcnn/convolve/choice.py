"""Rung: one way to compute convolutions. Choice: what a rung would do for one convolution."""
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
    """A rung's way to compute one convolution.

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
        """A key: equal keys give equal bits. Tile widths, blocks and threads are not in it, as every sum runs over k in the same order."""
        return self.kind, self.fields.get("m"), self.shape.ic

    @property
    def layout(self) -> tuple[object, ...]:
        """A key of the layout of packed weights: choices that agree in it share them."""
        return "conv" if self.kind == "im2col" else self.kind, self.shape.arithmetic, self.packing


class Rung(ABC):
    """One way to compute convolutions: a file of fastcnn/convolve.

    name              shown by Model.choices() and by candidates
    arithmetic        of its kernels
    on_planes         x and y lie row-major; else channels last
    computed_weights  the run can pack them, with steps that move elements
    of_halves         operands may lie in memory as bfloat16
    weighed           of a rung on planes: it pays where it takes clearly less time than the pick on pixels with two changes of layout
    grouped           True, False: of a rung that covers convolutions in several groups, in one group alone
    """

    name: str
    arithmetic: Arithmetic = FLOAT32
    on_planes = False
    computed_weights = False
    of_halves = False
    weighed = False
    grouped: bool | None = None

    def takes(self, problem: Problem) -> bool:
        """Whether the rung can compute a problem: its attributes fit and covers() holds."""
        fits = self.on_planes == problem.planes and self.arithmetic is problem.shape.arithmetic
        return fits and (not problem.half or self.of_halves) and (problem.constant or self.computed_weights) and self.covers(problem)

    @abstractmethod
    def covers(self, problem: Problem) -> bool:
        """Whether the rung's result is right and within the error bound, given that the attributes above fit."""

    def pays(self, problem: Problem) -> bool:
        """Whether the rung is expected to be faster than all rungs below it."""
        return True

    @abstractmethod
    def choose(self, problem: Problem) -> Choice:
        """The rung's choice for a problem."""

    def candidates(self, problem: Problem) -> Iterator[tuple[str, Choice]]:
        """(name, choice) for everything that the rung can do with a problem: the candidates that tuning times."""
        yield self.name, self.choose(problem)

    @abstractmethod
    def pack(self, choice: Choice, w: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Packs w (M, C/group, kh, kw) as the step of a choice reads it. out: memory of packed_spec(), which a rung may write to."""

    def packed_spec(self, choice: Choice, w_shape: tuple[int, ...]) -> Spec | None:
        """The Spec of pack()'s result for weights of this shape, which packs from a compiled file must have. None: always packed anew."""
        return None

    @abstractmethod
    def cycles(self, choice: Choice, threads: int) -> float:
        """Predicted time in cycles of one core, until the last thread is done, with weights from beyond L2."""


def floats(count: int) -> Spec:
    """The Spec of a vector of float32."""
    return Spec(F32, (count,))


def whole_vectors(channels: int) -> int:
    """Channels rounded up to whole vectors."""
    vector = _native.vector_length()
    return -(-channels // vector) * vector


def aligned(array: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """A flat copy of the elements, aligned for kernels; out: where to."""
    flat = _native.aligned_empty(array.size) if out is None else out
    flat.reshape(array.shape)[...] = array
    return flat
