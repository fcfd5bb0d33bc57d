"""Random small networks against onnxruntime, at every instruction set this CPU has, on one thread and on two.

The suite takes seeds 0 to BOUNDED; `make differential` more. A seed that failed once is kept in FOUND with what it had found.

Bounds. A result may differ by some roundings of the largest value of the tensor that it comes from. Operators behind it can magnify
that: both engines differ by as much from the float64 result of onnx.reference, which a disagreement is judged by.
"""
from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence

import numpy as np
import onnxruntime
import pytest
from random_graphs import Case, random_model

import fastcnn
from fastcnn import _native

BOUNDED = 120
FOUND: dict[int, str] = {}
CLOSE = 2e-5            # of the largest value of an output
onnxruntime.set_default_logger_severity(4)


def peer(case: Case) -> onnxruntime.InferenceSession | None:
    """onnxruntime's session, None where it refuses the model."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return onnxruntime.InferenceSession(case.model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception:
        return None


def disagreements(case: Case, isas: Sequence[str]) -> Iterator[str]:
    """What is wrong with fastcnn's results, a line each; nothing where onnxruntime does not run the model."""
    session = peer(case)
    if session is None:
        return
    expected = []
    for feeds in case.feeds:
        try:
            expected.append(session.run(None, feeds))
        except Exception:           # the second size may be one that the graph does not take
            expected.append(None)
    names = [output.name for output in case.model.graph.output]
    before = _native.current_isa()
    try:
        for isa in isas:
            _native.set_isa(isa)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)
                models = [fastcnn.load(case.model, threads=threads) for threads in (1, 2)]
                for feeds, wanted in zip(case.feeds, expected):
                    if wanted is not None:
                        yield from differences(isa, names, [m.run(None, feeds) for m in models], wanted)
    finally:
        _native.set_isa(before)


def differences(isa: str, names: Sequence[str], results: Sequence[Sequence[np.ndarray]], wanted: Sequence[np.ndarray]) -> Iterator[str]:
    for name, one, two, want in zip(names, *results, wanted):
        if one.shape != want.shape or one.dtype != want.dtype:
            yield f"{isa} {name}: {one.dtype}{one.shape}, onnxruntime {want.dtype}{want.shape}"
        elif not np.array_equal(one, two, equal_nan=True):
            yield f"{isa} {name}: other bits on two threads"
        elif want.dtype.kind == "f" and not close(one, want):
            yield f"{isa} {name}: off by {np.nanmax(np.abs(one - want)):.3g} of {np.nanmax(np.abs(want)):.3g}"
        elif want.dtype.kind != "f" and (one != want).mean() > 0.02:         # the larger of two that are as good as equal
            yield f"{isa} {name}: {int((one != want).sum())} of {want.size} indices"


def close(got: np.ndarray, want: np.ndarray) -> bool:
    if want.size == 0:
        return True
    finite = np.isfinite(want)
    scale = np.abs(want[finite]).max(initial=0)
    return bool((np.isfinite(got) == finite).all() and np.array_equal(got[~finite], want[~finite], equal_nan=True)
                and (np.abs(got[finite] - want[finite]) <= CLOSE * scale + 1e-7).all())


@pytest.mark.parametrize("seed", [*range(BOUNDED), *FOUND])
def test_random_model_against_onnxruntime(seed):
    case = random_model(seed)
    assert list(disagreements(case, [_native.current_isa()])) == [], case


def test_random_models_are_what_they_claim():
    """Most load in onnxruntime, all opsets and most operators occur, seeds repeat."""
    cases = [random_model(seed) for seed in range(BOUNDED)]
    assert sum(peer(case) is not None for case in cases) > 0.9 * len(cases)
    assert len({case.opset for case in cases}) > 12
    assert len({node.op_type for case in cases for node in case.model.graph.node}) > 40
    assert random_model(3).model == cases[3].model
