"""precision="auto": float32, bfloat16 or bytes for each layer, so that the outputs keep within a bound and time is least."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from fastcnn.ir.graph import Graph, Node
from fastcnn.ir.record import dataclass
from fastcnn.precision.budget import Option, cheapest
from fastcnn.precision.feeding import Feeding
from fastcnn.precision.network import Network
from fastcnn.precision.quantise import Calibrated, Options, calibrated

FP32, BF16, INT8 = "fp32", "bf16", "int8"
# Of the bound that calibration data must keep within: other data go further, 1.7 times as far with trained networks (bench/notes/int8.md).
# What a Softmax would make of errors where it is steepest is as far as other data go, and needs no margin.
MARGIN = 0.5
HARM_SAMPLES = 4                # to measure what a layer does to the outputs
SCALES = (1.0, 1.5, 2.2, 3.2)   # of the bound that errors of layers, added up, are given: they are not independent
FALLING, STEPS = 0.65, 8        # and what it falls by, and how often, until the whole keeps within the bound
ROUNDS = 7                      # that whole networks are timed in
CLOSE = 1.01                    # of the least time of all choices: that near to it, what each layer does to the outputs is not measured
BF16_SHARE = 0.07               # of the square of a layer's error on bytes, in bfloat16: 2.5e-3 and 9.5e-3 of 256 inputs
WORTH = 0.97                    # of float32's time: what is not faster than that is no option


# Makes a graph run, with these nodes in bfloat16.
Make = Callable[[Graph, frozenset[str]], Network]


class Layer(NamedTuple):
    """A product by its name and its output, with what it can be computed in: float32 first."""

    name: str
    output: str
    options: tuple[Option, ...]

    def option(self, precision: str) -> Option:
        """The option of a precision, float32's where there is none."""
        return next((option for option in self.options if option.name == precision), self.options[0])


@dataclass(frozen=True)
class Automatic:
    """graph and rounded: what to run. picks: layer -> its precision; why: layer -> the reason, with figures; error: on the data."""

    graph: Graph
    rounded: frozenset[str]
    picks: Mapping[str, str]
    why: Mapping[str, str]
    error: float


@dataclass(frozen=True)
class Trial:
    """A whole network: each layer's precision, the network, its error."""

    picks: tuple[str, ...]
    network: Network
    graph: Graph
    rounded: frozenset[str]
    error: float


def automatic(graph: Graph, data: Feeding, max_error: float, make: Make, threads: int) -> Automatic:
    """Measures what each layer takes in each precision, picks, and tries the whole; what layers do to the outputs is measured where the
    fastest goes beyond the bound. graph: prepare.prepared().

    Of the networks that keep within the bound on the data, single precisions among them, the one that is measured to be fastest.
    """
    known = calibrated(graph, data, data.total, lambda part: make(part, frozenset()).run, Options(threads=threads), _said)
    ways = [replace(known, options=replace(known.options, method=name)) for name in ("minmax", "mse")]
    known = min(ways, key=lambda way: way.error(way.on_bytes(())[0]))
    search = Search(known, make, _layers(known, make), MARGIN * max_error)
    found = search.fastest()
    picks = {layer.name: pick for layer, pick in zip(search.layers, found.picks)}
    return Automatic(found.graph, found.rounded, picks, {layer.name: _why(layer, pick) for layer, pick in zip(search.layers, found.picks)},
                     found.error)


class Search:
    """Whole networks, tried until the fastest within a bound is found."""

    def __init__(self, known: Calibrated, make: Make, layers: Sequence[Layer], bound: float):
        self.known, self.make, self.layers, self.bound = known, make, list(layers), bound
        self.tried: dict[tuple[str, ...], Trial] = {}

    def trial(self, picks: Sequence[str]) -> Trial:
        """The network with these precisions, each once."""
        key = tuple(picks)
        if key not in self.tried:
            pairs = list(zip(self.layers, key))
            graph, _ = self.known.on_bytes([layer.output for layer, pick in pairs if pick != INT8])
            rounded = frozenset(layer.name for layer, pick in pairs if pick == BF16)
            network = self.make(graph, rounded)
            watched = self.known.watched
            error = watched.error(watched.values(network.run, self.known.seen.samples), self.known.exact, MARGIN)
            self.tried[key] = Trial(key, network, graph, rounded, error)
            _said("whole networks", len(self.tried), None)
        return self.tried[key]

    def within(self, penalty: Mapping[str, float]) -> Trial:
        """By the errors and times of layers: the fastest that turns out to keep within the bound. penalty: layer -> ms if not on bytes."""
        options, found = self._options(penalty), None
        for scale in SCALES:
            trial = self.trial(self._picks(options, scale))
            if trial.error > self.bound:
                break
            found = trial
        scale = 1.0
        for _ in range(STEPS):
            if found is not None:
                return found
            scale *= FALLING
            trial = self.trial(self._picks(options, scale))
            found = trial if trial.error <= self.bound else None
        return found or self.single(FP32)

    def _options(self, penalty: Mapping[str, float]) -> list[list[Option]]:
        return [[option if option.name == INT8 else option._replace(ms=option.ms + penalty.get(layer.output, 0.0))
                 for option in layer.options] for layer in self.layers]

    def _nearly_free(self, penalty: Mapping[str, float]) -> bool:
        """Tries the fastest of all choices, then a few with others for the layers that are furthest off by themselves.

        Whether one of them keeps within the bound and takes hardly more than the least time: shares of the error of the first are guessed.
        """
        options = self._options(penalty)
        free = self.trial(self._picks(options, 1.0))
        if free.error <= self.bound:
            return True
        squares = {layer.output: self.known.errors.get(layer.output, 0.0) ** 2 for layer in self.layers}
        unit = free.error ** 2 / max(sum(squares.values()), np.finfo(float).tiny)
        shares = {FP32: 0.0, BF16: BF16_SHARE, INT8: 1.0}
        guessed = [[option._replace(square=unit * squares[layer.output] * shares[option.name]) for option in row]
                   for layer, row in zip(self.layers, options)]
        least = sum(min(option.ms for option in row) for row in options)
        scale = 1.0
        for _ in range(STEPS // 2):
            chosen = cheapest(guessed, self.bound * scale)
            if sum(row[k].ms for row, k in zip(options, chosen)) > CLOSE * least:
                return False
            if self.trial([row[k].name for row, k in zip(options, chosen)]).error <= self.bound:
                return True
            scale *= FALLING
        return False

    def measure_harm(self) -> None:
        """Gives options the errors that they make of the outputs, each by itself."""
        for done, (layer, node) in enumerate(zip(self.layers, self.known.found.products()), 1):
            squares = {FP32: 0.0}
            for precision in reversed([option.name for option in layer.options[1:]]):
                small = squares.get(INT8, np.inf) <= self.bound ** 2 / len(self.layers)     # bytes are nearly as good as free
                squares[precision] = BF16_SHARE * squares[INT8] if small else self._harm(node, precision) ** 2
            options = tuple(option._replace(square=squares[option.name]) for option in layer.options)
            self.layers[done - 1] = layer._replace(options=options)
            _said("layers", done, len(self.layers))

    def _harm(self, node: Node, precision: str) -> float:
        """The error of the outputs when one layer is computed in a precision and all others in float32."""
        known, watched = self.known, self.known.watched
        if precision == BF16:
            run = self.make(known.graph, frozenset([node.name])).run
        else:
            run = self.make(known.on_bytes([layer.output for layer in self.layers if layer.output != node.outputs[0]])[0], frozenset()).run
        worst = 0.0
        for k, sample in enumerate(known.seen.samples[:HARM_SAMPLES]):
            worst = max(worst, watched.error(watched.values(run, [sample]), known.exact[k:k + 1], MARGIN))
            if worst > SCALES[-1] * self.bound:                 # it is never picked
                break
        return worst

    def _picks(self, options: Sequence[Sequence[Option]], scale: float) -> list[str]:
        chosen = cheapest(options, self.bound * scale)
        return [layer[k].name for layer, k in zip(options, chosen)]

    def single(self, precision: str) -> Trial:
        """A trial with all layers in one precision, where they have it as an option."""
        return self.trial([layer.option(precision).name for layer in self.layers])

    def fastest(self) -> Trial:
        """The fastest trial that keeps within the bound."""
        penalties: list[Mapping[str, float]] = [{}, {output: 2 * time.entering_ms for output, time in self.known.predictions.items()}]
        for precision in (FP32, BF16, INT8):
            self.single(precision)
        if not all([self._nearly_free(penalty) for penalty in penalties]):
            self.measure_harm()
            for penalty in penalties:
                self.within(penalty)
        good = [trial for trial in self.tried.values() if trial.error <= self.bound or set(trial.picks) <= {FP32}]
        feeds, times = self.known.seen.samples[0], {id(trial): np.inf for trial in good}
        for _ in range(ROUNDS):
            for trial in good:
                times[id(trial)] = min(times[id(trial)], trial.network.seconds(feeds))
        return min(good, key=lambda trial: times[id(trial)])


def _layers(known: Calibrated, make: Make) -> list[Layer]:
    """Every product with its options, by times of whole networks in one precision; without their errors."""
    products, feeds = known.found.products(), known.seen.samples[0]
    names = frozenset(node.name for node in products)
    networks = {FP32: make(known.graph, frozenset()), BF16: make(known.graph, names), INT8: make(known.on_bytes(())[0], frozenset())}
    times = {precision: network.layer_ms(feeds) for precision, network in networks.items()}
    done_so = {precision: networks[precision].computed_in(precision) for precision in (BF16, INT8)}
    layers = []
    for node in products:
        ms = {precision: found.get(node.name, np.inf) for precision, found in times.items()}
        faster = [precision for precision in (BF16, INT8) if node.name in done_so[precision] and ms[precision] < WORTH * ms[FP32]]
        layers.append(Layer(node.name, node.outputs[0], tuple(Option(precision, ms[precision], 0.0) for precision in (FP32, *faster))))
    return layers


def _why(layer: Layer, pick: str) -> str:
    own = layer.option(pick)
    others = ", ".join(f"{option.ms:.3g} ms in {option.name}" + (f" with an error of {np.sqrt(option.square):.2g}" if option.square else "")
                       for option in layer.options if option.name != pick)
    error = f", an error of {np.sqrt(own.square):.2g} by itself" if own.square else ""
    return f"{own.ms:.3g} ms{error}" + (f"; {others}" if others else "; no other precision is faster")


def _said(stage: str, done: int, total: int | None) -> None:
    """Progress goes to the log."""
    from logging import getLogger
    getLogger("fastcnn.precision").info("%s: %d%s", stage, done, "" if total is None else f" of {total}")
