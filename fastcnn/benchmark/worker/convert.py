"""Converts ONNX files for engines that read other formats; results are cached in the temporary folder by file and converter version."""
from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

NCNN, LITERT = "network.ncnn", "network_float32.tflite"
TAIL = 2000         # characters of a failed converter's output in the error


def converted(path: str, converter: Callable[[str, Path], None], label: str) -> str:
    """The folder that converter(path, folder) has filled for this file's content; label: the converter and its version."""
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]
    home = Path(tempfile.gettempdir()) / f"fastcnn-bench-{os.getuid()}" / label
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder = home / digest
    if not folder.exists():
        fresh = Path(tempfile.mkdtemp(dir=home))
        try:
            converter(path, fresh)
            fresh.rename(folder)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return str(folder)


def ncnn(path: str, folder: Path) -> None:
    """network.ncnn.param and .bin by pnnx, weights in float32. Its program needs no torch, which importing the package would."""
    spec = find_spec("pnnx")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("pnnx is not installed")
    _copy(path, folder)
    _call([str(Path(spec.submodule_search_locations[0]) / "pnnx"), "network.onnx", "fp16=0"], folder)
    _keep(folder, f"{NCNN}.param", f"{NCNN}.bin")


def litert(path: str, folder: Path) -> None:
    """network_float32.tflite by onnx2tf. It tries layouts on sample images and downloads them unless they lie in its folder: noise does."""
    import numpy as np

    _copy(path, folder)
    noise = np.random.default_rng(0).random((20, 128, 128, 3), np.float32)
    np.save(folder / "calibration_image_sample_data_20x128x128x3_float32.npy", noise)
    program = "import sys; from onnx2tf import main; sys.exit(main())"
    _call([sys.executable, "-c", program, "-i", "network.onnx", "-o", ".", "-v", "error"], folder)
    _keep(folder, LITERT)


def own_weights(model: Any) -> Any:
    """Identity of a weight, as exporters write it for weights that are equal, becomes a weight of that name, in place: for onnx2torch."""
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in list(model.graph.node):
        if node.op_type == "Identity" and node.input[0] in weights:
            copy = model.graph.initializer.add()
            copy.CopyFrom(weights[node.input[0]])
            copy.name = node.output[0]
            model.graph.node.remove(node)
    return model


def _copy(path: str, folder: Path) -> None:
    import onnx

    onnx.save(onnx.load(path), str(folder / "network.onnx"))


def _call(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    if done.returncode:
        raise RuntimeError(f"{Path(command[0]).name} exited with {done.returncode}: {done.stdout[-TAIL:]}")


def _keep(folder: Path, *names: str) -> None:
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise RuntimeError(f"the converter wrote no {', '.join(missing)}")
    for entry in folder.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        elif entry.name not in names:
            entry.unlink()
