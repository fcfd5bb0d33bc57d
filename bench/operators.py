"""python -m bench.operators: counts which of onnx's generated node tests fastcnn and onnxruntime pass.

Each engine runs in a process of its own. A case that takes too long or brings the process down is counted as such, and
a new process goes on with the next one. Tolerances are those of onnx's own runner.
"""
from __future__ import annotations

import argparse
import itertools
import json
import os
import signal
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from typing import Any

import numpy as np

ENGINES = ("fastcnn", "onnxruntime")
CASE_SECONDS = 20
# What may become of a case, in the order of the table's columns.
RESULTS = ("native", "fallback", "passed", "wrong", "refused", "crash")
FOREIGN = 2                          # numpy.dtype.isbuiltin of types that another package registers
Run = Callable[[Any, Sequence[Any]], tuple[Sequence[Any], str]]


def run_fastcnn(model: Any, inputs: Sequence[Any]) -> tuple[Sequence[Any], str]:
    """Outputs, and whether every node had a kernel."""
    import fastcnn.backend

    prepared = fastcnn.backend.prepare(model)
    outputs = prepared.run(list(inputs))
    return list(outputs), "fallback" if prepared.model.fallback_nodes else "native"


def run_onnxruntime(model: Any, inputs: Sequence[Any]) -> tuple[Sequence[Any], str]:
    """Outputs; element types that its run() does not take from numpy go in as the bits with the type's number.

    Types of less than a byte have no such way in: their cases count as refused.
    """
    import onnxruntime
    from onnx import helper

    onnxruntime.set_default_logger_severity(4)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    feeds = {}
    for info, x in zip(session.get_inputs(), inputs):
        x = np.asarray(x) if isinstance(x, np.generic) else x
        if isinstance(x, np.ndarray) and x.dtype.isbuiltin == FOREIGN and "int" not in x.dtype.name:
            kind = helper.np_dtype_to_tensor_dtype(x.dtype)
            x = onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(x.view(f"u{x.dtype.itemsize}"), kind)
        feeds[info.name] = x
    return session.run(None, feeds), "passed"


RUN: dict[str, Run] = {"fastcnn": run_fastcnn, "onnxruntime": run_onnxruntime}


def typed(y: Any, expected: Any) -> Any:
    """The output; where an engine hands out bits because numpy lacks the type, as that type."""
    bits = isinstance(y, np.ndarray) and isinstance(expected, np.ndarray) and expected.dtype.isbuiltin == FOREIGN
    return y.view(expected.dtype) if bits and y.dtype == f"u{expected.dtype.itemsize}" else y


def array_of(value: Any) -> Any:
    """A value of a case as an array; newer loaders of onnx return a TensorProto."""
    import onnx

    return onnx.numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value


def judge(run: Run, case: Any) -> tuple[str, str]:
    """(one of RESULTS, why) of a case of onnx's loader."""
    from onnx.backend.test.runner import Runner

    def late(*_: object) -> None:
        raise TimeoutError(f"more than {CASE_SECONDS} s")

    signal.signal(signal.SIGALRM, late)
    signal.alarm(CASE_SECONDS)
    result = "refused"
    try:
        for inputs, expected in case.data_sets:
            expected = [array_of(y) for y in expected]
            outputs, result = run(case.model, [array_of(x) for x in inputs])
            Runner.assert_similar_outputs(expected, [typed(y, e) for y, e in zip(outputs, expected)], case.rtol, case.atol)
    except (AssertionError, AttributeError, TypeError) as error:
        return ("refused" if result == "refused" else "wrong"), str(error)
    except Exception as error:
        return "refused", f"{type(error).__name__}: {error}"
    finally:
        signal.alarm(0)
    return result, ""


def work(engine: str, skip: int) -> None:
    """The worker: a line when a case begins and one when it has ended."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    warnings.simplefilter("ignore")
    from onnx.backend.test.loader import load_model_tests

    for case in itertools.islice(load_model_tests(kind="node"), skip, None):
        print(json.dumps([case.name]), flush=True)
        result, why = judge(RUN[engine], case)
        print(json.dumps([case.name, result, " ".join(why.split())[:300]]), flush=True)


def results_of(engine: str) -> Iterator[tuple[str, str, str]]:
    """(case, result, why) of every case, through as many workers as it takes."""
    done = 0
    while True:
        command = [sys.executable, "-m", "bench.operators", "--worker", engine, "--skip", str(done)]
        worker = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert worker.stdout is not None
        begun = None
        for line in worker.stdout:
            try:
                row = json.loads(line)
            except json.JSONDecodeError:         # something an engine prints
                continue
            if len(row) == 1:
                begun = row[0]
            else:
                begun, done = None, done + 1
                yield row[0], row[1], row[2]
        code = worker.wait()
        if begun is None:
            if code:
                raise RuntimeError(f"the {engine} worker ended with {code}")
            return
        done += 1
        yield begun, "crash", f"the process ended with {code}"


def table(counts: dict[str, Counter[str]]) -> str:
    """Markdown: a row an engine."""
    lines = [f"| engine | cases | passed | {' | '.join(r for r in RESULTS if r != 'passed')} |", "|---" * (len(RESULTS) + 2) + "|"]
    for engine, count in counts.items():
        passed = sum(count[r] for r in ("native", "fallback", "passed"))
        ours = bool(count["native"] or count["fallback"])
        cells = [str(count[r]) if ours or r not in ("native", "fallback") else "" for r in RESULTS if r != "passed"]
        lines.append(f"| {engine} {_version(engine)} | {count.total()} | {passed} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.operators", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--failures", action="store_true", help="also print the cases that did not pass")
    parser.add_argument("--worker", choices=ENGINES, help=argparse.SUPPRESS)
    parser.add_argument("--skip", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        work(arguments.worker, arguments.skip)
        return
    counts: dict[str, Counter[str]] = {}
    for engine in arguments.engines:
        counts[engine] = Counter()
        for name, result, why in results_of(engine):
            counts[engine][result] += 1
            if arguments.failures and result in ("wrong", "refused", "crash"):
                print(f"{engine:12} {result:8} {name}: {why}")
    print(f"onnx {metadata.version('onnx')}, opset {_newest_opset()}\n")
    print(table(counts))


def _version(engine: str) -> str:
    """Installed or, for a tree that is not, its own word."""
    import fastcnn

    return fastcnn.__version__ if engine == "fastcnn" else metadata.version(engine)


def _newest_opset() -> int:
    import onnx

    return int(onnx.defs.onnx_opset_version())


if __name__ == "__main__":
    main()
