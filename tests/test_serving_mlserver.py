"""The runtime for MLServer, asked by tritonclient over HTTP and gRPC: runs where both are installed."""
from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

# Not imported: its protocol buffers and tritonclient's have the same names.
pytestmark = pytest.mark.skipif(find_spec("mlserver") is None, reason="no mlserver")
ROOT = Path(__file__).parent.parent


def doubling() -> onnx.ModelProto:
    """y = x + x of any matrix with three columns."""
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "double", [helper.make_tensor_value_info("x", 1, ["n", 3])],
                              [helper.make_tensor_value_info("y", 1, ["n", 3])])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for opened in sockets:
        opened.bind(("127.0.0.1", 0))
    ports = [opened.getsockname()[1] for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports


@pytest.fixture(scope="module")
def ports(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    onnx.save(doubling(), str(folder / "model.onnx"))
    http, grpc, metrics = free_ports(3)
    (folder / "settings.json").write_text(json.dumps({"host": "127.0.0.1", "http_port": http, "grpc_port": grpc, "metrics_port": metrics,
                                                      "parallel_workers": 0}))
    (folder / "model-settings.json").write_text(json.dumps({
        "name": "double", "implementation": "fastcnn.serving.mlserver.FastCNNModel",
        "parameters": {"uri": "./model.onnx", "extra": {"threads": 1, "max_batch": 4}}}))
    with open(folder / "log", "w") as log:
        command = [sys.executable, "-c", "from mlserver.cli import main; main()", "start", str(folder)]
        process = subprocess.Popen(command, stdout=log, stderr=log,
                                   env={**os.environ, "PYTHONPATH": str(ROOT)})
        try:
            client = pytest.importorskip("tritonclient.http").InferenceServerClient(f"127.0.0.1:{http}")
            while True:
                assert process.poll() is None, (folder / "log").read_text()[-3000:]
                try:
                    if client.is_model_ready("double"):
                        break
                except OSError:
                    time.sleep(0.1)
            yield http, grpc
        finally:
            process.terminate()
            process.wait(60)


@pytest.fixture(scope="module", params=["http", "grpc"])
def client(request, ports):
    module = pytest.importorskip(f"tritonclient.{request.param}")
    return module, module.InferenceServerClient(f"127.0.0.1:{ports[request.param == 'grpc']}")


def asked(module, x: np.ndarray, name: str = "x"):
    given = module.InferInput(name, list(x.shape), "FP32")
    given.set_data_from_numpy(x, **({"binary_data": False} if "http" in module.__name__ else {}))
    return [given]


def test_tritonclient_infers(client):
    module, server = client
    outputs = [module.InferRequestedOutput("y", **({"binary_data": False} if "http" in module.__name__ else {}))]
    x = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    np.testing.assert_allclose(server.infer("double", asked(module, x), outputs=outputs).as_numpy("y"), 2 * x, rtol=1e-6)


def test_metadata_is_the_models(client):
    module, server = client
    if "http" in module.__name__:
        said = server.get_model_metadata("double")
        assert said["inputs"][0]["name"] == "x" and said["inputs"][0]["shape"] == [-1, 3]
    else:
        said = server.get_model_metadata("double")
        assert said.inputs[0].name == "x" and list(said.inputs[0].shape) == [-1, 3]


@pytest.mark.parametrize("x, name, message", [(np.ones((2, 4), np.float32), "x", "shape"), (np.ones((2, 3), np.float32), "z", "missing")])
def test_what_the_model_refuses_is_told(client, x, name, message):
    module, server = client
    with pytest.raises(Exception, match=message):
        server.infer("double", asked(module, x, name))
