"""Model: an ONNX file from reading to running. The stages in visible calls: read, run_passes, Engine (bind, lower, run)."""
from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from fastcnn.boundary import foreseen, unforeseen
from fastcnn.budget import Budget
from fastcnn.compiled import cache_of, save
from fastcnn.convolve.accuracy import FAST, FP32, accuracy_of
from fastcnn.cpu import default_memory, respect_quota
from fastcnn.feeds import Feeder, dims, narrowed
from fastcnn.ir.errors import ExecutionError, FastCNNError, InputError, ModelError, warn_user
from fastcnn.ir.graph import Graph, Shape, ValueInfo
from fastcnn.ir.spec import Spec
from fastcnn.locks import Lock, uncollected, uncut
from fastcnn.mapping import mappings_of, reading
from fastcnn.plan.choices import LayerChoice
from fastcnn.plan.deadline import Deadline, deadline_of
from fastcnn.plan.executor import Engine
from fastcnn.plan.packs import Lender, Packs
from fastcnn.results import described_outputs, first_of, place, repeated, targets_of, typed
from fastcnn.sources import chooser_of, embeddable, optimised, sourced, with_outputs

if TYPE_CHECKING:
    from onnx import ModelProto

    from fastcnn.analysis.diagram import Diagram
    from fastcnn.analysis.profile import Profile
    from fastcnn.analysis.stats import Stats
    from fastcnn.analysis.summary import Summary
    from fastcnn.calls.batcher import Batcher


class Model:
    """A loaded network. Safe to run from several threads at once; outputs belong to the caller.

    Pickles, for other processes, as its path where it was loaded from one, and as its graph and weights otherwise.
    """

    def __init__(self, graph: Graph, threads: int, precision: str | Mapping[str, str] = "fp32",
                 source: str | os.PathLike[str] | None = None, tune: bool | str | os.PathLike[str] = False,
                 max_memory: int | None = None, accuracy: str | Mapping[str, str] = FAST,
                 packs: Mapping[Hashable, np.ndarray] | None = None, weights: str | Mapping[str, str] = FP32,
                 reread: Callable[[], Graph] | None = None, lender: Lender | None = None):
        """packs: of a compiled model, whose graph has been through the passes; reread: reads its ONNX file; lender: of packs to others."""
        self._budget, self._max_memory = Budget(max_memory or default_memory), max_memory
        self._face = self._file = graph         # inputs, outputs and metadata are those of the face; _graph has all that is in the file
        self._reread, self._threads, self._tune, self._compiled = reread, threads, tune, packs is not None
        removed = (accuracy, precision, weights) if self._compiled else ()          # by passes, maybe
        checked = accuracy_of(accuracy, lambda: graph.node_names().union(*removed), precision, weights)
        self._precision, self._accuracy, self._weights = (o if isinstance(o, str) else dict(o) for o in (precision, accuracy, weights))
        self._chooser = chooser_of(tune, graph.constants.values(), checked)
        respect_quota(threads)
        self._packs, self._source = Packs(packs or {}, lender), os.path.abspath(source) if source is not None else None
        self._overridable, self._warned = frozenset(name for name in graph.overridable if name in graph.constants), False
        self._variants: dict[frozenset[str], Model] = {}
        self._engines: dict[tuple[str, ...], Engine] = {}
        self._lock, self._feeder, self._output_names = Lock(), Feeder(graph.inputs), tuple(info.name for info in graph.outputs)
        types = {info.name: info.type for info in graph.outputs if info.type} | graph.types
        self._narrowed, self._halves = narrowed(types), frozenset(name for name, kind in types.items() if kind == "tensor(float16)")
        self._why: Mapping[str, str] = {}
        with foreseen(ModelError):
            engine = self._engine(self._output_names)
            self._default: Engine | None = engine
            self._plain = not (self._narrowed or self._feeder.converts) and engine.outputs == self._output_names
            shapes = {**engine.graph.shapes, **self._plan_ahead(engine)}
            engine.forget_inference(graph)
            self._outputs = described_outputs(graph, shapes)

    def run(self, output_names: Sequence[str] | None, feeds: Mapping[str, Any], run_options: object = None, *,
            out: Sequence[Any] | Mapping[str, Any] | None = None, timeout: float | Deadline | None = None) -> list[Any]:
        """Outputs for the given inputs, as onnxruntime's InferenceSession.run.

        output_names  names of outputs or of any value inside the graph, in the order wanted, repeated ones too; None or empty: all outputs
        feeds         input name -> array of the input's type and shape, contiguous or not; overridable initializers too
        out           arrays for results, in the order of output_names (None: a fresh one) or by name: what fits an output in
                      type and shape, contiguous or not, torch tensors too; they are what is returned in its place.
                      Those of different results must not overlap
        timeout       seconds after which no step of the model begins any more: TimeLimitError. What has begun ends, planning too. A
                      fastcnn.Deadline may be given instead: other threads can cancel() it
        Returns fresh numpy arrays. Raises InputError when a name, dtype, rank or extent does not fit, ShapeError when extents
        contradict each other inside the graph, ExecutionError when a step fails; the model stays usable.
        """
        engine = self._open()
        try:
            until = deadline_of(timeout)
            if self._plain and (quick := engine.shortcut) is not None and (
                    made := quick.run(engine.workspaces, output_names, feeds, out, until)) is not None:
                return made
            return self._run(engine, output_names, feeds, out, until)
        except Exception as error:
            found = unforeseen(error, ExecutionError)
            if found is error:
                raise
            raise found from error

    def _run(self, default: Engine, output_names: Sequence[str] | None, feeds: Mapping[str, Any],
             out: Sequence[Any] | Mapping[str, Any] | None, until: Deadline | None) -> list[Any]:
        if self._overridable and not self._overridable.isdisjoint(feeds):
            variant = self._variant(self._overridable.intersection(feeds))
            return variant._run(variant._engine(variant._output_names), output_names, feeds, out, until)
        names = output_names or self._output_names
        engine = self._engine(tuple(output_names)) if output_names else default
        targets = targets_of(names, out) if out is not None else None
        once = tuple(names) == engine.outputs
        results = engine.run(self._feeder(feeds), targets if once or targets is None else first_of(engine.outputs, names, targets), until)
        if engine.fallbacks and not self._warned:
            self._warn(engine)
        if not once:
            results = repeated(engine.outputs, results, names)
        if self._narrowed:
            results = typed(results, names, self._narrowed)
        return results if targets is None or out is None else place(names, results, targets, out)

    def prepare(self, shapes: Mapping[str, Sequence[int]] | Sequence[int] | None = None) -> Model:
        """Plan for these input shapes and pack the weights now instead of in the first run; returns the model.

        Children forked after that share the packed weights. load() does so itself where all input shapes are fixed.
        shapes  as summary() takes them
        Raises InputError, and what planning raises.
        """
        from fastcnn.analysis.inputs import input_specs
        engine = self._open()
        with foreseen(ExecutionError):
            engine.plan(input_specs(self._face.inputs, self._feeder.dtypes, shapes))
        self._warn(engine)
        return self

    def save(self, path: str | os.PathLike[str], *, shapes: Mapping[str, Sequence[int]] | Sequence[int] | None = None,
             source: bool | None = None) -> None:
        """Write a compiled model, which load() maps in milliseconds: the graph as it runs, and the weights packed for this CPU.

        shapes  plan for these first, as prepare() does; None: where nothing is planned yet, for what prepare() takes by itself
        source  whether the ONNX file goes into it too, for other versions of fastcnn to load; None: where the model was loaded from one
                file. Without it they refuse the compiled model
        Values inside the graph that passes removed cannot be asked for any more, and overridable initializers are constants.
        Raises OSError, ConfigurationError for a model that a file cannot hold, and what prepare() raises.
        """
        if shapes is not None or self._default is None or not self._default.plans:
            self.prepare(shapes)
        self._write(path, embeddable(None if self._compiled and self._graph is self._face else self._source, self._graph, source))

    def _write(self, path: str | os.PathLike[str], source: str | None = None) -> None:
        """save() of what is planned by now; source: the ONNX file to put into it."""
        options = {"precision": self._precision, "accuracy": self._accuracy, "weights": self._weights, "why": dict(self._why)}
        graph = replace(self._open().graph, outputs=self._outputs, metadata=self._face.metadata, name=self._face.name)
        with uncut(), reading(mappings_of(graph.constants.values())):
            save(path, graph, self._packs, options, source)

    def __call__(self, *args: Any, **feeds: Any) -> Any:
        """Model(x) for one input (or several in order, or by name); one output comes as an array, several as a list."""
        names = [info.name for info in self._face.inputs]
        if len(args) > len(names):
            raise InputError(f"{len(args)} inputs given, the model has {len(names)}: {', '.join(names)}")
        results = self.run(None, {**dict(zip(names, args)), **feeds})
        return results[0] if len(results) == 1 else results

    async def arun(self, feeds: Mapping[str, Any], output_names: Sequence[str] | None = None, *,
                   out: Sequence[Any] | Mapping[str, Any] | None = None, timeout: float | Deadline | None = None) -> list[Any]:
        """run() for coroutines: in a thread, of which all models of the process have as many as there are CPUs.

        timeout counts from here, waiting for a thread included. When the coroutine is cancelled the run ends before its next step.
        """
        from fastcnn.calls.workers import in_worker
        return await in_worker(lambda until: self.run(output_names, feeds, out=out, timeout=until), deadline_of(timeout))

    def batcher(self, max_batch: int = 8, max_delay_ms: float = 0.0, *, max_queue: int = 256, workers: int = 1) -> Batcher:
        """Collects requests of one or a few images, from threads and coroutines, into batches along the first axis of the inputs.

        max_batch     images of a batch; a single request may have more
        max_delay_ms  so long a request waits for others while nothing else is to be run; 0: batches form only of what came while one ran
        max_queue     requests that may wait; submit() raises OverloadedError beyond, run() and arun() wait for a place
        workers       threads that run batches at the same time
        Requests of different shapes run apart, those of a model that may let one image of a batch have a part in another's results
        (or has a fixed number of them) one by one. As the last bits may depend on the batch, so do those of a request on its company.
        """
        from fastcnn.calls.batcher import Batcher, Calls
        calls = Calls(lambda feeds, until: self.run(None, feeds, timeout=until), Feeder(self._face.inputs, widen=False),
                      self._open(), self._face.inputs)
        return Batcher(calls, max_batch, max_delay_ms, max_queue, workers)

    def get_inputs(self) -> list[ValueInfo]:
        """name, type ("tensor(float)") and shape of each input, as onnxruntime gives them."""
        return list(self._face.inputs)

    def get_outputs(self) -> list[ValueInfo]:
        """name, type and shape of each output, as onnxruntime gives them: inferred where the file does not say them."""
        return list(self._outputs)

    def get_overridable_initializers(self) -> list[ValueInfo]:
        """name, type and shape of initializers that are inputs too: they may be fed, and keep their value otherwise."""
        from fastcnn.reader import constant_info
        return [constant_info(self._graph, name) for name in sorted(self._overridable)]

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The file's metadata: producer_name, graph_name, doc_string, model_version, custom_metadata_map, ..."""
        return self._face.metadata

    @property
    def fallback_nodes(self) -> list[str]:
        """Names of the nodes without a native kernel, as far as input shapes have been seen."""
        engines = list(self._engines.values())
        return list(dict.fromkeys(node.name for engine in engines for node in list(engine.fallbacks.values())))

    def summary(self, shapes: Mapping[str, Sequence[int]] | Sequence[int] | None = None, *, object_size: int | None = None) -> Summary:
        """A row for each layer as it runs for these input shapes: operators, sizes, parameters, MACs, receptive field, what computes it.

        shapes       by input name, or of the only input; where they are symbolic and not given, one image of 224 x 224 is taken
        object_size  pixels of what an output has to see: a remark where it sees less
        print() shows it as a table, notebooks too; to_dict() is for JSON. Raises InputError, and what planning raises.
        """
        from fastcnn.analysis.summary import summarise
        return summarise(self._graph, self._open(), self._feeder.dtypes, shapes, object_size)

    def profile(self, feeds: Mapping[str, Any], *, runs: int = 20, seconds: float = 1.0) -> Profile:
        """Where the time of run(None, feeds) goes, by step: ms, GFLOP/s, traffic, shares of what this machine can do, why this algorithm.

        runs, seconds  at most so many profiled runs, no more once so many seconds have passed; plain runs stand between them
        print() shows it as a table; to_dict() is for JSON, trace() for Chrome's tracing and Perfetto. Raises what run() raises.
        """
        from fastcnn.analysis.profile import profile
        engine = self._open()
        self.run(None, feeds)
        return profile(self._graph, engine, self._feeder(feeds), runs, seconds)

    def diagram(self, shapes: Mapping[str, Sequence[int]] | Sequence[int] | None = None,
                feeds: Mapping[str, Any] | None = None) -> Diagram:
        """The network as in the file and as it runs: to_dict(), svg(), explorer() for Model Explorer. feeds: it is profiled with them.

        Raises what summary() and profile() raise.
        """
        from fastcnn.analysis.diagram import diagram
        rows = self.summary(shapes if feeds is None else {name: np.shape(value) for name, value in feeds.items()}).layers
        times = {t.nodes[0]: t.ms for t in self.profile(feeds).timings if t.nodes} if feeds is not None else {}
        named = {node.name: node for node in self._open().graph.nodes}
        return diagram(self._graph, [named[layer.name] for layer in rows], rows, times)

    def choices(self) -> list[LayerChoice]:
        """The algorithm of each convolution and constant matrix product, and the reason: a row per step of all plans made so far.

        Plans are made at load where all input shapes are fixed, else by the first run with a shape.
        """
        rows = self._default.choices() if self._default is not None else []
        return [replace(row, why=self._why[row.node]) if row.node in self._why else row for row in rows]

    def stats(self) -> Stats:
        """Runs and their latencies, plans and how often they were found, memory: counted in this process since the model was loaded.

        print() shows it in a line; to_dict() is for JSON, openmetrics() the text that Prometheus reads. A closed model has done nothing.
        """
        from fastcnn.analysis.stats import stats_of
        models = [self, *self._variants.values()]
        engines = {id(engine): engine for model in models for engine in list(model._engines.values())}
        return stats_of(engines.values(), sum(array.nbytes for model in models for array in list(model._packs.values())))

    @property
    def threads(self) -> int:
        """At most this many threads work on one call."""
        return self._threads

    def trim(self) -> None:
        """Give back what calls with several shapes leave behind: plans and the memory for activations. Packed weights stay.

        The model stays usable and calls that are under way end as they would; the next one plans again.
        """
        for engine in list(self._engines.values()):
            engine.trim()
        for variant in list(self._variants.values()):
            variant.trim()

    def close(self) -> None:
        """Free everything; later calls raise FastCNNError. Closing twice is fine."""
        self._default = None
        self._engines.clear()
        self._packs.clear()
        self._variants.clear()

    def __enter__(self) -> Model:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self._source or self._graph, self._threads, self._precision, self._tune, self._max_memory, self._accuracy,
                        self._compiled, self._why, self._weights)

    def __repr__(self) -> str:
        if self._default is None:
            return "<fastcnn.Model closed>"
        inputs = ", ".join(f"{i.name}: {i.type}{dims(i)}" for i in self._face.inputs)
        outputs = ", ".join(f"{o.name}: {o.type}{dims(o)}" for o in self._outputs)
        name = f" {self._face.name!r}" if self._face.name else ""
        return f"<fastcnn.Model{name} ({inputs}) -> ({outputs}), {len(self._default.graph.nodes)} nodes, {self._threads} threads>"

    def _repr_html_(self) -> str:
        """HTML for notebooks: the summary, or repr() where shapes are not known."""
        try:
            return self.summary()._repr_html_()
        except FastCNNError:
            from html import escape
            return f"<pre>{escape(repr(self))}</pre>"

    @property
    def _graph(self) -> Graph:
        """The graph as in the file; a model from a cache reads it when somebody asks for what passes may have removed."""
        if self._reread is not None:
            self._file, self._reread = self._reread(), None
        return self._file

    def _open(self) -> Engine:
        """The engine for all outputs. Raises FastCNNError when the model is closed."""
        if self._default is None:
            raise FastCNNError("the model is closed")
        return self._default

    def _engine(self, outputs: tuple[str, ...]) -> Engine:
        """The engine for these outputs, each once: the graph optimised with them kept. All of the model's, in any order, have one."""
        engine = self._engines.get(outputs)
        if engine is None:
            outputs = tuple(dict.fromkeys(outputs))
            whole = tuple(dict.fromkeys(self._output_names))
            engine = self._engines.get(whole if set(outputs) == set(whole) else outputs)
            if engine is not None:
                self._engines[outputs] = engine
        if engine is None:
            origin = self._face if set(outputs) <= set(self._output_names) else self._graph
            files = mappings_of(origin.constants.values())
            with uncut(), self._lock:
                engine = self._engines.get(outputs)
                if engine is not None:              # another thread made it meanwhile
                    return engine
                with reading(files):
                    graph = optimised(with_outputs(origin, outputs), self._compiled and origin is self._face, self._halves)
                for file in files:                  # what passes read has become constants of the graph, or is read again
                    file.forget()
                engine = self._engines[outputs] = Engine(graph, self._threads, self._packs, None, self._chooser, self._budget)
        return engine

    def _variant(self, fed: frozenset[str]) -> Model:
        """The model with these overridable initializers as inputs, made when they are first fed."""
        with self._lock:
            if fed not in self._variants:
                from fastcnn.reader import with_inputs
                graph = with_inputs(self._graph, sorted(fed))
                self._variants[fed] = Model(graph, self._threads, self._precision, None, self._tune, self._max_memory, self._accuracy,
                                            weights=self._weights)
            return self._variants[fed]

    def _plan_ahead(self, engine: Engine) -> dict[str, Shape]:
        """Plans at load where every input shape is fixed, so that errors come early and the first run is fast.

        Returns the shapes of the outputs, as far as they are then known.
        """
        specs = self._feeder.fixed_specs()
        if specs is None:
            return {}
        plan = engine.plan({name: Spec(dtype, shape) for name, (dtype, shape) in specs.items()})
        self._warn(engine)
        return {name: spec.shape for name, spec in plan.outputs.items()}

    def _warn(self, engine: Engine) -> None:
        """Warns once per model of the fallback nodes that are known so far."""
        nodes = list(engine.fallbacks.values())
        if nodes and not self._warned:
            self._warned = True
            kinds = ", ".join(sorted({node.op_type for node in nodes}))
            warn_user(f"{len(nodes)} nodes have no native kernel and run in onnx.reference, slowly: {kinds}", RuntimeWarning)


def _again(source: str | Graph, threads: int, precision: str | Mapping[str, str], tune: bool | str | os.PathLike[str] = False,
           max_memory: int | None = None, accuracy: str | Mapping[str, str] = FAST, compiled: bool = False,
           why: Mapping[str, str] = MappingProxyType({}), weights: str | Mapping[str, str] = FP32) -> Model:
    """Restores a pickled model."""
    if not isinstance(source, Graph):
        return loaded(source, threads, precision, tune, max_memory, accuracy, weights=weights)
    model = Model(source, threads, precision, None, tune, max_memory, accuracy, {} if compiled else None, weights)
    model._why = dict(why)
    return model


def loaded(model: str | os.PathLike[str] | bytes | ModelProto, threads: int, precision: str | Mapping[str, str],
           tune: bool | str | os.PathLike[str], max_memory: int | None, accuracy: str | Mapping[str, str], verify: bool = False,
           weights: str | Mapping[str, str] = FP32, cache: bool | str | os.PathLike[str] | None = None) -> Model:
    """load() after its options have been checked."""
    with uncut(), uncollected(), reading():
        found = sourced(model, precision, accuracy, verify, weights, None if tune else cache_of(cache), threads)
        made = Model(found.graph, threads, found.precision, found.path, tune, max_memory, found.accuracy, found.packs, found.weights,
                     found.reread)
        if found.keep is not None:
            found.keep(made._write)
    made._why = found.why
    return made
