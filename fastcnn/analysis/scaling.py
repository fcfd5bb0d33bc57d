"""What more cores would do for a plan, predicted: its steps, their last tiles, barriers and the bandwidth that cores share.

Times are in cycles of one core. What one core needs is the planner's cost model (fastcnn.convolve), or measured step by step by
`python -m bench.scale`; what two cores do to each other is measured there too. From three cores on it is a guess, whose assumptions are
the fields of Cores.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import fastcnn._native as _native
from fastcnn.analysis.aims import LATENCY
from fastcnn.analysis.steps import Unit, units_of
from fastcnn.convolve import ladder
from fastcnn.convolve.choice import Choice
from fastcnn.convolve.decision import Decision
from fastcnn.convolve.winograd import winograd_blocks
from fastcnn.ir.record import dataclass
from fastcnn.machine.current import current
from fastcnn.plan.batches import Repeated
from fastcnn.plan.choices import TALLEST
from fastcnn.plan.lowering import SINGLE_THREAD_PROGRAM, SINGLE_THREAD_WORK, Stage
from fastcnn.plan.plan import Plan

COUNTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
# For latency, more threads have to gain this much; for throughput, they may lose this much, because single answers then come sooner.
GAIN, LOSS = 1.03, 1.03
# Vectors of multiply-adds or elements that a core does in a cycle in steps without a cost model of their own.
VECTORS_A_CYCLE = 1.0


@dataclass(frozen=True)
class Cores:
    """What cores share, in cycles and shares of a step's time: three numbers of two Zen 5 cores (bench/notes/scale.md), one guess.

    enter    until the threads of a run are at work
    barrier  that a step of two threads waits beside its work; of n threads n / 2 times as long (guess: they arrive one after the other)
    foreign  what data cost of which half are another core's; of n cores (n - 1) / n of them are (guess: all to all)
    streams  so many cores together get all that memory gives, each of them what the machine's numbers say of one core (guess)
    """

    enter: float = 3300.0
    barrier: float = 180.0
    foreign: float = 0.2
    streams: float = 6.0


USUAL = Cores()


@dataclass(frozen=True)
class Part:
    """A step on one thread: cycles without fetching its weights, the bytes of those, whether more threads are no use to it.

    decision  of a convolution, which is planned anew for each number of threads
    times     that it runs for one call
    """

    node: str
    cycles: float
    weights: int = 0
    alone: bool = False
    decision: Decision | None = None
    times: int = 1

    def at(self, threads: int, cores: Cores, runs: int = 1) -> float:
        """Cycles until the last of the threads is done, where so many runs go on side by side."""
        threads = 1 if self.alone else threads
        work, apart = self._work(threads)
        fetch = 0.0
        if self.weights:
            memory = current().memory * min(threads * runs, cores.streams) / runs
            fetch = max(self.weights / memory, self.weights / current().l3_weights / (threads if apart else 1))
        if threads == 1:
            return self.times * (work + fetch)
        foreign = 1 + cores.foreign * 2 * (threads - 1) / threads
        return self.times * (work * foreign + fetch + cores.barrier * threads / 2)

    def _work(self, threads: int) -> tuple[float, bool]:
        """(the largest share of the work, whether threads read weights of their own)."""
        if threads == 1:
            return self.cycles, True
        if self.decision is None:
            return self.cycles / threads, False
        choice = ladder.choose(replace(self.decision.problem, threads=threads))
        if choice.kind == "winograd":
            blocks = winograd_blocks(choice)
            whole = _native.winograd_whole_blocks(blocks, threads)
            return self.cycles * (-(-blocks // threads) / blocks if whole else 1 / threads), not whole
        ratio = _cycles(choice, threads) / _cycles(self.decision.choice, 1)
        pieces, apart = _pieces(choice, threads)
        return self.cycles * ratio * (-(-pieces // threads) * threads / pieces if pieces else 1.0), apart


def _cycles(choice: Choice, threads: int) -> float:
    """Without the weights' way from memory."""
    return max(ladder.cycles(choice, threads) - _packed_bytes(choice) / current().memory, 1.0)


def _packed_bytes(choice: Choice) -> int:
    shape = choice.shape
    spec = ladder.packed_spec(choice, (shape.groups * shape.oc, shape.ic, shape.kh, shape.kw))
    return spec.nbytes if spec is not None else shape.w_bytes


def _pieces(choice: Choice, threads: int) -> tuple[int, bool]:
    """(what threads share, in whole pieces, 0 where the cost model knows; whether those are output channels)."""
    shape, fields = choice.shape, choice.fields
    if choice.kind not in ("conv", *TALLEST) or "nv" not in fields:
        return 0, False
    if fields.get("split_columns"):
        return -(-shape.oc // (fields["nv"] * _native.vector_length())), True
    tall = TALLEST.get(choice.kind, _native.gemm_max_mr)(fields["nv"])
    return shape.n * shape.oh * (1 if fields.get("band") else -(-shape.ow // max(tall, 1))), False


def parts_of(plan: Plan, measured: Callable[[int, int], float] | None = None) -> list[Part]:
    """The steps of a plan for one thread, without those in fallback. measured(stage, step): cycles of a step; None: by the cost model."""
    found = list[Part]()
    for unit in units_of(plan):
        stage = plan.stages[unit.stage]
        if isinstance(stage, Stage):
            found += _parts(unit, stage, measured)
    return found


def _parts(unit: Unit, stage: Stage, measured: Callable[[int, int], float] | None) -> list[Part]:
    small = sum(info.work for info in stage.steps) < SINGLE_THREAD_PROGRAM
    times, left, found = stage.times if isinstance(stage, Repeated) else 1, list(unit.decided), list[Part]()
    for index, kind in unit.steps:
        info = stage.steps[index]
        chosen = next((chosen for chosen in left if chosen.kind == kind and chosen.decision is not None), None)
        decision, weights = None, 0
        cycles = info.work / (VECTORS_A_CYCLE * _native.vector_length())
        if chosen is not None and chosen.decision is not None:
            left.remove(chosen)
            alone = ladder.choose(replace(chosen.decision.problem, threads=1))
            decision, weights = replace(chosen.decision, choice=alone), _packed_bytes(alone)
            cycles = _cycles(alone, 1)
        if measured is not None:
            whole = measured(unit.stage, index)
            cycles = max(whole - weights / current().memory, whole / 2)
            weights = int((whole - cycles) * current().memory)
        found.append(Part(info.node, cycles, weights, small or info.work < SINGLE_THREAD_WORK, decision, times))
    return found


def latency(parts: Sequence[Part], threads: int, cores: Cores, runs: int = 1) -> float:
    """Cycles of one call."""
    enter = cores.enter if threads > 1 and not all(part.alone for part in parts) else 0.0
    return enter + sum(part.at(threads, cores, runs) for part in parts)


def rate(parts: Sequence[Part], threads: int, cpus: int, cores: Cores) -> float:
    """Calls a cycle of as many runs of so many threads as the CPUs hold."""
    runs = max(1, cpus // threads)
    return runs / max(latency(parts, threads, cores, runs), 1.0)


def threads_for(aim: str, parts: Sequence[Part], cpus: int, cores: Cores = USUAL) -> int:
    """The number of threads with the shortest call, or with the most calls a second on all CPUs together, by prediction."""
    best = 1
    for threads in sorted({*(count for count in COUNTS if count < cpus), cpus}):
        if aim == LATENCY:
            better = latency(parts, threads, cores) * GAIN < latency(parts, best, cores)
        else:
            better = rate(parts, threads, cpus, cores) * LOSS > max(rate(parts, best, cpus, cores), rate(parts, 1, cpus, cores))
        best = threads if better else best
    return best
