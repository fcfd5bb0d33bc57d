"""Every attribute of every operator with a kernel at its edges, small inputs at theirs, every other element type, beside onnxruntime.

python tests/fuzz/sweep.py [STEP [FIRST]]: every STEP-th case. In child processes, as onnxruntime may not survive what we refuse.
"""
from __future__ import annotations

import os
import re
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import onnxruntime
from onnx import AttributeProto, ModelProto, TensorProto, helper, numpy_helper

sys.path[:0] = [str(Path(__file__).parent.parent), str(Path(__file__).parent.parent.parent)]
import fastcnn  # noqa: E402
from fastcnn.ops import OPS  # noqa: E402
from fuzz.seeds import Seed, seeds  # noqa: E402
from fuzz.watch import Unforeseen  # noqa: E402

INTS = [0, 1, -1, 2, (1 << 31) - 1, 1 << 31, -(1 << 31), (1 << 63) - 1, -(1 << 63)]
FLOATS = [0.0, -1.0, 1e30, float("nan"), float("inf")]
WRONG = {AttributeProto.INT: ["word", 1.5, [1, 2]], AttributeProto.INTS: ["word", 1, [1.5]], AttributeProto.FLOAT: ["word", 1, [1.0]],
         AttributeProto.STRING: [1, 1.5, [1]]}
TYPES = ("float", "double", "float16", "bfloat16", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool",
         "string", "complex64")
MEMORY = 256 << 20
# Inputs of so many elements may be sizes, axes, pads, scales or limits: their elements are set to edges one by one.
SMALL_INPUT = 8


# Cases where both answer and differ, and why that is so.
EXPLAINED = {
    r"ArgM(ax|in) .*=nan": "NaN is the largest and the smallest number, as in numpy and in the README; onnxruntime passes over it",
    r"(Batch|Instance|Group)Normalization \w+ .*=inf": "an infinite scale: inf - inf where scale and bias are folded, other places there",
    r"Celu alpha=0.0": "exp(x / 0) is not computed for x > 0",
    r"Clip x .*=inf": "without a limit infinity stays; there it becomes the largest number",
    r"Gather data: string": "onnxruntime loses strings that it copies in blocks",
    r"MaxUnpool ": "indices count in output_shape, as in onnx's node test of this name, which onnxruntime fails",
    r"Resize cubic_coeff_a=1e\+30": "sums overflow, in another order to inf or to NaN",
    r"Shrink x: uint32": "x - 1.5 of 2^32 - 1 is no 0",
    r"Squeeze axes nothing": "an empty list of axes is not a missing one",
    r"TopK sorted=0": "any order is right"}
# Of releases of onnxruntime that lack a correction: 1.32 agrees.
if onnxruntime.__version__.startswith(("1.20.", "1.21.", "1.22.", "1.23.")):
    EXPLAINED[r"Reduce\w+ noop_with_empty_axes=1"] = "without axes onnxruntime hands its input on, where squares or logarithms are due"
# What is refused for reasons of its own though onnxruntime computes something: values that the text of ONNX does not give a meaning.
REFUSED = r"it has to be |is not finite|names an axis twice|allowed \(max_memory\)"


class Case(NamedTuple):
    """What was changed, the model, inputs for it."""

    label: str
    data: bytes
    feeds: dict[str, np.ndarray]


@cache
def cases() -> tuple[Case, ...]:
    """All of them, always in the same order."""
    found: list[Case] = []
    for seed in _one_an_operator():
        proto = ModelProto.FromString(seed.data)
        node = proto.graph.node[0]
        version = next(e.version for e in proto.opset_import if e.domain in ("", "ai.onnx"))
        schema = onnx.defs.get_schema(node.op_type, version)
        for name, attribute in sorted(schema.attributes.items()):
            found += [_changed(seed, name, value) for value in _edges(node, name, attribute.type.value)]
        for k, info in enumerate(proto.graph.input):
            found += [case for kind in TYPES if (case := _retyped(seed, k, info.name, kind)) is not None]
            found += _revalued(seed, k, info.name)
    return tuple(found)


def _one_an_operator() -> list[Seed]:
    """The first node test of each native operator whose inputs are all tensors that are fed."""
    chosen: dict[str, Seed] = {}
    for seed in seeds(corpus=False):
        proto = ModelProto.FromString(seed.data)
        single = len(proto.graph.node) == 1 and ("", proto.graph.node[0].op_type) in OPS and not proto.graph.node[0].domain
        if single and len(seed.feeds) == len(proto.graph.input):
            chosen.setdefault(proto.graph.node[0].op_type, seed)
    return [chosen[name] for name in sorted(chosen)]


def _edges(node: onnx.NodeProto, name: str, kind: int) -> list[object]:
    given = next((helper.get_attribute_value(a) for a in node.attribute if a.name == name), None)
    wrong = WRONG.get(kind, [1])
    if kind == AttributeProto.INT:
        return [*INTS, *wrong]
    if kind == AttributeProto.FLOAT:
        return [*FLOATS, *wrong]
    if kind == AttributeProto.STRING:
        return ["", "nothing", "x" * 3000, *wrong]
    if kind == AttributeProto.INTS:
        length = len(given) if given is not None else 2
        return [[value] * length for value in INTS] + [[1] * 200, [1] * (length + 1), *wrong]
    return [1]


def _changed(seed: Seed, name: str, value: object) -> Case:
    proto = ModelProto.FromString(seed.data)
    node = proto.graph.node[0]
    for attribute in list(node.attribute):
        if attribute.name == name:
            node.attribute.remove(attribute)
    node.attribute.append(helper.make_attribute(name, value))
    for info in proto.graph.output:              # its shape may be another now
        info.type.tensor_type.ClearField("shape")
    return Case(f"{node.op_type} {name}={str(value)[:40]}", _old(proto), seed.feeds)


def _retyped(seed: Seed, k: int, name: str, kind: str) -> Case | None:
    proto = ModelProto.FromString(seed.data)
    number = getattr(TensorProto, kind.upper())
    tensor = proto.graph.input[k].type.tensor_type
    if tensor.elem_type == number:
        return None
    tensor.elem_type = number
    for info in proto.graph.output:
        info.ClearField("type")
    dtype = helper.tensor_dtype_to_np_dtype(number)
    own = seed.feeds[name]
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if kind == "string":
            array = np.array([str(v) for v in own.reshape(-1)], object).reshape(own.shape)
        else:
            array = own.astype(dtype) if own.dtype.kind != "O" else np.zeros(own.shape, dtype)
    return Case(f"{proto.graph.node[0].op_type} {name}: {kind}", _old(proto), {**seed.feeds, name: array})


def _revalued(seed: Seed, k: int, name: str) -> list[Case]:
    """The first and the last element of a small input at the edges of its type, fed and as an initializer; no element, and no axis."""
    own = seed.feeds[name]
    if own.dtype.kind not in "iuf" or own.size > SMALL_INPUT:
        return []
    limits = np.iinfo(own.dtype) if own.dtype.kind in "iu" else None
    values = FLOATS if limits is None else sorted({min(max(value, limits.min), limits.max) for value in INTS})
    arrays = {"nothing": own[:0] if own.ndim else own.reshape(1)[:0], "flat": own.reshape(-1), "two axes": own.reshape(1, -1)}
    arrays |= {"single": own.reshape(())} if own.size == 1 else {}
    for at in {0, own.size - 1} if own.size else ():
        for value in values:
            array = own.copy()
            array.reshape(-1)[at] = value
            arrays[f"[{at}]={value}"] = array
    return [case for label, array in arrays.items() for case in _with_value(seed, k, label, array)]


def _with_value(seed: Seed, k: int, label: str, array: np.ndarray) -> list[Case]:
    fed, fixed = ModelProto.FromString(seed.data), ModelProto.FromString(seed.data)
    info, head = fed.graph.input[k], f"{fed.graph.node[0].op_type} {fed.graph.input[k].name} {label}"
    info.type.tensor_type.shape.CopyFrom(helper.make_tensor_value_info("", 1, array.shape).type.tensor_type.shape)
    fixed.graph.initializer.append(numpy_helper.from_array(array, info.name))
    del fixed.graph.input[k]
    for proto in (fed, fixed):
        for output in proto.graph.output:
            output.type.tensor_type.ClearField("shape")
    rest = {name: value for name, value in seed.feeds.items() if name != info.name}
    return [Case(head, _old(fed), {**rest, info.name: array}), Case(f"{head}, constant", _old(fixed), rest)]


def _old(proto: ModelProto) -> bytes:
    proto.ir_version = min(proto.ir_version, 10)          # as onnxruntime takes them
    return proto.SerializeToString()


# ---- the child ----

def _ours(case: Case, unforeseen: Unforeseen) -> tuple[str, list[np.ndarray]]:
    try:
        results = fastcnn.load(case.data, threads=1, max_memory=MEMORY).run(None, case.feeds, timeout=5)
    except fastcnn.FastCNNError as error:
        return f"{'unforeseen' if unforeseen.taken() else 'refused'} ({type(error).__name__}: {str(error)[:150]})", []
    return "answered", results


def _theirs(case: Case) -> tuple[str, list[np.ndarray]]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return "answered", onnxruntime.InferenceSession(case.data, options, providers=["CPUExecutionProvider"]).run(None, case.feeds)
    except Exception as error:
        return f"refused ({str(error)[:100]})", []


def _agree(a: list, b: list) -> bool:
    for x, y in zip(a, b, strict=True):
        if not isinstance(x, np.ndarray) or not isinstance(y, np.ndarray):
            continue
        if x.dtype != y.dtype or x.shape != y.shape:
            return False
        if x.dtype.kind == "O":
            if not np.array_equal(x, y):
                return False
            continue
        wide = [v.astype(np.complex128 if v.dtype.kind == "c" else np.float64) for v in (x, y)]
        tolerance = 2e-2 if x.dtype.itemsize == 2 and x.dtype.kind not in "iu" else 1e-4
        with np.errstate(all="ignore"):
            largest = min(float(np.nanmax(np.abs(wide[1]), initial=1)), 1e30)
            if not np.allclose(*wide, rtol=tolerance, atol=tolerance * largest, equal_nan=True):
                return False
    return True


def _explained(label: str) -> bool:
    return any(re.match(pattern, label) for pattern in EXPLAINED)


def child(numbers: range) -> None:
    """For each case lines "> number", "ours ...", "both ..."."""
    import faulthandler
    import resource
    import signal
    faulthandler.enable()
    unforeseen = Unforeseen()
    warnings.simplefilter("ignore")
    every = cases()
    resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    for k in numbers:
        print(f"> {k}", flush=True)
        signal.setitimer(signal.ITIMER_PROF, 20)
        with np.errstate(all="ignore"):
            said, ours = _ours(every[k], unforeseen)
            print(f"ours {said}".replace("\n", " "), flush=True)
            theirs_said, theirs = _theirs(every[k])
            signal.setitimer(signal.ITIMER_PROF, 0)
            outcome = f"{said.split()[0]}, onnxruntime {theirs_said.split()[0]}"
            if said == theirs_said == "answered":
                outcome = "the same" if _agree(ours, theirs) else "explained" if _explained(every[k].label) else "different"
            detail = "" if outcome in ("the same", "explained") else f": {said} | {theirs_said}"
            print(f"both {outcome}{detail}".replace("\n", " "), flush=True)


# ---- the parent ----

def outcomes(numbers: range) -> Iterator[tuple[Case, str]]:
    """(case, outcome) of all: "the same", "different", "refused, ...", "crash: ...", "onnxruntime crashed"."""
    left = numbers
    while len(left):
        command = [sys.executable, __file__, "--child", str(left.start), str(left.stop), str(left.step)]
        result = subprocess.run(command, capture_output=True, text=True, errors="replace", env={**os.environ, "ORT_DISABLE_TELEMETRY": "1"})
        at, ours = left.start, ""
        for line in result.stdout.splitlines():
            if line.startswith("> "):
                at, ours = int(line[2:]), ""
            elif line.startswith("ours "):
                ours = line[5:]
            elif line.startswith("both "):
                yield cases()[at], line[5:]
        if result.returncode == 0:
            return
        crash = f"{ours.split()[0]}, onnxruntime crashed" if ours else f"crash: {result.returncode} {result.stderr[-600:]!r}"
        yield cases()[at], crash
        left = range(at + left.step, left.stop, left.step)


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        child(range(*map(int, sys.argv[2:5])))
        return
    step, first = (*map(int, sys.argv[1:]), 0)[:2] if sys.argv[1:] else (1, 0)
    counts: Counter[str] = Counter()
    for case, outcome in outcomes(range(first, len(cases()), step)):
        counts[outcome.partition(":")[0]] += 1
        refused = outcome.startswith("refused, onnxruntime answered") and not re.search(REFUSED, outcome)
        if refused or outcome.startswith(("crash", "different", "unforeseen")):
            print(f"{case.label}: {outcome}", flush=True)
    print(f"{sum(counts.values())} cases: {dict(counts)}")


if __name__ == "__main__":
    main()
