"""A process of bench.start: arguments ENGINE MODEL THREADS CPUS, answers with a line of JSON. Imports nothing before it has to."""
import os
import sys
from time import perf_counter

MAX_EXTENT = 224        # what symbolic axes besides the first become
RUNS = 3                # before the peak of memory is looked at; the first two are shown


def main(engine: str, path: str, threads: int, cpus: str) -> None:
    if cpus and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, [int(cpu) for cpu in cpus.split(",")])
    start = perf_counter()
    module = __import__(engine)
    imported = perf_counter()
    options = module.SessionOptions()
    options.intra_op_num_threads = threads
    session = module.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    loaded = perf_counter()
    feeds = make_feeds(session)
    times = []
    for _ in range(RUNS):
        begin = perf_counter()
        session.run(None, feeds)
        times.append(perf_counter() - begin)
    import json
    print(json.dumps({"import": imported - start, "load": loaded - imported, "first run": times[0], "second run": times[1],
                      "peak": peak()}))


def make_feeds(session):  # type: ignore[no-untyped-def]
    """Seeded random float32 inputs."""
    import numpy as np
    rng = np.random.default_rng(0)
    feeds = {}
    for value in session.get_inputs():
        shape = [n if isinstance(n, int) else (MAX_EXTENT if axis else 1) for axis, n in enumerate(value.shape)]
        feeds[value.name] = rng.standard_normal(shape).astype(np.float32)
    return feeds


def peak() -> int:
    """Bytes of the high-water mark of resident memory (VmHWM), 0 where there is no /proc."""
    try:
        with open("/proc/self/status") as status:
            return next(1024 * int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    except OSError:
        return 0


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])
