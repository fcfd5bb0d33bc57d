"""What `make test` runs: the suite at every instruction set, and what depends on plans with the planner told of other processors.

    python -m tests.every_run [--jobs 2] [pytest arguments]

Runs are processes of their own, so many at a time as there are CPUs. Every run goes to its end whatever the others find; all failures are
listed last, and then the exit status is 1.
"""
from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path

from fastcnn import _native
from fastcnn.cpu import default_threads
from fastcnn.machine.table import ROWS, machine_of

ROOT = Path(__file__).parent.parent
KB = 1 << 10
# Caches in which nothing fits: blocks of one row, rings of one line.
TINY = replace(ROWS["haswell"], name="tiny", l1d_bytes=4 * KB, l2_bytes=16 * KB, ring_bytes=2 * KB)
OTHERS = ("haswell", "sapphire_rapids", "zen4")             # rows: two that are not this machine's
FAILED = re.compile(r"^(FAILED|ERROR) .*", re.MULTILINE)


@dataclass(frozen=True)
class Run:
    """A run of the suite: its name and what it sets in the environment; how it ended, once it has."""

    name: str
    environment: Mapping[str, str]
    status: int = 0
    output: str = ""

    def summary(self) -> str:
        lines = self.output.strip().splitlines() or ["no output"]
        return f"{self.name}: {lines[-1].strip('= ')}"


def runs(folder: Path) -> list[Run]:
    """The longest first: everything at the level that users get.

    Sub-levels have the floats of their instruction set; kernels of bytes are tested at every level by themselves.
    """
    lower, best = _native.isas()[:-1], _native.levels()[-1]
    own = machine_of(_native.cpu()).name
    (folder / "tiny.json").write_text(TINY.to_json())
    machines = [str(folder / "tiny.json"), *[row for row in OTHERS if row != own][:2]]
    return [Run(best, {"FASTCNN_ISA": best}),
            *(Run(isa, {"FASTCNN_ISA": isa, "FASTCNN_TEST_REPEAT": "isa"}) for isa in lower),
            *(Run(f"planned for {Path(name).stem}", {"FASTCNN_MACHINE": name, "FASTCNN_TEST_REPEAT": "plans"}) for name in machines)]


def execute(run: Run, arguments: Sequence[str]) -> Run:
    done = subprocess.run([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments], cwd=ROOT, text=True,
                          env={**os.environ, **run.environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return replace(run, status=done.returncode, output=done.stdout)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--jobs", type=int, default=default_threads(), help="runs at a time, default: %(default)s")
    args, rest = parser.parse_known_args(arguments)
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(max(args.jobs, 1)) as pool:
        waiting = [pool.submit(execute, run, rest) for run in runs(Path(folder))]
        print(f"{len(waiting)} runs of the suite, {args.jobs} at a time", flush=True)
        done = []
        for future in as_completed(waiting):
            done.append(future.result())
            if done[-1].status:
                print(done[-1].output)
            print(done[-1].summary(), flush=True)
    failed = [run for run in done if run.status]
    for run in failed:
        print(f"\n{run.summary()}\n" + "\n".join(match.group() for match in FAILED.finditer(run.output)))
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
