"""Models of one node for the tests of the server, requests for them, and a server in a process of its own."""
from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from graph_helper import model
from onnx import helper

import fastcnn

ROOT = Path(__file__).parent.parent
DIGITS = ROOT / "models" / "trained" / "digits.onnx"
LENGTH, INFER = "Inference-Header-Content-Length", "/v2/models/double/infer"


def doubling(factor: float = 2.0) -> onnx.ModelProto:
    """y = factor * x of any matrix with three columns."""
    return model([helper.make_node("Mul", ["x", "two"], ["y"])], {"x": ["n", 3]}, ["y"], {"two": np.float32(factor)})


def typed(kind: int) -> onnx.ModelProto:
    """y = x of any vector of an element type."""
    return model([helper.make_node("Identity", ["x"], ["y"])], {"x": ["n"]}, ["y"], types={"x": kind})


def picking() -> onnx.ModelProto:
    """y = (0, 1, ..., 9)[x] and z = x: an index out of range fails."""
    nodes = [helper.make_node("Gather", ["w", "x"], ["y"], axis=0), helper.make_node("Identity", ["x"], ["z"])]
    return model(nodes, {"x": ["n"]}, ["y", "z"], {"w": np.arange(10, dtype=np.float32)}, types={"x": 7})


@contextmanager
def served() -> Iterator[Any]:
    """A client of a server in this process, with the models double, pick and digits."""
    from starlette.testclient import TestClient

    from fastcnn.serving.app import Options, create_app
    models = {"double": fastcnn.load(doubling(), threads=1), "pick": fastcnn.load(picking(), threads=1), "digits": str(DIGITS)}
    with TestClient(create_app(models, Options(max_body=1 << 20))) as client:
        yield client


@contextmanager
def serving(*arguments: Any, **environment: str) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """The port of `fastcnn serve ARGUMENTS`, and its process, which is told to end at the end."""
    command = [sys.executable, str(ROOT / "fastcnn_cli.py"), "serve", "--port", "0", *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                               env={**os.environ, "PYTHONPATH": str(ROOT), **environment})
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        yield int(said.rpartition("/v2")[0].rpartition(":")[2]), process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def request(data: Any = None, shape: tuple[int, ...] = (2, 3), **more: Any) -> dict[str, Any]:
    """A request of the doubling model as JSON."""
    data = list(range(6)) if data is None else data
    return {"inputs": [{"name": "x", "datatype": "FP32", "shape": list(shape), "data": data}], **more}


def binary(x: np.ndarray, **more: Any) -> tuple[bytes, dict[str, str]]:
    """Body and headers of the same in the binary form."""
    raw = np.ascontiguousarray(x).tobytes()
    head = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": list(x.shape), "parameters": {"binary_data_size": len(raw)}}],
                       **more}).encode()
    return head + raw, {LENGTH: str(len(head))}


def arrays_of(response: Any) -> dict[str, np.ndarray]:
    """Outputs by name, of a JSON or a binary response."""
    assert response.status_code == 200, response.text
    head = int(response.headers.get(LENGTH, len(response.content)))
    said, at, found = json.loads(response.content[:head]), head, dict[str, np.ndarray]()
    for output in said["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size")
        if size is None:
            found[output["name"]] = np.array(output["data"], np.float32).reshape(output["shape"])
        else:
            found[output["name"]] = np.frombuffer(response.content[at:at + size], np.float32).reshape(output["shape"])
            at += size
    assert at == len(response.content)
    return found
