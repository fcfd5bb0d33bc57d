"""Tuner: the chooser that times the candidates of every distinct convolution on this machine and remembers the winners."""
from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path

from fastcnn.convolve import planes_chain
from fastcnn.convolve.accuracy import FASTEST, FP32, Accuracy
from fastcnn.convolve.choice import Choice
from fastcnn.convolve.decision import Decision, Selection, Timed
from fastcnn.convolve.ladder import candidates, choose, cycles, layout_cycles, name_of
from fastcnn.convolve.shape import ConvShape, Problem
from fastcnn.convolve.winograd_cost import WORTH_IT
from fastcnn.ir.errors import ConfigurationError
from fastcnn.locks import Lock
from fastcnn.tune.answers import Answer, Answers, default_file
from fastcnn.tune.trial import MEMORY_MEGABYTES, Eviction, Rounds, Trials

LOG = logging.getLogger("fastcnn.tune")

SECONDS = 30.0          # of timing for one model in all its shapes; ResNet-50 takes about five
SMALLEST_MEGABYTES = 12
RUN_OVER_WEIGHTS = 2    # activations, and Winograd's weights, which are two to four times as large
SMALLEST = 20_000       # multiply-adds: what takes a microsecond is not worth a hundred of them
PROMISING = 1.3         # candidates that the cost model puts within this factor of its best are timed,
MOST_CANDIDATES = 9     # and of those no more than so many.
FIRST_ROUNDS, MORE_ROUNDS = 3, 6
SECONDS_A_LAYER = 0.4   # and no more rounds than fit in that, once the first are done
STILL_POSSIBLE = 1.15   # of the best after the first rounds: slower candidates get no more
CLEARLY = 0.98          # of the model's pick: a winner by less is noise, and plans should not differ by noise


class Tuner:
    """Implements fastcnn.convolve.decision.Chooser. Several threads may ask; they measure one after the other.

    answers  what is known already, and where new answers go
    seconds  of timing in all; when they are used up the cost model decides what is left, which a warning in the log says
    weight_bytes  of the whole model: a small one's stay in L3 from run to run, those of a large one come from memory
    """

    measures = True

    def __init__(self, answers: Answers, seconds: float, weight_bytes: int, accuracy: Accuracy = FASTEST):
        self.answers, self.seconds, self.accuracy = answers, seconds, accuracy
        self.megabytes = others_megabytes(weight_bytes)
        self.lock = Lock()
        self.exhausted = False
        self.evictions: dict[int, Eviction] = {}

    def conv(self, problem: Problem) -> Decision:
        """By measurement. What decides the last bits of the result is measured on one thread, so that it is the same for any number."""
        if problem.shape.macs < SMALLEST:
            return Decision(problem, choose(problem))
        with self.lock:
            one = replace(problem, threads=1)
            alone = self._decide(one, candidates(one))
            if problem.threads == 1:
                return alone
            listed = {name: picked for name, picked in candidates(problem).items() if picked.bits == alone.choice.bits}
            decision = self._decide(problem, listed)
            return decision if decision.source == "tuned" else replace(decision, source=alone.source, seconds=alone.seconds)

    def chain(self, layers: tuple[ConvShape, ...]) -> bool:
        """By prediction: on planes and on pixels the last bits differ, and what is timed has equal ones."""
        return planes_chain.pays(layers)

    def variant(self, key: str, names: Sequence[str], threads: int, make: Callable[[str], Timed]) -> Selection:
        """By measurement of all of them."""
        key = f"{key} threads{threads} after {self.megabytes} MB"
        with self.lock:
            answer = self.answers.get(key)
            if answer is None or answer.best not in names:
                if len(names) == 1 or self._out_of_time():
                    return Selection(names[0])
                answer = self._measure(key, names[0], threads, lambda eviction: _pairs(names, make, eviction),
                                       lambda times: least_of(times, names[0]))
            return Selection(answer.best, answer.seconds)

    def planned(self) -> None:
        """Answers to the file; the memory that was only needed to measure goes."""
        with self.lock:
            self.evictions.clear()
            self.answers.save()

    def _decide(self, problem: Problem, listed: dict[str, Choice]) -> Decision:
        listed = promising(listed, problem)
        pick = next(iter(listed))
        key = f"{layer_key(problem)} after {self.megabytes} MB"
        answer = self.answers.get(key)
        if answer is None or answer.best not in listed:
            if len(listed) == 1 or self._out_of_time():
                return Decision(problem, listed[pick])
            answer = self._measure(key, pick, problem.threads, lambda eviction: Trials(problem, listed, eviction),
                                   lambda times: winner(times, listed))
        return Decision(problem, listed[answer.best], "tuned", answer.seconds)

    def _out_of_time(self) -> bool:
        if self.seconds <= 0 and not self.exhausted:
            LOG.warning("the time for tuning is used up: the cost model chooses for the remaining layers")
            self.exhausted = True
        return self.exhausted

    def _measure(self, key: str, pick: str, threads: int, prepare: Callable[[Eviction], Rounds],
                 best: Callable[[Mapping[str, float]], str]) -> Answer:
        start = time.perf_counter()
        trials = prepare(self.evictions.get(threads) or self.evictions.setdefault(threads, Eviction(threads, self.megabytes)))
        times = trials.times(FIRST_ROUNDS)
        least = min(times.values())
        possible = {name for name, seconds in times.items() if seconds <= STILL_POSSIBLE * least}
        rounds = int(SECONDS_A_LAYER / sum(times[name] for name in possible))
        times |= trials.times(max(1, min(rounds, MORE_ROUNDS)), possible)
        answer = Answer(best(times), times)
        self.answers.put(key, answer)
        took = time.perf_counter() - start
        self.seconds -= took
        LOG.info("%s: %s, %.4f ms; by the model %s, %.4f ms; %d candidates in %.2f s", key, answer.best, 1e3 * times[answer.best], pick,
                 1e3 * times[pick], len(times), took)
        return answer


def others_megabytes(weight_bytes: int) -> int:
    """Megabytes to write between two runs of a layer: 12, 24, 48, 96 or 192, about what a run of the whole network reads and writes."""
    megabytes = SMALLEST_MEGABYTES
    while megabytes < MEMORY_MEGABYTES and megabytes * 2 ** 20 < RUN_OVER_WEIGHTS * weight_bytes:
        megabytes *= 2
    return megabytes


def promising(listed: dict[str, Choice], problem: Problem) -> dict[str, Choice]:
    """The candidates worth timing, the model's pick (or what of it may be chosen) first, then by predicted time."""
    pick = choose(problem)
    predicted = {name: cycles(picked, problem.threads) + layout_cycles(problem, picked) for name, picked in listed.items()}
    order = sorted(listed, key=lambda name: predicted[name])
    first = name_of(pick, listed) if pick in listed.values() else order[0]
    kept = [name for name in order if predicted[name] <= PROMISING * predicted[order[0]] and name != first]
    return {name: listed[name] for name in [first, *kept[:MOST_CANDIDATES - 1]]}


def winner(times: Mapping[str, float], listed: Mapping[str, Choice]) -> str:
    """The fastest; F(4,3), which rounds more coarsely, only where it gains what the cost model wants too, and the pick in case of doubt."""
    pick = next(iter(listed))
    coarse = {name for name in times if listed[name].fields.get("m", 0) > 2}
    least = min(seconds for name, seconds in times.items() if name not in coarse) if coarse != set(times) else float("inf")
    fair = {name: seconds for name, seconds in times.items() if name not in coarse or seconds < WORTH_IT * least}
    return least_of(fair, pick)


def least_of(times: Mapping[str, float], pick: str) -> str:
    """The fastest; the pick in case of doubt."""
    best = min(times, key=lambda name: times[name])
    return pick if pick in times and times[best] > CLEARLY * times[pick] else best


def _pairs(names: Sequence[str], make: Callable[[str], Timed], eviction: Eviction) -> Rounds:
    """Rounds of what `make` makes, twice each: twins have weights of their own."""
    return Rounds({name: make(name) for name in names}, {name: make(name) for name in names}, eviction)


def layer_key(problem: Problem) -> str:
    """The convolution, its strides and the threads in one line."""
    numbers = " ".join(f"{field.name}{getattr(problem.shape, field.name)}" for field in fields(problem.shape))
    strides = " ".join(f"{prefix}[{','.join(map(str, place))}]" for prefix, place in zip("xyr", problem.places))
    kind = f"{' planes' if problem.planes else ''}{'' if problem.clamped else ' not clamped'}{' bf16' if problem.rounds else ''}"
    kind += f" weights {problem.weights}" if problem.weights != FP32 else ""
    return f"{numbers} {strides}{kind} threads{problem.threads}"


def tuner(tune: bool | str | os.PathLike[str], weight_bytes: int, accuracy: Accuracy = FASTEST) -> Tuner:
    """The tuner for fastcnn.load's argument: True, or the path of the file with the answers. FASTCNN_TUNE_SECONDS bounds its time.

    Raises ConfigurationError.
    """
    if tune is not True and not isinstance(tune, (str, os.PathLike)):
        raise ConfigurationError(f"tune={tune!r}: expected True, False or the path of a file")
    given = os.environ.get("FASTCNN_TUNE_SECONDS")
    try:
        seconds = float(given) if given else SECONDS
    except ValueError:
        raise ConfigurationError(f"FASTCNN_TUNE_SECONDS={given!r}: expected a number") from None
    return Tuner(Answers(default_file() if tune is True else Path(tune)), seconds, weight_bytes, accuracy)
