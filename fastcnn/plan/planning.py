"""Planning: the settings and shared objects with which all plans of a graph are made."""
from __future__ import annotations

from collections.abc import Mapping

import numpy as np

import fastcnn._native as _native
from fastcnn.budget import UNLIMITED, Budget
from fastcnn.convolve.decision import Chooser
from fastcnn.ir.graph import Memory
from fastcnn.ir.lazy import lazy
from fastcnn.ir.record import dataclass
from fastcnn.plan.bind import Flow
from fastcnn.plan.packs import Packs


@dataclass(frozen=True)
class Planning:
    """constants  the model's own values         opsets   version by domain         threads  at most so many work on a step
    packs      packed weights of the plans made so far, by what they depend on      chooser  decides between algorithms
    flows      what infers the outputs of an If, Loop or Scan, by the node's id     budget   bytes that a plan may take
    share      threads that a run is expected to get of them: fewer where several runs share the CPUs
    memory     while the model is loaded: what shape rules have said when it was read
    """

    constants: Mapping[str, np.ndarray]
    opsets: Mapping[str, int]
    threads: int
    packs: Packs
    chooser: Chooser
    flows: Mapping[int, Flow]
    budget: Budget = UNLIMITED
    share: int = _native.MAX_THREADS
    memory: Memory | None = None

    @lazy
    def weights_bytes(self) -> int:
        """Of all constants."""
        return sum(array.nbytes for array in self.constants.values())

    @property
    def sharing(self) -> int:
        """The number of threads that share a step, at most the CPUs there are now: blocks, tiles and fusions are chosen for it.

        No bit of a result depends on it; if there are more CPUs later, more threads share the same blocks.
        """
        return min(self.threads, self.share, _native.cpus())
