"""Processes started while four threads of the parent load, plan and run: python tests/processes.py METHOD COUNT [THREADS].

METHOD is fork, spawn or forkserver, THREADS how many each model may take. Every child runs the parent's model and one that it loads itself.
The parent's threads rest while it waits for the children: what they do then no child sees.
"""
from __future__ import annotations

import multiprocessing
import multiprocessing.process
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).parent.parent)]
import fastcnn  # noqa: E402

METHODS = [method for method in ("fork", "spawn", "forkserver") if method in multiprocessing.get_all_start_methods()]
# So many are started one after the other, then all are waited for.
SIDE_BY_SIDE = 8
# A child that takes longer hangs: on a busy machine it imports for some seconds. In slices, as all may be stopped for a while.
PATIENCE_SECONDS, SLICES = 5, 24
# The threads work so long before each child is started, which is in the midst of it.
AT_WORK_SECONDS = 0.005
OTHER_BITS, SAME_BITS = 3, 0


def network() -> bytes:
    """A model of two convolutions on a map of any height."""
    from onnx import helper, numpy_helper  # by the parent alone
    rng = np.random.default_rng(0)
    weights = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in (("a", (32, 16, 3, 3)), ("b", (16, 32, 1, 1)))}
    nodes = [helper.make_node("Conv", ["x", "a"], ["t"], pads=[1] * 4), helper.make_node("Conv", ["t", "b"], ["y"])]
    graph = helper.make_graph(nodes, "network", [helper.make_tensor_value_info("x", 1, ["n", 16, "h", 29])],
                              [helper.make_tensor_value_info("y", 1, None)], [numpy_helper.from_array(w, n) for n, w in weights.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8).SerializeToString()


def image(height: int) -> np.ndarray:
    """The same for the same height."""
    return np.random.default_rng(height).standard_normal((1, 16, height, 29)).astype(np.float32)


@contextmanager
def four_threads(loaded: fastcnn.Model, proto: bytes) -> Iterator[threading.Event]:
    """While the event is set they plan new heights, run, forget, and load. What one of them raises comes out of the block."""
    at_work, stop = threading.Event(), threading.Event()

    def work(first: int) -> None:
        while at_work.wait() and not stop.is_set():
            for height in range(first, first + 5):
                loaded(image(height))
            loaded.trim()
            fastcnn.load(proto, threads=loaded.threads)

    with ThreadPoolExecutor(4) as pool:
        working = [pool.submit(work, 8 + 5 * k) for k in range(4)]
        try:
            yield at_work
        finally:
            stop.set()
            at_work.set()
        for thread in working:
            thread.result()


def child(loaded: fastcnn.Model, proto: bytes, want: np.ndarray) -> None:
    """Exits with SAME_BITS when both models give what the parent's gave."""
    results = loaded(image(40)), fastcnn.load(proto, threads=loaded.threads)(image(40))
    sys.exit(SAME_BITS if all(np.array_equal(y, want) for y in results) else OTHER_BITS)


def outcomes(method: str, count: int, threads: int) -> Counter[str]:
    """How so many children ended: "same bits", "hang", or the code they exited with."""
    context = multiprocessing.get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload(["fastcnn", "onnx"])
    proto = network()
    loaded = fastcnn.load(proto, threads=threads)
    want = loaded(image(40))
    ended: Counter[str] = Counter()
    with four_threads(loaded, proto) as at_work:
        while ended.total() < count:
            children = [context.Process(target=child, args=(loaded, proto, want)) for _ in range(min(SIDE_BY_SIDE, count - ended.total()))]
            at_work.set()
            for process in children:
                time.sleep(AT_WORK_SECONDS)
                process.start()
            at_work.clear()
            ended.update([_end_of(process) for process in children])
    return ended


def _end_of(process: multiprocessing.process.BaseProcess) -> str:
    for _ in range(SLICES):
        process.join(PATIENCE_SECONDS)
        if process.exitcode is not None:
            return "same bits" if process.exitcode == SAME_BITS else f"exit {process.exitcode}"
    process.kill()
    process.join()
    return "hang"


def main() -> None:
    method, count, threads = sys.argv[1], int(sys.argv[2]), int((*sys.argv[3:], 2)[0])
    begin, ended = time.monotonic(), Counter()
    while ended.total() < count:
        ended += outcomes(method, min(100, count - ended.total()), threads)
        print(f"{method}, {threads} threads a model: {dict(ended)} in {time.monotonic() - begin:.0f} s", flush=True)
    sys.exit(set(ended) != {"same bits"})


if __name__ == "__main__":
    main()
