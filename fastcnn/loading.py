"""fastcnn.load(): reads, rewrites and, where all input shapes are fixed, plans a model."""
from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fastcnn.convolve.accuracy import AUTO, BF16, FAST, FP32
from fastcnn.cpu import default_threads
from fastcnn.ir.errors import ConfigurationError
from fastcnn.ir.graph import Graph
from fastcnn.locks import uncollected, uncut
from fastcnn.mapping import reading
from fastcnn.model import Model, loaded
from fastcnn.plan.packs import Lender
from fastcnn.sources import check_options

if TYPE_CHECKING:
    from onnx import ModelProto


def load(model: str | os.PathLike[str] | bytes | ModelProto, *, threads: int | str | None = None,
         precision: str | Mapping[str, str] = "fp32", tune: bool | str | os.PathLike[str] = False, max_memory: int | None = None,
         accuracy: str | Mapping[str, str] = FAST, weights: str | Mapping[str, str] = FP32, max_error: float | None = None,
         calibration: Any = None, verify: bool = False, cache: bool | str | os.PathLike[str] | None = None) -> Model:
    """Read an ONNX model, or one that Model.save() wrote, and prepare it to run.

    model      path, serialised bytes or an onnx.ModelProto; a file is mapped: replace it by renaming another to its place
    threads    at most this many; None: min(affinity mask, cgroup CPU quota, physical cores). "latency": of these, as many as make one call
               shortest; "throughput": as many as make the most calls a second where as many calls as fit the CPUs run at once. Both by
               prediction (fastcnn.analysis.scaling), at the shapes that summary() takes, and both load the model a second time where
               that is not one thread
    precision  "fp32": all floating point arithmetic in float32, float16 and bfloat16 tensors included; "bf16": operands of
               convolutions and of products with constant matrices are rounded to bfloat16 where the CPU multiplies those faster
               (AMX, AVX-512 BF16), and what only these hand on to each other; sums and everything else stay
               float32. {name of a node: "bf16"} for some nodes.
               "auto": float32, bfloat16 or 8-bit integers for each layer, so that it is fastest with outputs within max_error
    tune       True: time the candidates for every distinct convolution on this machine when its shapes are first planned and use
               the fastest; answers are remembered in a file, or in the one given here
    max_memory bytes that one value, the activations of one plan and the packed weights may take, each; None: three quarters of what
               the machine, the cgroup and ulimit allow
    accuracy   "fast": Winograd's algorithm where it is quicker; "strict": every convolution sums over its window alone, so that NaN,
               infinities and enormous values touch no output that does not see them. {name of a node: "strict"} for some nodes
    weights    "fp32": as they are; "bf16", "int8" (with a scale an output channel): weights of convolutions and of constant matrices
               are so in memory where layers wait for them, and float32 where they are multiplied, by float32. Each is off by at most
               1/256 of itself as "bf16", by 1/254 of its channel's largest as "int8". {name of a node: "int8"} for some nodes
    max_error  with "auto": the most that an output may differ from the float32 network's, as a share of its largest value
    calibration  with "auto": what inputs look like, an iterable of feeds or of arrays for the only input. Measuring layers takes from
               seconds to minutes; a pickled model does not measure again. `Model.choices()` says why each layer is as it is
    verify     compare all of a compiled model's checksums, which takes as long as reading it whole; else those of what says how to read it
    cache      keep what is made of an ONNX file at a path as a compiled model, and map that the next time: True, or the folder to keep it
               in; False: do not; None: as FASTCNN_MODEL_CACHE says, which is not unless it is 1. No effect with tune or "auto"

    A compiled model has the precision and accuracy that it was saved with; others are refused.
    Raises ModelError when the file is not a consistent ONNX model, UnsupportedOperatorError when nothing computes an operator,
    ShapeError when fixed input shapes contradict the graph, LimitError for what passes max_memory, ConfigurationError for options
    without meaning. Warns once when nodes have no native kernel and fall back to onnx.reference.
    """
    check_options(threads, max_memory)
    if isinstance(threads, str):
        alone = loaded(model, 1, FP32 if precision == AUTO else precision, False, max_memory, accuracy, verify, weights, cache)
        threads = _predicted(alone, threads)
        if threads == 1 and precision != AUTO and not tune and max_error is None and calibration is None:
            return alone
    if precision == AUTO:
        from fastcnn.precision.prepare import prepared
        from fastcnn.reader import read
        with uncut(), reading():
            graph = prepared(read(model))
        return _automatic(graph, threads or default_threads(), max_error, calibration, tune, max_memory, accuracy, weights)
    if max_error is not None or calibration is not None:
        raise ConfigurationError(f"max_error and calibration are for precision={AUTO!r}, not {precision!r}")
    return loaded(model, threads or default_threads(), precision, tune, max_memory, accuracy, verify, weights, cache)


def _predicted(alone: Model, aim: str) -> int:
    """The number of threads that serves an aim best, of as many as there may be. alone: the model for one thread."""
    from fastcnn.analysis.inputs import input_specs
    from fastcnn.analysis.scaling import parts_of, threads_for
    most = default_threads()
    if most == 1:
        return 1
    plan = alone._open().plan(input_specs(alone._graph.inputs, alone._feeder.dtypes))
    return threads_for(aim, parts_of(plan), most)


def _automatic(graph: Graph, threads: int, max_error: float | None, calibration: Any, tune: bool | str | os.PathLike[str],
               max_memory: int | None, accuracy: str | Mapping[str, str], weights: str | Mapping[str, str]) -> Model:
    """A model whose layers have the precisions that precision="auto" picks. graph: as prepare.prepared() returns it."""
    from fastcnn.precision.auto import automatic
    from fastcnn.precision.feeding import Feeding
    from fastcnn.precision.network import Network
    if calibration is None or not isinstance(max_error, (int, float)) or not max_error > 0:
        raise ConfigurationError(f"precision={AUTO!r} wants calibration, feeds, and max_error, a positive number: got {max_error!r}")

    lender = Lender()

    def made(part: Graph, rounded: frozenset[str], tune: bool | str | os.PathLike[str] = False) -> Model:
        kept, compressed = (given if isinstance(given, str) else {name: v for name, v in given.items() if name in part.node_names()}
                            for given in (accuracy, weights))
        with uncut(), uncollected(), reading():
            return Model(part, threads, dict.fromkeys(rounded, BF16), None, tune, max_memory, kept, weights=compressed, lender=lender)

    found = automatic(graph, Feeding(calibration, graph.inputs, "calibration"), max_error, lambda *part: Network(made(*part)), threads)
    model = made(found.graph, found.rounded, tune)
    model._why = found.why
    return model
