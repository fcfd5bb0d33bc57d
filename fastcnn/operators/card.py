"""Card: facts about an operator that passes, inference and planning ask for, beside its signature, shape rule and kernels."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from fastcnn.ir.spec import Args

# f(x, alpha, beta) in float64.
Formula = Callable[[np.ndarray, float, float], np.ndarray]
# Whether output[k] depends on image k of the inputs and on nothing else of the batch; the indices are those of the inputs that have
# the batch as their first axis.
BatchRule = Callable[[Args, frozenset[int]], bool]
MANY = -1


class Function(NamedTuple):
    """y = formula(x, alpha, beta), float32 by a kernel of the operator's name (fastcnn_c/functions.h).

    parameters  (attribute, default) of alpha and of beta
    fused       the node before may apply it to what it is about to store
    variants    (attribute, value) -> the kernel and the formula that take the operator's place
    """

    formula: Formula
    parameters: tuple[tuple[str, float], ...] = ()
    fused: bool = False
    variants: Mapping[tuple[str, Any], tuple[str, Formula]] = {}


class Card(NamedTuple):
    """One operator.

    batch     how a batch may be cut; None: not at all
    operands  inputs that are broadcast together, element by element; MANY: all of them; 0: it does not work element by element
    function  what it computes, where that is a function of one value
    """

    batch: BatchRule | None = None
    operands: int = 0
    function: Function | None = None

    def call(self, op_type: str, attrs: Mapping[str, Any]) -> tuple[str, float, float]:
        """(kernel, alpha, beta) of the function for a node's attributes."""
        assert self.function is not None, f"{op_type} is no function of one value"
        for (attribute, value), (kernel, _) in self.function.variants.items():
            if attrs.get(attribute) == value:
                return kernel, 0.0, 0.0
        alpha, beta, *_ = *(float(attrs.get(*parameter)) for parameter in self.function.parameters), 0.0, 0.0
        return op_type, alpha, beta
