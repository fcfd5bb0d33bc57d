"""Trials: the candidates of one convolution as native steps of their own, or whatever else runs, timed in interleaved rounds.

In a network the weights of a layer come from beyond L2, while its input has just been written and the kernel has run before: a warm
loop flatters the algorithms with large packed weights. So every candidate has weights of its own, before each round other memory
is written, and before each timed run a twin with other weights runs (or, in long runs, x is read).
"""
from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from fastcnn import _native
from fastcnn.convolve import conv as choice
from fastcnn.convolve.conv import ConvChoice, ConvShape, Places
from fastcnn.convolve.decision import Timed
from fastcnn.ir.tensor import channels_last_strides, span

WINDOW = ("n", "kh", "kw", "sh", "sw", "dh", "dw", "pt", "pl", "ih", "iw", "oh", "ow")
# Written before a round: 192 MB. 4 MB of weights then come at 13 GB/s, as in ResNet-50; after 48 MB at 28, after 128 at 16 (the L3 of a
# virtual machine is what its neighbours leave of it). Written and not only read, since a network leaves lines that have to be
# stored behind it: after reading, the block sizes of F(2,3) on 14x14x256 come in another order than in ResNet-18. 2026-11-21, Xeon.
MEMORY_MEGABYTES = 192
LONGEST_PANEL = 2 ** 18             # floats
SHIFT = 272                         # floats, whole cache lines
SHORT_RUN = 2e-4                    # seconds: above, whether the kernel's code is in the cache makes no difference


def own_places(shape: ConvShape) -> Places:
    """Strides (n, c, h, w) of x and y as tensors of their own, as the planner lays them out."""
    return (channels_last_strides((shape.n, shape.groups * shape.ic, shape.ih, shape.iw)),
            channels_last_strides((shape.n, shape.groups * shape.oc, shape.oh, shape.ow)))


def operands(shape: ConvShape, places: Places) -> tuple[np.ndarray, np.ndarray]:
    """Seeded random x, flat, with these strides, and w (M, C/group, kh, kw)."""
    rng = np.random.default_rng(0)
    x = _native.aligned_empty(span((shape.n, shape.groups * shape.ic, shape.ih, shape.iw), places[0]))
    x[:] = rng.random(x.size, np.float32)
    w = rng.random((shape.groups * shape.oc, shape.ic, shape.kh, shape.kw), np.float32)
    return x, (w - np.float32(0.5)) * np.float32(shape.k ** -0.5)


class Trial:
    """One choice, ready: run() is one native call with a bias, a Relu and, where places has a third, a residual."""

    def __init__(self, picked: ConvChoice, places: Places, buffers: Sequence[np.ndarray | None], weights: np.ndarray, threads: int):
        fields: dict[str, Any] = dict.fromkeys(_native.step_fields()[picked.algorithm], 0)      # what only some lowerings use is off
        fields |= {name: getattr(picked.shape, name) for name in WINDOW}
        for name, strides in zip("xyr", (*places, (0, 0, 0, 0))):
            fields |= {f"{name}_image": strides[0], f"{name}_row": strides[2], f"{name}_pixel": strides[3]}
        fields |= {"fn": _native.UNARY["Relu"], "alpha": 0.0, "beta": 0.0, **picked.fields}
        y, x, bias, residual = buffers
        operands = y, x, weights, bias, residual, None, choice.lanes(picked)
        self.program = _native.Program([(picked.algorithm, operands, threads, fields)], 0, threads, 0)

    def run(self, workspace: _native.Workspace) -> float:
        """Seconds of one call."""
        start = time.perf_counter()
        self.program.run(workspace, [])
        return time.perf_counter() - start


class Eviction:
    """Memory that nothing else uses, written by as many threads as the trials have."""

    def __init__(self, threads: int, megabytes: int = MEMORY_MEGABYTES):
        target = np.empty(megabytes * 2 ** 18, np.float32)
        fields = {"ndim": 1, "shape": target.shape, "y_strides": (1,), "x_strides": (0,), "elem_bytes": 4}
        self.program = _native.Program([("copy", (target, np.zeros(1, np.float32)), threads, fields)], 0, threads, 0)
        self.workspace = _native.Workspace()

    def run(self) -> None:
        self.program.run(self.workspace, [])


class Rounds:
    """Named things to run; times() can be called again and again, for all or some of them.

    twins     the same with other weights, which run before short runs; before long ones `between` does
    eviction  what empties the caches before a round; None: weights stay where the round before left them
    """

    def __init__(self, trials: Mapping[str, Timed], twins: Mapping[str, Timed], eviction: Eviction | None,
                 between: Callable[[], object] = lambda: None):
        self.trials, self.twins, self.eviction, self.between = trials, twins, eviction, between
        self.workspace = _native.Workspace()
        self.usual = {name: twin.run(self.workspace) for name, twin in twins.items()}
        self.rng = np.random.default_rng(1)
        self.samples: dict[str, list[float]] = {name: [] for name in trials}

    def times(self, rounds: int, names: Collection[str] | None = None) -> dict[str, float]:
        """Lower quartile of the seconds of each so far, after so many more rounds in ever other order.

        Not the least: some of the weights may happen to have stayed in a cache. Not the median: on a shared machine half of the runs may
        be disturbed.
        """
        order = list(names if names is not None else self.trials)
        for _ in range(rounds):
            self.rng.shuffle(order)
            if self.eviction is not None:
                self.eviction.run()
            for name in order:
                if self.usual[name] < SHORT_RUN:
                    self.twins[name].run(self.workspace)
                else:
                    self.between()
                self.samples[name].append(self.trials[name].run(self.workspace))
        return {name: sorted(self.samples[name])[len(self.samples[name]) // 4] for name in order}


class Trials(Rounds):
    """The named candidates of one convolution.

    shift  moves the weights: where their addresses meet those of y in the low twelve bits, loads wait for stores
    """

    def __init__(self, shape: ConvShape, places: Places, listed: Mapping[str, ConvChoice], threads: int,
                 eviction: Eviction | None = None, shift: int = 0):
        self.x, w = operands(shape, places)
        outputs = (shape.n, shape.groups * shape.oc, shape.oh, shape.ow)
        self.y = _native.aligned_empty(span(outputs, places[1]))
        self.y[:] = 0
        residual = np.zeros(span(outputs, places[2]), np.float32) if len(places) > 2 else None
        buffers = self.y, self.x, np.zeros(shape.groups * shape.oc, np.float32), residual
        packed: dict[tuple[object, ...], np.ndarray] = {}
        trials: dict[str, Timed] = {}
        twins: dict[str, Timed] = {}
        for name, picked in listed.items():
            key = "gemm" if picked.algorithm in ("conv", "im2col") else picked.algorithm, picked.packing
            if key not in packed:
                packed[key] = choice.pack(picked, w)
            twins[name] = Trial(picked, places, buffers, packed[key], threads)
            trials[name] = Trial(picked, places, buffers, _copy(packed[key], shift), threads) if eviction else twins[name]
        super().__init__(trials, twins, eviction, self.x.sum)


def _copy(array: np.ndarray, shift: int) -> np.ndarray:
    """The weights again, as far from the next ones as tiles ask ahead: they would bring those of another candidate into the cache."""
    out = _native.aligned_empty(shift * SHIFT + array.size + min(array.size, LONGEST_PANEL))[shift * SHIFT:][:array.size]
    out[:] = array
    return out
