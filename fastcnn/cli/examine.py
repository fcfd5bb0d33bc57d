"""The facts of `fastcnn doctor`: the machine, the number of threads and why, measured rates, and whether the kernels are right."""
from __future__ import annotations

import os
import platform
from importlib import metadata
from typing import Any

import fastcnn._native as _native
from fastcnn.analysis.roofline import roof
from fastcnn.cpu import cgroup_quota, cpu_info, default_threads, physical_cores
from fastcnn.selftest import coverage, self_test
from fastcnn.version import __version__

PACKAGES = ("numpy", "onnx", "click", "rich", "pillow", "onnxruntime", "openvino", "ncnn")


def doctor(measure: bool = True, check: bool = True) -> dict[str, Any]:
    """All facts as plain data: "machine", "threads", "versions", with measure "reach", with check "kernels" (`ok` of
    each and of all) and "steps", the kinds of steps that these reached at each instruction set."""
    info = cpu_info()
    found: dict[str, Any] = {
        "machine": {name: info[name] for name in ("vendor", "model", "family", "model_number", "instruction_sets", "instruction_set",
                                                  "l1d_bytes", "l2_bytes", "l3_bytes") if name in info}
        | {"plans_for": info["machine"]["name"]},
        "threads": threads(),
        "build": {"compiler": f"GCC {_native.COMPILER}" if _native.COMPILER[0].isdigit() else _native.COMPILER, "flags": _native.FLAGS,
                  "openmp": _native.HAS_OPENMP, "checked": _native.CHECKED, "levels": _native.levels()},
        "versions": {"fastcnn": __version__, "python": platform.python_version(), "system": platform.platform(), **_versions()},
    }
    if measure:
        one, all_ = roof(1), roof(default_threads())
        found["reach"] = {"gflops_one_thread": one.gflops, "gflops": all_.gflops, "l2_gbs": all_.near_gbs, "memory_gbs": all_.far_gbs}
    if check:
        kernels = self_test()
        found |= {"kernels": kernels, "steps": coverage(kernels), "ok": all(line["ok"] for line in kernels)}
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
