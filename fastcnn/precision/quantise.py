"""The stages of fastcnn.quantize(): calibrate a float graph, choose layers, write the graph on bytes, report."""
from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from fastcnn.ir.errors import ConfigurationError
from fastcnn.ir.graph import Graph, Node
from fastcnn.precision import select
from fastcnn.precision.bias import shifts
from fastcnn.precision.calibrate import Feeds, Observed, Progress, Run, observed, scales_of
from fastcnn.precision.equalise import equalised
from fastcnn.precision.errors import Values, Watch, layer_errors, watch
from fastcnn.precision.predict import Predicted
from fastcnn.precision.regions import Regions, regions
from fastcnn.precision.report import QuantizedLayer, Report
from fastcnn.precision.scales import Memo
from fastcnn.precision.write import beside, quantised

Make = Callable[[Graph], Run]           # what runs a graph
LAYER_SAMPLES = 8                       # to measure the errors of layers with
HARM_SAMPLES = 4                        # to measure what each does to the outputs
LEAST_MS = 1e-6
TRIALS = 8                              # whole networks that are measured to get under a bound


@dataclass(frozen=True)
class Options:
    """Options of quantising; fastcnn.quantize() documents them."""

    method: str = "mse"
    activations: str = "uint8"
    per_channel: bool = True
    equalise: bool = True
    correct_bias: bool = True
    keep: Collection[str] = ()
    layer_error: float = 0.1
    max_error: float | None = None
    threads: int = 1
    faster_only: bool = True


@dataclass
class Calibrated:
    """A float graph with its calibration.

    watched      what it is told from others by
    exact        these values for the samples
    errors       layer, by its output -> its error by itself on bytes
    predictions  likewise: what it takes
    """

    graph: Graph
    options: Options
    make: Make
    found: Regions
    seen: Observed
    watched: Watch
    exact: Values
    errors: dict[str, float] = field(default_factory=dict)
    predictions: dict[str, Predicted] = field(default_factory=dict)
    memo: Memo = field(default_factory=Memo)

    def on_bytes(self, kept: Collection[str]) -> tuple[Graph, Regions]:
        """The graph with all but these products on bytes."""
        found = regions(self.graph, frozenset(kept))
        scales = scales_of(found, self.seen, self.options.method, self.options.activations, self.memo)
        corrects, per_channel = self.options.correct_bias, self.options.per_channel
        moved = shifts(self.graph, found.products(), scales, self.seen.means, per_channel, self.memo) if corrects else {}
        return quantised(found, scales, per_channel, moved, self.memo), found

    def error(self, graph: Graph, most: int | None = None, guarded: bool = True) -> float:
        """The error of a graph's outputs on at most so many samples; guarded: also for samples that the network would be unsure of."""
        return self.watched.error(self.watched.values(self.make(graph), self.seen.samples[:most], guarded), self.exact)


def calibrated(graph: Graph, data: Iterable[Feeds], total: int | None, make: Make, options: Options, progress: Progress) -> Calibrated:
    """Runs all data through the float network, then what its layers do on bytes by themselves. graph: of prepare.prepared()."""
    graph = equalised(graph) if options.equalise else graph
    found = regions(graph)
    seen = observed(make(graph), data, total, found, progress)
    watched = watch(graph)
    known = Calibrated(graph, options, make, found, seen, watched, watched.values(make(graph), seen.samples))
    known.predictions = select.times(found, seen, options.threads)
    if found.products():
        scales = scales_of(found, seen, options.method, options.activations)
        moved = shifts(graph, found.products(), scales, seen.means, options.per_channel) if options.correct_bias else {}
        twin, names = beside(found, scales, options.per_channel, moved)
        pairs = {node.outputs[0]: (found.result(node), names[node.outputs[0]]) for node in found.products()}
        known.errors = layer_errors(make(twin), seen.samples[:LAYER_SAMPLES], pairs)
    progress("layers", len(known.errors), len(known.errors))
    return known


def quantised_graph(graph: Graph, data: Iterable[Feeds], total: int | None, make: Make, options: Options,
                    progress: Progress) -> tuple[Graph, Report]:
    """The graph on bytes, and what that does. graph: of prepare.prepared(). Raises ConfigurationError for options without meaning."""
    named = _named(graph, options.keep)
    known = calibrated(graph, data, total, make, options, progress)
    kept = dict.fromkeys(named, select.NAMED)
    if options.faster_only:
        kept |= {layer: why for layer, why in select.slower(known.found, known.predictions).items() if layer not in kept}
    costly = {layer for layer, error in known.errors.items() if error > options.layer_error}
    kept |= {layer: select.INEXACT for layer in costly if layer not in kept}
    if options.max_error is not None:
        kept |= dict.fromkeys(_under(known, frozenset(kept), options.max_error, progress), select.INEXACT)
    made, found = known.on_bytes(kept)
    return made, _report(known, found, kept, known.error(made, guarded=False))


def _under(known: Calibrated, kept: frozenset[str], bound: float, progress: Progress) -> frozenset[str]:
    """More products to keep in floats until the outputs are within a bound: those first that cost most accuracy for the time they save."""
    layers = [layer for layer in known.errors if layer not in kept]
    harm = {}
    for done, layer in enumerate(layers, 1):
        alone = known.on_bytes(known.errors.keys() - {layer})[0]
        saved = known.predictions[layer].floats_ms - known.predictions[layer].bytes_ms
        harm[layer] = known.error(alone, HARM_SAMPLES) ** 2 / max(saved, LEAST_MS)
        progress("sensitivity", done, len(layers))
    order = sorted(layers, key=lambda layer: -harm[layer])
    done = 0

    def error(more: frozenset[str]) -> float:
        nonlocal done
        done += 1
        progress("error", done, TRIALS)
        return known.error(known.on_bytes(kept | more)[0])
    return select.within(bound, order, error, TRIALS)


def _named(graph: Graph, names: Collection[str]) -> list[str]:
    """Outputs of the nodes of these names. Raises ConfigurationError."""
    found = {node.name: node.outputs[0] for node in graph.nodes}
    unknown = [name for name in names if name not in found]
    if unknown:
        raise ConfigurationError(f"keep: the model has no node {unknown[0]!r}; a node that is folded into another is not there any more")
    return [found[name] for name in names]


def _report(known: Calibrated, found: Regions, kept: select.Kept, error: float) -> Report:
    on_bytes = {node.outputs[0] for node in found.products()}
    rows = tuple(_layer(known, node, on_bytes, kept) for node in select.layers(known.graph))
    timed = [row for row in rows if row.fp32_ms is not None and row.int8_ms is not None]
    return Report(rows, error, len(known.seen.samples), sum(row.fp32_ms or 0 for row in timed),
                  sum((row.int8_ms if row.precision == "int8" else row.fp32_ms) or 0 for row in timed))


def _layer(known: Calibrated, node: Node, on_bytes: set[str], kept: select.Kept) -> QuantizedLayer:
    layer = node.outputs[0]
    time = known.predictions.get(layer)
    why = kept.get(layer, select.NO_FORM if time is None else "faster")
    return QuantizedLayer(node.name or layer, node.op_type, "int8" if layer in on_bytes else "fp32", known.errors.get(layer),
                          time and time.floats_ms, time and time.bytes_ms, why)
