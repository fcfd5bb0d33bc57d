"""Random small networks against onnxruntime, at every instruction set this CPU has, on one thread and on two.

The suite takes a bounded number of seeds; `make fuzz`, or `python tests/test_differential.py FIRST LAST`, takes as many as wanted. Seeds
that failed once stay in FOUND with what they had found.
"""
from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Iterator, Sequence

import numpy as np
import onnxruntime
import pytest
from random_graphs import Case, random_model

import fastcnn
from fastcnn import _native

BOUNDED = 120
FOUND = {
    1000: "groups merged to one were packed as if each had the inputs of all (2026-11-29), as were 1194 to 2615",
    1194: "", 1266: "", 1817: "", 1862: "", 1910: "", 1961: "", 2172: "", 2216: "", 2250: "", 2615: ""}
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
                        results = [results_of(model, feeds) for model in models]
                        yield from () if None in results else differences(isa, names, results, wanted)
    finally:
        _native.set_isa(before)


def results_of(model: fastcnn.Model, feeds: dict[str, np.ndarray]) -> list[np.ndarray] | None:
    """None where a window is larger than its padded input: onnxruntime rounds the negative extent up to one output."""
    try:
        return model.run(None, feeds)
    except fastcnn.ShapeError as error:
        if "does not fit" in str(error):
            return None
        raise


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


def main(first: int, last: int, isas: Sequence[str]) -> int:
    """Seeds first to last - 1, each disagreement on standard output; 1 when there was any."""
    found = refused = 0
    for seed in range(first, last):
        case = random_model(seed)
        refused += peer(case) is None
        try:
            lines = list(disagreements(case, isas))
        except Exception as error:
            lines = [f"{type(error).__name__}: {error}"]
        if lines:
            found += 1
            print(case, *lines, sep="\n    ", flush=True)
    print(f"{last - first} models at {', '.join(isas)}: {found} with a disagreement, {refused} refused by onnxruntime")
    return min(found, 1)


def test_random_models_are_what_they_claim():
    """Most load in onnxruntime, all opsets and most operators occur, seeds repeat."""
    cases = [random_model(seed) for seed in range(BOUNDED)]
    assert sum(peer(case) is not None for case in cases) > 0.9 * len(cases)
    assert len({case.opset for case in cases}) > 12
    assert len({node.op_type for case in cases for node in case.model.graph.node}) > 40
    assert random_model(3).model == cases[3].model


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=int)
    parser.add_argument("last", type=int)
    parser.add_argument("--isas", default=",".join(_native.isas()), help="instruction sets, default: all that this CPU has")
    options = parser.parse_args()
    _native.set_cpus(2)
    sys.exit(main(options.first, options.last, options.isas.split(",")))
