"""Load and run mutants in child processes with limits: python tests/fuzz/run.py COUNT [FIRST] [compiled]. Prints what none may cause."""
from __future__ import annotations

import faulthandler
import os
import random
import resource
import signal
import subprocess
import sys
import warnings
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

# FUZZ_BUILD: the folder of another build of the package, say the checked one's.
sys.path[:0] = [str(Path(__file__).parent.parent), os.environ.get("FUZZ_BUILD", str(Path(__file__).parent.parent.parent))]
from fuzz.compiled import compiled_mutant  # noqa: E402
from fuzz.mutate import mutated  # noqa: E402
from fuzz.seeds import Seed, seeds  # noqa: E402
from fuzz.watch import Unforeseen  # noqa: E402

CPU_SECONDS, WALL_SECONDS = 10, 120
MEMORY = 4 << 30
MODEL_MEMORY = 256 << 20
BATCH = 2000
LARGEST_FEED = 1 << 20
COMPILED = 1 << 32


@dataclass(frozen=True)
class Finding:
    """What mutant `index` caused."""

    index: int
    seed: str
    what: str


def mutant(index: int) -> tuple[Seed, bytes]:
    """The seed and the mutant of this number, always the same: from COMPILED on of compiled files."""
    rng = random.Random(zlib.crc32(str(index).encode()))
    if index >= COMPILED:
        return compiled_mutant(rng)
    seed = rng.choice(seeds())
    return seed, mutated(seed.data, rng)


# ---- the child ----

def _feeds(model, seed: Seed, rng: np.random.Generator) -> dict[str, object] | None:
    """The seed's own where they fit, else random ones; None for inputs that nobody would feed."""
    from fastcnn.feeds import tensor_dtype
    feeds = {}
    for info in model.get_inputs():
        dtype = tensor_dtype(info.type)
        if dtype is None:
            return None
        own = seed.feeds.get(info.name)
        shape = tuple(d if isinstance(d, int) else int(rng.integers(1, 5)) for d in info.shape) if info.shape is not None else (2, 3)
        if own is not None and own.dtype == dtype and rng.random() < 0.8:
            feeds[info.name] = own
            continue
        if np.prod([float(d) for d in shape]) > LARGEST_FEED:
            return None
        values = rng.integers(-3, 4, shape) if dtype.kind in "iu" and rng.random() < 0.7 else 100 * rng.standard_normal(shape)
        feeds[info.name] = np.asarray(values).astype(dtype) if dtype.kind != "O" else np.full(shape, "a", object)
    return feeds


def _try(index: int, threads: int) -> str:
    """"ran", or the name of the error of ours; raises what may not be."""
    import fastcnn
    seed, data = mutant(index)
    rng = np.random.default_rng(index)
    try:
        model = fastcnn.load(data, threads=threads, max_memory=MODEL_MEMORY)
        feeds = _feeds(model, seed, rng)
        if feeds is None:
            return "not fed"
        for _ in range(2):
            results = model.run(None, feeds, timeout=2)
        assert len(results) == len(model.get_outputs())
    except fastcnn.FastCNNError as error:
        return type(error).__name__
    return "ran"


def child(first: int, count: int, limited: bool, threads: int) -> None:
    """Prints a line before each mutant and one after it."""
    unforeseen = Unforeseen()
    faulthandler.enable()
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    with np.errstate(all="ignore"):
        seeds()
    if limited:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for index in range(first, first + count):
        print(f"> {index}", flush=True)
        signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
        signal.setitimer(signal.ITIMER_REAL, WALL_SECONDS)
        try:
            outcome = _try(index, threads)
        except MemoryError:
            outcome = "!MemoryError"
        except BaseException as error:
            outcome = f"!{type(error).__name__}: {str(error)[:200]}"
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        if text := unforeseen.taken():
            outcome = f"?{text[:250]}"
        print(outcome.replace("\n", " "), flush=True)


# ---- the parent ----

def findings(count: int, first: int = 0, limited: bool = True, threads: int = 1, outcomes: Counter | None = None) -> Iterator[Finding]:
    """What mutants first to first + count - 1 cause that they may not: crashes, hangs, errors that are not ours, unforeseen ones."""
    done, end = first, first + count
    while done < end:
        command = [sys.executable, __file__, "--child", str(done), str(min(BATCH, end - done)), str(int(limited)), str(threads)]
        result = subprocess.run(command, capture_output=True, text=True, errors="replace", env={**os.environ, "ORT_DISABLE_TELEMETRY": "1"})
        lines = result.stdout.splitlines()
        at = done
        for line in lines:
            if line.startswith("> "):
                at = int(line[2:])
                continue
            done = at + 1
            if line[:1] in "!?":
                yield Finding(at, mutant(at)[0].name, line)
            elif outcomes is not None:
                outcomes[line] += 1
        if result.returncode:
            name = signal.Signals(-result.returncode).name if result.returncode < 0 else f"exit {result.returncode}"
            hang = {"SIGPROF": "hang (processor)", "SIGALRM": "hang (clock)"}.get(name, name)
            yield Finding(at, mutant(at)[0].name, f"{hang}: {_tail(result.stderr)}")
            done = at + 1


def _tail(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if "ERROR: AddressSanitizer" in line or "runtime error" in line or "#" in line[:3]]
    return " | ".join(errors[:8] or [line for line in lines if line.startswith("File")][:6] or lines[-4:])[:1200]


def main() -> None:
    of_compiled = "compiled" in sys.argv
    arguments = [int(a) for a in sys.argv[1:] if a.isdigit()]
    if sys.argv[1:2] == ["--child"]:
        child(arguments[0], arguments[1], bool(arguments[2]), arguments[3])
        return
    count, first = (*arguments, 0)[:2] if arguments else (10_000, 0)
    first += COMPILED * of_compiled
    outcomes: Counter[str] = Counter()
    limited = "libasan" not in os.environ.get("LD_PRELOAD", "")
    bad = 0
    for finding in findings(count, first, limited, int(os.environ.get("FUZZ_THREADS", "1")), outcomes):
        bad += 1
        print(f"{finding.index} {finding.seed}: {finding.what}", flush=True)
    print(f"{count} mutants, {bad} findings; {dict(outcomes.most_common())}")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
