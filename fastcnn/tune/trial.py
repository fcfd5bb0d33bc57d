"""Trials: times the candidates of one convolution, each as a native step, in interleaved rounds.

In a network the weights of a layer come from beyond L2, while its input has just been written and the kernel has run before: a warm
loop flatters the algorithms with large packed weights. So every candidate has weights of its own, before each round other memory
is written, and before each timed run a twin with other weights runs (or, in long runs, x is read).
"""
from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

import fastcnn._native as _native
from fastcnn.convolve import ladder
from fastcnn.convolve.choice import Choice
from fastcnn.convolve.decision import Timed
from fastcnn.convolve.depthwise import lane_tables
from fastcnn.convolve.planes_product import PLANES_PRODUCT
from fastcnn.convolve.shape import ConvShape, Places, Problem
from fastcnn.ir.tensor import Strides, span, walk

# Written before a round: 192 MB. 4 MB of weights then come at 13 GB/s, as in ResNet-50; after 48 MB at 28, after 128 at 16 (the L3 of a
# virtual machine is what its neighbours leave of it). Written and not only read, since a network leaves lines that have to be
# stored behind it: after reading, the block sizes of F(2,3) on 14x14x256 come in another order than in ResNet-18. 2026-11-21, Xeon.
MEMORY_MEGABYTES = 192
LONGEST_PANEL = 2 ** 18             # floats
SHIFT = 272                         # floats, whole cache lines
SHORT_RUN = 2e-4                    # seconds: above, whether the kernel's code is in the cache makes no difference


def operands(shape: ConvShape, places: Places) -> tuple[np.ndarray, np.ndarray]:
    """Seeded random x, flat, with these strides, and w (M, C/group, kh, kw)."""
    rng = np.random.default_rng(0)
    x = _native.aligned_empty(span(shape.x_extents, places[0]))
    x[:] = rng.random(x.size, np.float32)
    w = rng.random((shape.groups * shape.oc, shape.ic, shape.kh, shape.kw), np.float32)
    return x, (w - np.float32(0.5)) * np.float32(shape.k ** -0.5)


class Trial:
    """One choice, ready: run() is one native call with a bias, a Relu and, where places has a third, a residual."""

    def __init__(self, problem: Problem, picked: Choice, buffers: Sequence[np.ndarray | None], weights: np.ndarray):
        threads = problem.threads
        steps = [(kind, operands, threads, fields) for kind, operands, fields in _steps(problem, picked, buffers, weights)]
        self.program = _native.Program(steps, 0, threads, 0)

    def run(self, workspace: _native.Workspace) -> float:
        """Seconds of one call."""
        start = time.perf_counter()
        self.program.run(workspace, [])
        return time.perf_counter() - start


Step = tuple[str, tuple[np.ndarray | None, ...], dict[str, Any]]
RELU = {"fn": _native.UNARY["Relu"], "alpha": 0.0, "beta": 0.0}


def _steps(problem: Problem, picked: Choice, buffers: Sequence[np.ndarray | None], weights: np.ndarray) -> list[Step]:
    """The steps of a choice: (kind, operands, fields) of one step, or of several for a problem on planes."""
    if ladder.changes_layout(problem, picked):
        return _on_pixels(problem, picked, buffers, weights)
    y, x, bias, residual = buffers
    assert y is not None and x is not None and bias is not None
    shape = picked.shape
    if picked.kind == "matmul":
        pixels, rows = shape.oh * shape.ow, weights.size // shape.groups
        return [("matmul", (y[g * shape.oc * pixels:], weights[g * rows:], x[g * shape.ic * pixels:], bias[g * shape.oc:]),
                 {**PLANES_PRODUCT.product(picked), **RELU}) for g in range(shape.groups)]
    names = _native.step_fields()[picked.kind]
    fields: dict[str, Any] = dict.fromkeys(names, 0)          # what only some lowerings use is off
    fields |= shape.window | RELU
    for name, strides in zip("xyr", (*problem.places, (0, 0, 0, 0))):
        fields |= {f"{name}_image": strides[0], f"{name}_row": strides[2], f"{name}_pixel": strides[3]}
    fields = {name: value for name, value in (fields | picked.fields).items() if name in names}
    return [(picked.kind, (y, x, weights, bias, *(() if problem.planes else (residual, None, lane_tables(picked)))), fields)]


def _on_pixels(problem: Problem, picked: Choice, buffers: Sequence[np.ndarray | None], weights: np.ndarray) -> list[Step]:
    """The step between two changes of layout."""
    y, x, bias, _ = buffers
    pixels = problem.on_pixels()
    extents = problem.shape.x_extents, problem.shape.y_extents
    inner = [np.zeros(span(extent, strides), np.float32) for extent, strides in zip(extents, pixels.places)]
    middle = _steps(pixels, picked, (inner[1], inner[0], bias, None), weights)
    return [_copy_step(extents[0], inner[0], pixels.places[0], x, problem.places[0]), *middle,
            _copy_step(extents[1], y, problem.places[1], inner[1], pixels.places[1])]


def _copy_step(extents: tuple[int, ...], y: np.ndarray | None, to: Strides, x: np.ndarray | None, at: Strides) -> Step:
    shape, (y_strides, x_strides) = walk(extents, to, at)
    return "copy", (y, x), {"ndim": len(shape), "shape": shape, "y_strides": y_strides, "x_strides": x_strides, "elem_bytes": 4}


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
        for twin in twins.values():      # the first call finds no memory of the workspace
            twin.run(self.workspace)
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

    def __init__(self, problem: Problem, listed: Mapping[str, Choice], eviction: Eviction | None = None, shift: int = 0):
        shape, places = problem.shape, problem.places
        self.x, w = operands(shape, places)
        outputs = shape.y_extents
        self.y = _native.aligned_empty(span(outputs, places[1]))
        self.y[:] = 0
        residual = np.zeros(span(outputs, places[2]), np.float32) if len(places) > 2 else None
        buffers = self.y, self.x, np.zeros(shape.groups * shape.oc, np.float32), residual
        packed: dict[tuple[object, ...], np.ndarray] = {}
        trials: dict[str, Timed] = {}
        twins: dict[str, Timed] = {}
        for name, picked in listed.items():
            key = picked.layout
            if key not in packed:
                packed[key] = ladder.pack(picked, w)
            twins[name] = Trial(problem, picked, buffers, packed[key])
            trials[name] = Trial(problem, picked, buffers, _copy(packed[key], shift)) if eviction else twins[name]
        super().__init__(trials, twins, eviction, self.x.sum)


def _copy(array: np.ndarray, shift: int) -> np.ndarray:
    """The weights again, as far from the next ones as tiles ask ahead: they would bring those of another candidate into the cache."""
    out = _native.aligned_empty(shift * SHIFT + array.size + min(array.size, LONGEST_PANEL))[shift * SHIFT:][:array.size]
    out[:] = array
    return out
