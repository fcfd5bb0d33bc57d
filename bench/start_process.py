"""A process of bench.start: arguments ENGINE MODEL THREADS CPUS, answers with a line of JSON. Imports nothing before it has to."""
import os
import sys
from time import perf_counter, process_time

MAX_EXTENT = 224        # what symbolic axes besides the first become
RUNS = 3                # before the peak of memory is looked at; the first two are shown


def main(engine: str, path: str, threads: int, cpus: str) -> None:
    if cpus and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, [int(cpu) for cpu in cpus.split(",")])
    marks = [(perf_counter(), process_time())]              # before and after each phase
    module = __import__(engine)
    session_of = module.InferenceSession                    # fastcnn imports the rest of itself when it is asked for this
    marks.append((perf_counter(), process_time()))
    options = module.SessionOptions()
    options.intra_op_num_threads = threads
    session = session_of(path, options, providers=["CPUExecutionProvider"])
    marks.append((perf_counter(), process_time()))
    feeds = recorded_feeds(session, path) or make_feeds(session)
    runs = []
    for _ in range(RUNS):
        begin = perf_counter(), process_time()
        session.run(None, feeds)
        runs.append([now - then for now, then in zip((perf_counter(), process_time()), begin)])
    import json
    phases = [[after - before for before, after in zip(marks[k], marks[k + 1])] for k in range(2)] + runs
    figures = {"peak": peak()}
    for phase, (wall, cpu) in zip(("import", "load", "first run", "second run"), phases):
        figures[phase], figures[phase + " cpu"] = wall, cpu
    print(json.dumps(figures))


def recorded_feeds(session, path):  # type: ignore[no-untyped-def]
    """Inputs of reference/rand.npz beside the model, where somebody has put them there: in0, in1 ... in the order of the inputs."""
    recorded = os.path.join(os.path.dirname(path), "reference", "rand.npz")
    if not os.path.exists(recorded):
        return {}
    import numpy as np
    with np.load(recorded) as arrays:
        return {value.name: arrays[f"in{k}"] for k, value in enumerate(session.get_inputs())}


def make_feeds(session):  # type: ignore[no-untyped-def]
    """Seeded random inputs: floats, and zeros of other types."""
    import numpy as np
    rng = np.random.default_rng(0)
    feeds = {}
    for value in session.get_inputs():
        shape = [n if isinstance(n, int) else (MAX_EXTENT if axis else 1) for axis, n in enumerate(value.shape)]
        element = value.type.removeprefix("tensor(").removesuffix(")")
        feeds[value.name] = rng.standard_normal(shape).astype(np.float32) if element == "float" else np.zeros(shape, element)
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
