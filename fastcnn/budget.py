"""Limits on what one model may use: memory, nodes, steps, rounds. A node that exceeds one is refused with a LimitError that names it."""
from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from fastcnn.ir.errors import LimitError
from fastcnn.ir.lazy import lazy
from fastcnn.ir.record import dataclass

# Axes of a tensor: numpy knows no more, numpy 1 no more than 32.
MAX_RANK = 32 if np.__version__.startswith("1.") else 64
# Nodes of a graph with its functions and bodies expanded: the largest published networks have some ten thousand.
MOST_NODES = 100_000
# Native steps of one node: a transposed convolution has one for each position of its stride, one over volumes one for each depth.
MOST_STEPS = 20_000
# What a program computes in one step: 10 minutes of all the arithmetic that a large machine has.
MOST_WORK = 1 << 50
# Rounds of a Loop or Scan that are computed when a model is loaded, because nothing in them depends on its inputs.
MOST_FOLDED_ROUNDS = 1000
# Known values, computed when shapes are bound: larger ones are computed by the run, in the arena.
MOST_FOLDED_BYTES = 256 << 20
# What any process may have that runs Python.
FREE_BYTES = 16 << 20


@dataclass(frozen=True)
class Budget:
    """What each of these may take at most: one value, the activations of one plan, the packed weights of the model.

    limit   bytes, or who knows them: asked when something is larger than `free`, because the answer takes reading a dozen files
    memory  bytes
    free    so many bytes are within any limit that is not known yet
    """

    limit: int | Callable[[], int]

    @lazy
    def memory(self) -> int:
        return self.limit if isinstance(self.limit, int) else self.limit()

    @lazy
    def free(self) -> int:
        return min(self.limit, FREE_BYTES) if isinstance(self.limit, int) else FREE_BYTES

    def check(self, nbytes: int, where: str) -> None:
        """Raises LimitError where nbytes is more than the budget; `where` says in the message who asks for them."""
        if nbytes > self.free and nbytes > self.memory:
            raise LimitError(f"{where} takes {nbytes} bytes, at most {self.memory} are allowed (max_memory)")

    def check_value(self, dtype: np.dtype, shape: tuple[int, ...], where: str) -> None:
        """Checks a tensor's bytes and its number of axes. Raises LimitError.

        An extent of 0 counts as 1: a loop over the other extents takes as long, and a reduction over the empty axis has that many elements.
        """
        if len(shape) > MAX_RANK:
            raise LimitError(f"{where} has {len(shape)} axes, at most {MAX_RANK} are possible")
        nbytes = math.prod(shape) * dtype.itemsize
        if 0 < nbytes <= self.free:
            return
        looped = nbytes or math.prod([max(extent, 1) for extent in shape]) * dtype.itemsize
        if looped <= self.free:
            return
        if nbytes > self.memory:
            self.check(nbytes, f"{where}: {dtype}{list(shape)}")
        elif looped > self.memory:
            raise LimitError(f"{where}: {dtype}{list(shape)} has no elements, but takes the time of more than the {self.memory} bytes "
                             "that are allowed (max_memory)")


UNLIMITED = Budget(1 << 62)
