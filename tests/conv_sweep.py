"""Random convolutions of one to three axes as models, run on poisoned memory and compared with sums written down in float64.

`python tests/conv_sweep.py COUNT [SEED]` runs many; tests/test_ops_conv_sweep.py a few.
"""
from __future__ import annotations

import functools
import itertools
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper
from pytest import MonkeyPatch
from step_helper import Guarded

import fastcnn
from fastcnn import _native, sources
from fastcnn.convolve.accuracy import Accuracy
from fastcnn.convolve.decision import CostModel, Decision
from fastcnn.convolve.ladder import candidates
from fastcnn.convolve.shape import ConvShape, Problem
from fastcnn.plan import lowering

GROUPS = (1, 1, 1, 2, 2, 3, 4, 5, 8, 16, 32)
CHANNELS = (1, 1, 2, 3, 4, 5, 7, 8, 12, 16, 17, 24, 33)     # of a group
MOST_CHANNELS = 96
MOST_MULTIPLICATIONS = 3_000_000
# Of the largest |x| times the largest sum of a filter's |w|, the bound that the README gives for every algorithm.
ALLOWED = 16 * 2.0 ** -24
SPOILERS = (np.nan, np.inf, -np.inf, 3e38)


@dataclass(frozen=True)
class Convolution:
    """x (N, groups*ic, *extents); w as ONNX has it for Conv or ConvTranspose; one value a spatial axis, pads before and after.

    computed  weights and bias are inputs of the model       inner  x is made by a node before, y read by a node after
    """

    transposed: bool
    n: int
    groups: int
    ic: int
    oc: int
    extents: tuple[int, ...]
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    extra: tuple[int, ...]           # output_padding
    bias: bool
    computed: bool
    inner: bool

    @property
    def span(self) -> tuple[int, ...]:
        """Input positions that a window reaches over."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilations))

    @property
    def out(self) -> tuple[int, ...]:
        if self.transposed:
            return tuple(s * (i - 1) + e + f - b - a for i, s, e, f, b, a in
                         zip(self.extents, self.strides, self.span, self.extra, self.before, self.after))
        return tuple((i + b + a - e) // s + 1 for i, s, e, b, a in zip(self.extents, self.strides, self.span, self.before, self.after))

    @property
    def multiplications(self) -> int:
        places = self.extents if self.transposed else self.out
        return self.n * self.groups * self.ic * self.oc * math.prod(places) * math.prod(self.kernel)

    @property
    def w_shape(self) -> tuple[int, ...]:
        channels = (self.groups * self.ic, self.oc) if self.transposed else (self.groups * self.oc, self.ic)
        return (*channels, *self.kernel)

    def model(self) -> ModelProto:
        """y = conv(x) + b; with `inner` x and y are halved and doubled by 1x1 depthwise convolutions, exactly."""
        c, m = self.groups * self.ic, self.groups * self.oc
        names = ["x", "w", "b"][:2 + self.bias]
        inputs = {"x": (self.n, c, *self.extents), "w": self.w_shape, "b": (m,)}
        attrs = dict(strides=self.strides, dilations=self.dilations, pads=self.before + self.after, group=self.groups)
        attrs |= {"output_padding": self.extra} if self.transposed and any(self.extra) else {}
        node = helper.make_node("ConvTranspose" if self.transposed else "Conv", names, ["y"], name="node", **attrs)
        nodes, constants = [node], {} if self.computed else {name: None for name in names[1:]}
        if self.inner:
            node.input[0], node.output[0] = "half", "sum"
            ones = (1,) * len(self.kernel)
            nodes = [helper.make_node("Conv", ["x", "halves"], ["half"], group=c), node,
                     helper.make_node("Conv", ["sum", "twos"], ["y"], group=m)]
            constants |= {"halves": np.full((c, 1, *ones), 0.5, np.float32), "twos": np.full((m, 1, *ones), 2, np.float32)}
        given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, inputs[name]) for name in names if name not in constants]
        result = [helper.make_tensor_value_info("y", TensorProto.FLOAT, (self.n, m, *self.out))]
        graph = helper.make_graph(nodes, "convolution", given, result)
        values = {**self.operands(), **{name: value for name, value in constants.items() if value is not None}}
        graph.initializer.extend(numpy_helper.from_array(values[name], name) for name in constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

    def operands(self) -> dict[str, np.ndarray]:
        """Seeded normal values."""
        rng = np.random.default_rng(0)
        shapes = {"x": (self.n, self.groups * self.ic, *self.extents), "w": self.w_shape, "b": (self.groups * self.oc,)}
        return {name: rng.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items() if name != "b" or self.bias}

    def taps(self) -> Iterator[tuple[tuple[int, ...], tuple[slice, ...], tuple[slice, ...]]]:
        """For each kernel element: which places of y and of x it connects, as slices of equal extents."""
        for tap in itertools.product(*map(range, self.kernel)):
            wide, narrow = zip(*(self._along(axis, k) for axis, k in enumerate(tap)))
            yield (tap, wide, narrow) if self.transposed else (tap, narrow, wide)

    def _along(self, axis: int, k: int) -> tuple[slice, slice]:
        """Of one axis: the strided positions, and those counted one by one. wide = narrow * stride - pad + k * dilation."""
        stride, first = self.strides[axis], k * self.dilations[axis] - self.before[axis]
        wide, narrow = (self.out, self.extents) if self.transposed else (self.extents, self.out)
        begin = max(0, -(first // stride))
        end = max(begin, min(narrow[axis], (wide[axis] - 1 - first) // stride + 1))
        start = begin * stride + first
        return slice(start, start + (end - begin) * stride, stride) if end > begin else slice(0, 0), slice(begin, end)

    def sum(self, x: np.ndarray, w: np.ndarray) -> np.ndarray:
        """The convolution without its bias, in the type of its operands: for each tap what it adds, group by group."""
        g = self.groups
        y = np.zeros((self.n, g, self.oc, *self.out), x.dtype)
        x = x.reshape(self.n, g, self.ic, *self.extents)
        w = w.reshape(g, self.ic, self.oc, *self.kernel).swapaxes(1, 2) if self.transposed else w.reshape(g, self.oc, self.ic, *self.kernel)
        for tap, to, at in self.taps():
            y[(..., *to)] += np.einsum("goc,ngc...->ngo...", w[(..., *tap)], x[(..., *at)])
        return y.reshape(self.n, -1, *self.out)

    def expected(self, values: dict[str, np.ndarray]) -> np.ndarray:
        """What the model gives, in float64."""
        wide = {name: value.astype(np.float64) for name, value in values.items()}
        bias = wide.get("b", np.zeros(self.groups * self.oc)).reshape(-1, *[1] * len(self.kernel))
        return self.sum(wide["x"], wide["w"]) + bias * (2 if self.inner else 1)


def random_convolution(rng: np.random.Generator) -> Convolution:
    """Any attributes that fit each other, small enough to be quick."""
    while True:
        axes = int(rng.choice([1, 2, 2, 2, 3]))
        per_axis = {name: tuple(int(rng.choice(values)) for _ in range(axes)) for name, values in
                    {"kernel": (1, 1, 2, 3, 3, 4, 5, 6, 7) if axes < 3 else (1, 2, 3, 4), "strides": (1, 1, 1, 2, 2, 3, 4),
                     "dilations": (1, 1, 1, 2, 3, 4, 7), "before": (0, 0, 1, 1, 2, 3, 5), "after": (0, 0, 1, 1, 2, 3, 5),
                     "extents": (1, 2, 3, 5, 6, 7, 9, 12, 15, 16, 17, 31, 33), "extra": (0, 0, 1, 2)}.items()}
        transposed = bool(rng.integers(3) == 0)
        extra = tuple(min(e, max(s, d) - 1) for e, s, d in zip(*(per_axis[name] for name in ("extra", "strides", "dilations"))))
        per_axis |= {"extra": extra if transposed else (0,) * axes}
        flags = {name: bool(rng.integers(2)) for name in ("bias", "computed", "inner")}
        case = Convolution(transposed, int(rng.choice([1, 1, 2, 3])), *(int(rng.choice(v)) for v in (GROUPS, CHANNELS, CHANNELS)),
                           **per_axis, **flags)
        channels = case.groups * max(case.ic, case.oc)
        if channels <= MOST_CHANNELS and min(case.out) > 0 and case.multiplications <= MOST_MULTIPLICATIONS:
            return case


class AnyCandidate(CostModel):
    """A chooser that takes any candidate of tuning."""

    def __init__(self, rng: np.random.Generator, accuracy: Accuracy):
        super().__init__(accuracy)
        self.rng = rng

    def conv(self, problem: Problem) -> Decision:
        listed = list(candidates(problem).values())
        return Decision(problem, listed[int(self.rng.integers(len(listed)))], "tuned")


def _either(product: bool, shape: ConvShape, joins: bool) -> bool:
    """Transposed convolutions as a product, or by phases, whatever is quicker."""
    return product


def poisoned_workspace(floats: int) -> _native.Workspace:
    """Memory for a run that holds NaN wherever nothing was written yet."""
    workspace = _native.Workspace()
    fields = {"ndim": 1, "shape": (floats,), "y_strides": (1,), "x_strides": (0,), "elem_bytes": 4}
    nan = np.full(1, np.nan, np.float32)
    _native.Program([("copy", ((_native.BASE_ARENA, 0), nan), 1, fields)], 4 * floats, 1, 0).run(workspace, [])
    return workspace


def run_poisoned(model: fastcnn.Model, feeds: dict[str, np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """The model's one output: inputs lie between NaNs, what is computed in memory holds NaN before, the output's margins are checked."""
    guarded = {name: Guarded(value) for name, value in feeds.items()}
    out = Guarded(np.full(shape, np.nan, np.float32), output=True)
    model.run(None, {name: value.array for name, value in guarded.items()})         # plans, and shows how much memory that takes
    engine = model._default
    assert engine is not None
    floats = engine.workspaces.free[-1].nbytes // 4
    engine.workspaces.free[:] = [poisoned_workspace(floats)]
    result, = model.run(None, {name: value.array for name, value in guarded.items()}, out=[out.array])
    out.check()
    return result


def error_of(case: Convolution, threads: int = 1) -> float:
    """The largest error of an output in units of scale_of(); infinite where it is not finite."""
    values = case.operands()
    got = run(case, values, threads, "fast")
    return float(np.nan_to_num(abs(got - case.expected(values)), nan=np.inf).max() / scale_of(case, values))


def spoiled_error(case: Convolution, rng: np.random.Generator, threads: int = 1) -> float:
    """error_of() the outputs that see none of a few NaN, infinities or enormous numbers in x; infinite where another is finite."""
    values = case.operands()
    clean, mark = values["x"].copy(), np.zeros(values["x"].shape)
    at, spoiler = rng.integers(mark.size, size=int(rng.integers(1, 4))), SPOILERS[int(rng.integers(len(SPOILERS)))]
    values["x"].reshape(-1)[at], clean.reshape(-1)[at], mark.reshape(-1)[at] = spoiler, 0, 1
    got = run(case, values, threads, "strict")
    seen = case.sum(mark, np.ones(case.w_shape)) > 0
    lost = np.isfinite(got[seen]) if abs(spoiler) == np.inf else ~np.isnan(got[seen]) if np.isnan(spoiler) else np.zeros(1, bool)
    values["x"] = clean
    error = np.nan_to_num(abs(got - case.expected(values)), nan=np.inf)[~seen].max(initial=0.0)
    return float("inf") if lost.any() else float(error / scale_of(case, values))


def run(case: Convolution, values: dict[str, np.ndarray], threads: int, accuracy: str) -> np.ndarray:
    """The model's output on poisoned memory."""
    model = fastcnn.load(case.model(), threads=threads, accuracy=accuracy)
    assert not model.fallback_nodes
    return run_poisoned(model, {info.name: values[info.name] for info in model.get_inputs()}, (case.n, case.groups * case.oc, *case.out))


def scale_of(case: Convolution, values: dict[str, np.ndarray]) -> float:
    """max |x| * max over filters of sum |w|, + max |b|, at least 1e-30."""
    w = abs(values["w"].astype(np.float64))
    filters = w.reshape(case.groups, case.ic, case.oc, -1).sum((1, 3)) if case.transposed else w.reshape(len(w), -1).sum(1)
    return max(float(abs(values["x"]).max() * filters.max() + abs(values.get("b", np.zeros(1))).max()), 1e-30)


def sweep(count: int, seed: int, patch: MonkeyPatch) -> list[tuple[Convolution, object]]:
    """Cases that fail, with their error or exception.

    By turns: the cost model's choice or any other, ordinary values or a few that spoil what they touch; on one or two threads.
    """
    patch.setattr(lowering, "SINGLE_THREAD_WORK", 0)
    patch.setattr(lowering, "SINGLE_THREAD_PROGRAM", 0)
    failed: list[tuple[Convolution, object]] = []
    rng = np.random.default_rng(seed)
    for k in range(count):
        case, threads = random_convolution(rng), 1 + int(rng.integers(2))
        patch.setattr(sources, "CostModel", functools.partial(AnyCandidate, rng) if k % 2 else CostModel)
        try:
            error: object = spoiled_error(case, rng, threads) if k % 4 > 1 else error_of(case, threads)
        except Exception as exception:
            error = exception
        if not isinstance(error, float) or error > ALLOWED:
            failed.append((case, error))
    return failed


def main(count: int, seed: int = 0) -> int:
    """`count` cases in parts of 500, each from its own seed; 1 where some fail."""
    with MonkeyPatch.context() as patch:
        failed = [found for part in range(-(-count // 500)) for found in sweep(min(500, count - 500 * part), seed + part, patch)]
    for case, error in failed:
        print(case, error)
    print(f"{_native.current_isa()}: {len(failed)} of {count} fail")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
