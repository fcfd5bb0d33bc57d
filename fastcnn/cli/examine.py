"""Doctor: the machine as fastcnn sees it, how many threads it takes and why, what it reaches, and whether its kernels are right here."""
from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator
from importlib import metadata
from typing import Any

import numpy as np

from fastcnn import _native
from fastcnn.analysis.roofline import roof
from fastcnn.cpu import cgroup_quota, cpu_info, default_threads, physical_cores
from fastcnn.ir.graph import Graph, Node, ValueInfo
from fastcnn.model import Model
from fastcnn.reference import evaluate_graph
from fastcnn.version import __version__

PACKAGES = ("numpy", "onnx", "click", "rich", "pillow", "onnxruntime", "openvino", "ncnn")
TOLERANCE = 2e-5                # of the largest output
OPSET = 17
Line = dict[str, Any]
Make = Callable[[], tuple[Graph, dict[str, np.ndarray]]]


def doctor(measure: bool = True, check: bool = True) -> dict[str, Any]:
    """Everything as plain data: "machine", "threads", "versions", with measure "reach", with check "kernels" (`ok` of each and of all)."""
    info = cpu_info()
    found: dict[str, Any] = {
        "machine": {name: info[name] for name in ("vendor", "model", "family", "model_number", "instruction_sets", "instruction_set",
                                                  "l1d_bytes", "l2_bytes", "l3_bytes") if name in info}
        | {"plans_for": info["machine"]["name"]},
        "threads": threads(),
        "build": {"openmp": _native.HAS_OPENMP, "checked": _native.CHECKED, "levels": _native.levels()},
        "versions": {"fastcnn": __version__, "python": platform.python_version(), "system": platform.platform(), **_versions()},
    }
    if measure:
        one, all_ = roof(1), roof(default_threads())
        found["reach"] = {"gflops_one_thread": one.gflops, "gflops": all_.gflops, "l2_gbs": all_.near_gbs, "memory_gbs": all_.far_gbs}
    if check:
        kernels = self_test()
        found |= {"kernels": kernels, "ok": all(line["ok"] for line in kernels)}
    return found


def threads() -> dict[str, Any]:
    """The default number of threads, and what limits it."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    limits: dict[str, float | None] = {"affinity": len(allowed), "physical cores": physical_cores(allowed), "cgroup quota": cgroup_quota(),
                                       "build": _native.MAX_THREADS if _native.HAS_OPENMP else 1}
    forced = os.environ.get("FASTCNN_THREADS")
    count = default_threads()
    reasons = [name for name, limit in limits.items() if limit is not None and -(-limit // 1) <= count]
    return {"default": count, "why": "FASTCNN_THREADS" if forced else ", ".join(reasons), **limits}


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def self_test() -> list[Line]:
    """Small networks at every instruction set of this CPU beside numpy: a line each. Leaves the instruction set as it was."""
    before, lines = _native.current_isa(), list[Line]()
    try:
        for name, graph, feeds in _networks():
            wanted = evaluate_graph(graph, feeds)
            for level in _native.levels():
                _native.set_isa(level)
                lines.append(_checked(name, level, graph, feeds, wanted))
    finally:
        _native.set_isa(before)
    return lines


def _checked(name: str, level: str, graph: Graph, feeds: dict[str, np.ndarray], wanted: dict[str, Any]) -> Line:
    model = Model(graph, 1)
    worst = 0.0
    for info, got in zip(graph.outputs, model.run(None, feeds)):
        other = wanted[info.name].astype(np.float64)
        worst = max(worst, float(np.abs(got - other).max() / max(np.abs(other).max(), 1e-30)))
    computed = sorted({step.kind for plan in model._engine(model._output_names).plans.values() for stage in plan.stages
                       if not isinstance(stage, Node) for step in stage.steps})
    return {"network": name, "instruction_set": level, "steps": computed, "difference": worst, "ok": worst <= TOLERANCE}


def _networks() -> Iterator[tuple[str, Graph, dict[str, np.ndarray]]]:
    """(name, graph, feeds): operators whose kernels differ between instruction sets, at sizes beside their tiles."""
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    def function(op: str) -> Make:
        return lambda: one(op, (1, 3, 7, 11))

    def one(op: str, x: tuple[int, ...], *constants: np.ndarray, **attrs: Any) -> tuple[Graph, dict[str, np.ndarray]]:
        names = [f"c{k}" for k in range(len(constants))]
        node = Node(op, ("x", *names), ("y",), attrs, op, "", OPSET)
        graph = Graph([node], [ValueInfo("x", "tensor(float)", x)], [ValueInfo("y", "tensor(float)", None)], dict(zip(names, constants)),
                      {"": OPSET})
        return graph, {"x": normal(*x)}

    cases: dict[str, Make] = {
        "Conv 1x1": lambda: one("Conv", (1, 19, 7, 9), normal(35, 19, 1, 1), normal(35)),
        "Conv 3x3 (Winograd)": lambda: one("Conv", (1, 32, 29, 29), normal(48, 32, 3, 3), pads=[1, 1, 1, 1]),
        "Conv 3x3, strides 2": lambda: one("Conv", (2, 5, 13, 17), normal(33, 5, 3, 3), pads=[1, 1, 1, 1], strides=[2, 2]),
        "Conv, dilated": lambda: one("Conv", (1, 6, 15, 15), normal(20, 6, 3, 3), dilations=[2, 2]),
        "Conv, depthwise": lambda: one("Conv", (1, 37, 14, 15), normal(37, 1, 3, 3), pads=[1, 1, 1, 1], group=37),
        "Conv, depthwise, strides 2": lambda: one("Conv", (1, 24, 15, 33), normal(24, 1, 5, 5), pads=[2, 2, 2, 2], strides=[2, 2],
                                                  group=24),
        "Conv, groups of 4": lambda: one("Conv", (1, 32, 11, 13), normal(32, 4, 3, 3), pads=[1, 1, 1, 1], group=8),
        "ConvTranspose": lambda: one("ConvTranspose", (1, 9, 6, 7), normal(9, 17, 4, 4), strides=[2, 2], pads=[1, 1, 1, 1]),
        "MatMul": lambda: one("MatMul", (5, 67), normal(67, 35)),
        "Gemm": lambda: one("Gemm", (1, 257), normal(257, 33), normal(33)),
        "MaxPool": lambda: one("MaxPool", (1, 21, 15, 15), kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        "AveragePool": lambda: one("AveragePool", (1, 21, 15, 15), kernel_shape=[2, 3]),
        "GlobalAveragePool": lambda: one("GlobalAveragePool", (2, 21, 9, 9)),
        "Softmax": lambda: one("Softmax", (3, 77), axis=-1),
        "LayerNormalization": lambda: one("LayerNormalization", (3, 77), normal(77), normal(77), axis=-1),
        "InstanceNormalization": lambda: one("InstanceNormalization", (1, 19, 9, 9), normal(19), normal(19)),
        "LRN": lambda: one("LRN", (1, 21, 5, 5), size=5),
        "Resize, linear": lambda: one("Resize", (1, 5, 7, 9), np.zeros(0, np.float32), np.array([1, 1, 2, 1.5], np.float32), mode="linear"),
        "ReduceMean": lambda: one("ReduceMean", (3, 37, 5), axes=[1], keepdims=0),
        **{op: function(op) for op in ("Sigmoid", "Tanh", "Exp", "HardSwish", "Elu", "Softplus", "Erf")},
        "Add": lambda: one("Add", (2, 3, 7, 11), normal(3, 1, 1)),
    }
    for name, make in cases.items():
        yield name, *make()
