"""1x1 convolutions on row-major planes: y[m][pixel] = W[m][c] x[c][pixel], a matrix product without a change of layout."""
from __future__ import annotations

from typing import Any

import numpy as np

from fastcnn.convolve.choice import Choice, Rung, floats
from fastcnn.convolve.shape import Problem
from fastcnn.convolve.tile import best_nv, tile_cycles
from fastcnn.ir.spec import Spec
from fastcnn.ir.tensor import pitch
from fastcnn.machine.current import weights_rate

SHORTEST_PLANE = 96          # pixels: on shorter planes the last vectors are too empty
MOST_GROUPS = 8              # a step each


class PlanesProduct(Rung):
    """A product with the filters as rows of the left matrix and the planes as rows of the right one: vectors run along pixels."""

    name, on_planes = "planes product", True

    def covers(self, problem: Problem) -> bool:
        shape = problem.shape
        pointwise = (shape.kh, shape.kw, shape.sh, shape.sw) == (1, 1, 1, 1) and (shape.ih, shape.iw) == (shape.oh, shape.ow)
        return pointwise and not shape.touches_padding and shape.groups <= MOST_GROUPS

    def pays(self, problem: Problem) -> bool:
        return problem.shape.oh * problem.shape.ow >= SHORTEST_PLANE

    def choose(self, problem: Problem) -> Choice:
        shape = problem.shape
        return Choice(self.name, "matmul", shape, {"nv": best_nv(shape.oh * shape.ow, shape.oc, shape.ic)}, ("rows",))

    def pack(self, choice: Choice, w: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """The filters as rows, a pitch apart."""
        k = choice.shape.ic
        return np.pad(w.reshape(-1, k), ((0, 0), (0, pitch(k) - k))).ravel()

    def packed_spec(self, choice: Choice, w_shape: tuple[int, ...]) -> Spec:
        return floats(w_shape[0] * pitch(choice.shape.ic))

    def product(self, choice: Choice) -> dict[str, Any]:
        """Fields of the matmul step of each group; the batch of the matmul is the batch of images."""
        shape, pixels = choice.shape, choice.shape.oh * choice.shape.ow
        return {"ndim": 1, "shape": (shape.n,), "y_strides": (shape.groups * shape.oc * pixels,), "a_strides": (0,),
                "b_strides": (shape.groups * shape.ic * pixels,), "m": shape.oc, "n": pixels, "k": shape.ic, "a_m": pitch(shape.ic),
                "a_k": 1, "b_k": pixels, "b_n": 1, "y_m": pixels, "row_bias": 1, **choice.fields}

    def cycles(self, choice: Choice, threads: int) -> float:
        shape, pixels = choice.shape, choice.shape.oh * choice.shape.ow
        work = shape.n * shape.groups * tile_cycles(pixels, shape.oc, shape.ic, choice.fields["nv"])
        return work / threads + shape.w_bytes / weights_rate()


PLANES_PRODUCT = PlanesProduct()
