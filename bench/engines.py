"""The engines that bench.models can time: one adapter each, imported only in the process that runs it.

To add one: a function (path of an ONNX file, threads) -> (feeds -> list of arrays), and its row in ENGINES.
"""
from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata

import numpy as np

Feeds = dict[str, np.ndarray]
Run = Callable[[Feeds], list[np.ndarray]]


@dataclass(frozen=True)
class Engine:
    """load: how to make a runner. package: what pip installs. settings: what was set away from the defaults, for the report."""

    load: Callable[[str, int], Run]
    package: str
    settings: str

    def version(self) -> str | None:
        """Installed version, or None."""
        try:
            return metadata.version(self.package)
        except metadata.PackageNotFoundError:
            return None


def load_fastcnn(path: str, threads: int) -> Run:
    import fastcnn

    model = fastcnn.load(path, threads=threads)
    return lambda feeds: model.run(None, feeds)


def load_onnxruntime(path: str, threads: int) -> Run:
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda feeds: session.run(None, feeds)


def load_openvino(path: str, threads: int) -> Run:
    import openvino

    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino.Core().compile_model(path, "CPU", settings)
    request = compiled.create_infer_request()

    def run(feeds: Feeds) -> list[np.ndarray]:
        results = request.infer(feeds, share_inputs=True, share_outputs=False)
        return [results[output] for output in compiled.outputs]

    return run


def load_torch(path: str, threads: int) -> Run:
    import onnx
    import onnx2torch
    import torch

    torch.set_num_threads(threads)
    model = onnx.load(path)
    names = [value.name for value in model.graph.input if value.name not in {w.name for w in model.graph.initializer}]
    module = onnx2torch.convert(model).eval()

    def run(feeds: Feeds) -> list[np.ndarray]:
        with torch.inference_mode():
            results = module(*(torch.from_numpy(feeds[name]) for name in names))
        return [r.numpy() for r in (results if isinstance(results, list | tuple) else [results])]

    return run


ENGINES: dict[str, Engine] = {
    "fastcnn":     Engine(load_fastcnn, "fastcnn", "threads"),
    "onnxruntime": Engine(load_onnxruntime, "onnxruntime", "CPUExecutionProvider, intra_op_num_threads, inter_op_num_threads=1"),
    "openvino":    Engine(load_openvino, "openvino", "INFERENCE_PRECISION_HINT=f32, INFERENCE_NUM_THREADS, PERFORMANCE_HINT=LATENCY"),
    "torch":       Engine(load_torch, "onnx2torch", "through onnx2torch, set_num_threads, inference_mode"),
}
