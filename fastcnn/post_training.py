"""fastcnn.quantize(): converts a float network to 8 bits, with ranges measured on calibration data (post-training quantisation)."""
from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from fastcnn.analysis.text import plain_table
from fastcnn.cpu import default_threads
from fastcnn.ir.errors import ConfigurationError
from fastcnn.ir.graph import Graph
from fastcnn.locks import uncut
from fastcnn.mapping import reading
from fastcnn.model import Model
from fastcnn.precision.calibrate import Progress, Run
from fastcnn.precision.feeding import Feeding
from fastcnn.precision.prepare import prepared
from fastcnn.precision.quantise import Options, quantised_graph
from fastcnn.precision.report import COLUMNS, Report
from fastcnn.reader import read
from fastcnn.version import __version__

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 13              # the first whose QuantizeLinear has a scale a channel


@dataclass(frozen=True)
class Quantized:
    """A quantised network. report: a row a layer, the error of the outputs; print() shows it as a table."""

    graph: Graph
    report: Report

    @cached_property
    def proto(self) -> ModelProto:
        """The model: standard ONNX with QuantizeLinear and DequantizeLinear, for fastcnn.load and for other engines."""
        from fastcnn.onnx_proto.to_file import model_proto
        return model_proto(self.graph, __version__)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the model. Raises OSError."""
        from fastcnn.onnx_proto.to_file import save
        save(self.proto, path)

    def __str__(self) -> str:
        return "\n".join([plain_table(COLUMNS, self.report.rows()), "", *self.report.lines()])


def quantize(model: str | os.PathLike[str] | bytes | ModelProto, data: Any, output: str | os.PathLike[str] | None = None, *,
             method: str = "mse", activations: str = "uint8", per_channel: bool = True, equalize: bool = True, correct_bias: bool = True,
             keep: Collection[str] = (), layer_error: float = 0.1, max_error: float | None = None, faster_only: bool = True,
             threads: int | None = None, progress: Progress | None = None) -> Quantized:
    """A float ONNX model as one that computes on bytes, by what its values are on data: post-training quantisation.

    model         path, serialised bytes or onnx.ModelProto, of any opset: the result has opset 13 at least
    data          what inputs look like: an iterable of feeds, {input: array}, or of arrays for a model with one input; it is gone through
                  once and nothing of it is kept but a few feeds for measuring errors. One array is a batch that is fed image by image
    output        where to write the model
    method        which range of a value its 256 levels cover: "minmax" all of it, "percentile" all but 0.001 %, "mse" the range with the
                  least mean square error, "entropy" that with the least Kullback-Leibler divergence
    activations   "uint8" or "int8": the type of values between layers; weights are int8 and symmetric, biases int32
    per_channel   weights have a scale for each output channel; else one for all
    equalize      cross-layer equalisation first: weights of neighbouring convolutions are scaled to be alike, channel by channel, which
                  makes the channels of the values between them alike too
    correct_bias  biases make up for what rounded weights move the means of outputs by
    keep          names of nodes that stay in floats
    layer_error   layers stay in floats whose result, by itself, would differ by more than this share (root mean square)
    max_error     more layers do, those first that cost most accuracy for the time they save, until the outputs differ from the float
                  network's by at most this share of their largest value on the data that was kept; None: no bound
    faster_only   layers stay in floats, too, where bytes would not be faster by the cost model of this machine and its instruction set;
                  False for a file that another machine will run
    progress      called as progress(stage, done, total) while it runs; total is None where it is not known

    The result's report says what each layer does and why; `Quantized.save()` writes it, `fastcnn.load(quantized.proto)` runs it, and so do
    onnxruntime and OpenVINO.
    Raises ModelError, ConfigurationError for options and data without meaning, and what running the model raises.
    """
    from fastcnn.onnx_proto.to_file import raised
    if max_error is not None and not max_error > 0:
        raise ConfigurationError(f"max_error={max_error!r}: expected a positive number or None")
    options = Options(method, activations, per_channel, equalize, correct_bias, keep, layer_error, max_error, threads or default_threads(),
                      faster_only)
    with uncut(), reading():
        graph = prepared(read(raised(model, OPSET)))

    def make(part: Graph) -> Run:
        network = Model(part, options.threads)
        return lambda names, feeds: network.run(list(names) or None, feeds)

    feeding = Feeding(data, graph.inputs)
    made, report = quantised_graph(graph, feeding, feeding.total, make, options, progress or _nothing)
    result = Quantized(made, report)
    if output is not None:
        result.save(output)
    return result


def _nothing(stage: str, done: int, total: int | None) -> None:
    """The default for progress: does nothing."""
