"""The engines that can be timed: an adapter each, imported only in the process that runs it.

To add one: a function (path, threads, precision) -> (feeds -> list of arrays), and its row in ENGINES. An engine that does not read ONNX
has a converter too (convert.py), and gets the folder that it filled instead of the file.
"""
from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import numpy as np

from . import convert

Feeds = dict[str, np.ndarray]
Run = Callable[[Feeds], list[np.ndarray]]
OURS = "fastcnn"                 # imported by name, as other engines are: the process of another clone has that clone's, maybe an older one
BEFORE = "FASTCNN_BEFORE"        # environment: the top of another clone of fastcnn, built in place


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _commit_before(package: str) -> str | None:
    """The commit of the clone whose fastcnn is timed as `before`."""
    command = ["git", "-C", os.environ.get(BEFORE, ""), "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


@dataclass(frozen=True)
class Engine:
    """An engine that can be timed.

    load        (path, threads, precision) -> runner
    packages    what pip installs, the engine first
    modules     what is imported before the clock of loading starts
    settings    what was set away from the defaults, for the report
    precisions  that load knows; the first is the default
    convert     (ONNX file, empty folder), fills the folder with what load reads instead of the file
    """

    load: Callable[[str, int, str], Run]
    packages: tuple[str, ...]
    modules: tuple[str, ...]
    settings: str
    precisions: tuple[str, ...] = ("float32",)
    convert: Callable[[str, Path], None] | None = None
    version_of: Callable[[str], str | None] = _version

    def version(self) -> str | None:
        """Installed version of the engine, or None."""
        return self.version_of(self.packages[0])

    def versions(self) -> dict[str, str | None]:
        """Installed version of each package, or None."""
        return {package: self.version_of(package) for package in self.packages}


def load_fastcnn(path: str, threads: int, precision: str) -> Run:
    """fastcnn of this process."""
    options = {"bf16": {"precision": "bf16"}, "strict": {"accuracy": "strict"}, "weights-bf16": {"weights": "bf16"},
               "weights-int8": {"weights": "int8"}}.get(precision, {})
    model = import_module(OURS).load(path, threads=threads, **options)
    return lambda feeds: model.run(None, feeds)


def load_before(path: str, threads: int, precision: str) -> Run:
    """fastcnn of another clone, in whose process no other has been imported."""
    sys.path.insert(0, os.environ[BEFORE])
    found = import_module(OURS).__file__
    if not Path(found or "").is_relative_to(os.environ[BEFORE]):
        raise RuntimeError(f"{found} is not of {os.environ[BEFORE]}")
    return load_fastcnn(path, threads, precision)


def load_onnxruntime(path: str, threads: int, precision: str) -> Run:
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda feeds: session.run(None, feeds)


def load_openvino(path: str, threads: int, precision: str) -> Run:
    import openvino

    settings = {"INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32", "INFERENCE_NUM_THREADS": threads,
                "PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino.Core().compile_model(path, "CPU", settings)
    request = compiled.create_infer_request()

    def run(feeds: Feeds) -> list[np.ndarray]:
        results = request.infer(feeds, share_inputs=True, share_outputs=False)
        return [results[output] for output in compiled.outputs]

    return run


def load_ncnn(folder: str, threads: int, precision: str) -> Run:
    """pnnx names inputs in0, in1 ... and outputs out0, out1 ... in the order of the ONNX graph."""
    import ncnn

    net = ncnn.Net()
    net.opt.num_threads = threads
    for option in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_packed", "use_bf16_storage"):
        setattr(net.opt, option, False)
    if net.load_param(f"{folder}/{convert.NCNN}.param") or net.load_model(f"{folder}/{convert.NCNN}.bin"):
        raise RuntimeError(f"ncnn does not load {folder}/{convert.NCNN}.param")
    outputs = [f"out{i}" for i in range(len(net.output_names()))]

    def run(feeds: Feeds) -> list[np.ndarray]:
        extractor = net.create_extractor()
        for i, array in enumerate(feeds.values()):
            extractor.input(f"in{i}", ncnn.Mat(array, batch_index=0).clone())
        results = [extractor.extract(name) for name in outputs]
        if any(status for status, _ in results):
            raise RuntimeError(f"ncnn: extract returned {[status for status, _ in results]}")
        return [result.numpy(batch_index=0) for _, result in results]

    return run


def load_torch(path: str, threads: int, precision: str) -> Run:
    """Traced at the first run, for the shapes that come then, and frozen; channels-last was the faster layout of the two."""
    import onnx
    import torch

    _import_torchvision()
    import onnx2torch

    torch.set_num_threads(threads)
    layouts = {4: torch.channels_last, 5: torch.channels_last_3d}
    module: Any = onnx2torch.convert(convert.own_weights(onnx.load(path))).eval()
    frozen: Any = None

    def tensor(array: np.ndarray) -> Any:
        return torch.from_numpy(array).contiguous(memory_format=layouts.get(array.ndim, torch.contiguous_format))

    def run(feeds: Feeds) -> list[np.ndarray]:
        nonlocal frozen
        with torch.inference_mode():
            inputs = tuple(tensor(array) for array in feeds.values())
            if frozen is None:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    frozen = torch.jit.freeze(torch.jit.trace(module.to(memory_format=layouts.get(inputs[0].ndim)), inputs))
            results = frozen(*inputs)
        return [r.numpy() for r in (results if isinstance(results, list | tuple) else [results])]

    return run


def _import_torchvision() -> None:
    """onnx2torch imports torchvision for detection heads, whose operators are missing where the wheel is one for another torch (+cpu):
    the import only asks for their schemas."""
    import torch

    try:
        import torchvision
    except RuntimeError:
        library = torch.library.Library("torchvision", "FRAGMENT")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("roi_align(Tensor input, Tensor rois, float spatial_scale, int pooled_height, int pooled_width, "
                       "int sampling_ratio, bool aligned) -> Tensor")
        import torchvision  # noqa: F401


def load_litert(folder: str, threads: int, precision: str) -> Run:
    """XNNPACK is its default delegate. The converted network takes NHWC: an input is put into that order once, in the first run."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(f"{folder}/{convert.LITERT}", num_threads=threads)
    interpreter.allocate_tensors()
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    ordered: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def last_channels(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        if id(array) not in ordered:
            moved = array if array.shape == shape else np.ascontiguousarray(np.moveaxis(array, 1, -1))
            ordered[id(array)] = array, moved         # the array is kept, so its id stays its own
        return ordered[id(array)][1]

    def run(feeds: Feeds) -> list[np.ndarray]:
        for detail, array in zip(inputs, feeds.values(), strict=True):
            interpreter.set_tensor(detail["index"], last_channels(array, tuple(detail["shape"])))
        interpreter.invoke()
        results = [interpreter.get_tensor(detail["index"]) for detail in outputs]
        return [np.moveaxis(y, -1, 1) if y.ndim > 3 else y for y in results]

    return run


OWN_PRECISIONS = ("float32", "bf16", "strict", "int8", "weights-bf16", "weights-int8")
ENGINES: dict[str, Engine] = {
    OURS:          Engine(load_fastcnn, (OURS,), ("fastcnn.model",), "threads", OWN_PRECISIONS),
    "before":      Engine(load_before, (OURS,), (), f"threads, of the clone at {BEFORE}", OWN_PRECISIONS,
                          version_of=_commit_before),
    "onnxruntime": Engine(load_onnxruntime, ("onnxruntime",), ("onnxruntime",),
                          "CPUExecutionProvider, intra_op_num_threads, inter_op_num_threads=1", ("float32", "int8")),
    "openvino":    Engine(load_openvino, ("openvino",), ("openvino",),
                          "INFERENCE_PRECISION_HINT=f32 (or bf16), INFERENCE_NUM_THREADS, PERFORMANCE_HINT=LATENCY",
                          ("float32", "bf16", "int8")),
    "ncnn":        Engine(load_ncnn, ("ncnn", "pnnx"), ("ncnn",), "converted by pnnx with fp16=0, num_threads, fp16 and bf16 off",
                          convert=convert.ncnn),
    "torch":       Engine(load_torch, ("torch", "onnx2torch"), ("onnx", "torch"),
                          "through onnx2torch, set_num_threads, inference_mode, traced and frozen, channels_last"),
    "litert":      Engine(load_litert, ("ai-edge-litert", "onnx2tf"), ("ai_edge_litert.interpreter",),
                          "float32, converted by onnx2tf, num_threads, NHWC input", convert=convert.litert),
}
