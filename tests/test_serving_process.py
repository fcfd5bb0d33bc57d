"""`fastcnn serve` as its users meet it: other people's clients, signals, worker processes, examples."""
from __future__ import annotations

import asyncio
import contextlib
import http.client
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from serving_models import DIGITS, ROOT, doubling, picking, serving

import fastcnn

for _name in ("starlette", "uvicorn", "orjson", "prometheus_client"):
    pytest.importorskip(_name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    (folder / "double.onnx").write_bytes(doubling().SerializeToString())
    (folder / "pick.onnx").write_bytes(picking().SerializeToString())
    return folder


@pytest.fixture(scope="module")
def port(folder):
    with serving(folder, f"digits={DIGITS}") as (port, _):
        yield port


def ask(port: int, factor: float) -> float:
    """What comes back for one number, through a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    with contextlib.closing(connection):
        said = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [factor] * 3}]}
        connection.request("POST", "/v2/models/double/infer", json.dumps(said))
        response = connection.getresponse()
        body = json.loads(response.read())
        assert response.status == 200, body
        return body["outputs"][0]["data"][0]


def listening_on_loopback_alone(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.2", port), 1):
        return False
    return True


# ---- tritonclient ----


@pytest.fixture(scope="module")
def triton(port):
    client = pytest.importorskip("tritonclient.http")
    return client, client.InferenceServerClient(f"127.0.0.1:{port}")


def test_tritonclient_reads_health_and_metadata(triton):
    _, server = triton
    assert server.is_server_live() and server.is_server_ready() and server.is_model_ready("double") and not server.is_model_ready("none")
    assert server.get_server_metadata()["name"] == "fastcnn"
    assert server.get_model_metadata("pick")["outputs"][0] == {"name": "y", "datatype": "FP32", "shape": [-1]}
    assert {entry["name"] for entry in server.get_model_repository_index()} == {"double", "pick", "digits"}


@pytest.mark.parametrize("binary_in", [False, True])
@pytest.mark.parametrize("binary_out", [False, True])
@pytest.mark.parametrize("coding", [None, "gzip", "deflate"])
def test_tritonclient_infers(triton, binary_in, binary_out, coding):
    client, server = triton
    x = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
    given = client.InferInput("x", x.shape, "FP32")
    given.set_data_from_numpy(x, binary_data=binary_in)
    result = server.infer("double", [given], outputs=[client.InferRequestedOutput("y", binary_data=binary_out)], request_id="7",
                          request_compression_algorithm=coding)
    np.testing.assert_array_equal(result.as_numpy("y"), 2 * x)
    assert result.get_response()["id"] == "7"


def test_tritonclient_infers_digits(triton):
    client, server = triton
    images = (np.load(DIGITS.with_suffix(".npz"))["images"][:16] / 16).astype(np.float32)
    given = client.InferInput("image", images.shape, "FP32")
    given.set_data_from_numpy(images)
    np.testing.assert_allclose(server.infer("digits", [given]).as_numpy("probabilities"), fastcnn.load(DIGITS)(images), rtol=1e-5)


def test_tritonclient_is_told_what_was_wrong(triton):
    client, server = triton
    given = client.InferInput("z", [1, 3], "FP32")
    given.set_data_from_numpy(np.ones((1, 3), np.float32))
    with pytest.raises(Exception, match="no input 'z'"):
        server.infer("double", [given])


# ---- schemathesis ----


def test_schemathesis_finds_no_answer_that_the_description_does_not_have(port, tmp_path):
    pytest.importorskip("schemathesis")
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"http://127.0.0.1:{port}/openapi.json", "--seed", "1",
               "--max-examples", "30", "--checks",
               "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
               "--phases", "examples,coverage,fuzzing"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]


# ---- load, signals, the end ----


def test_it_listens_on_loopback_alone(port):
    assert listening_on_loopback_alone(port)


def test_every_one_of_many_clients_gets_its_own_answer(port):
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda k: ask(port, float(k)), range(400)))
    assert answers == [2.0 * k for k in range(400)]


def test_sighup_reads_the_files_again(folder, tmp_path):
    file = tmp_path / "double.onnx"
    file.write_bytes(doubling().SerializeToString())
    with serving(file) as (port, process):
        assert ask(port, 1.0) == 2
        other = tmp_path / "new"
        other.write_bytes(doubling(5.0).SerializeToString())
        other.rename(file)
        process.send_signal(signal.SIGHUP)
        while ask(port, 1.0) != 5:
            threading.Event().wait(0.01)


def test_sigterm_answers_what_is_under_way(folder):
    """Requests whose bodies are still arriving when the signal comes are answered; the process then ends well."""
    with serving(folder) as (port, process):
        ask(port, 1.0)
        body = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [3, 3, 3]}]}).encode()
        connections = []
        for _ in range(4):
            connection = socket.create_connection(("127.0.0.1", port), 60)
            connection.sendall(b"POST /v2/models/double/infer HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body[:10])
            connections.append(connection)
        ask(port, 1.0)                              # so all of them have been read
        process.send_signal(signal.SIGTERM)
        refused = False
        while not refused:
            try:
                socket.create_connection(("127.0.0.1", port), 60).close()
                time.sleep(0.01)
            except OSError:
                refused = True
        for connection in connections:
            connection.sendall(body[10:])
            answer = b""
            while part := connection.recv(65536):
                answer += part
                if answer.endswith(b"}]}"):
                    break
            assert b" 200 " in answer.split(b"\r\n")[0] and b"6.0" in answer
            connection.close()
        assert process.wait(60) in (0, -signal.SIGTERM)


def test_a_token_file_and_what_is_wrong_on_the_command_line(folder, tmp_path):
    token = tmp_path / "token"
    token.write_text("s3cret\n")
    with serving(folder, "--token-file", token) as (port, _):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        for header, status in (({}, 401), ({"Authorization": "Bearer s3cret"}, 200)):
            connection.request("GET", "/v2", headers=header)
            response = connection.getresponse()
            response.read()
            assert response.status == status
    (tmp_path / "empty").write_text("")
    for arguments in (["none.onnx"], [str(folder), str(folder / "double.onnx")], [str(folder), "--token-file", str(tmp_path / "empty")]):
        done = subprocess.run([sys.executable, str(ROOT / "fastcnn_cli.py"), "serve", "--port", "0", *arguments], capture_output=True,
                              text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=60)
        assert done.returncode == 2 and done.stderr.count("\n") == 1


# ---- examples ----


def test_the_fastapi_example(monkeypatch):
    for name in ("fastapi", "PIL", "httpx"):
        pytest.importorskip(name)
    from PIL import Image
    from starlette.testclient import TestClient
    monkeypatch.setenv("MODEL", str(DIGITS))
    from fastcnn.serving.examples.fastapi_app import app
    file, jpeg = io.BytesIO(), {"Content-Type": "image/jpeg"}
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(file, "PNG")
    with TestClient(app) as client:
        classes = client.post("/classify", content=file.getvalue(), headers=jpeg).json()["classes"]
        assert len(classes) == 5 and classes[0]["score"] >= classes[1]["score"]
        assert client.post("/classify", content=b"no image", headers=jpeg).status_code == 400
        assert "fastcnn_runs_total 1" in client.get("/metrics").text


def test_the_prefork_example(folder):
    for name in ("gunicorn", "uvicorn_worker"):
        pytest.importorskip(name)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "gunicorn", "--preload", "-w", "2", "-k", "uvicorn_worker.UvicornWorker", "-b", f"127.0.0.1:{port}",
               "fastcnn.serving.examples.prefork:create()"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL,
                               env={**os.environ, "MODEL": str(Path(folder) / "double.onnx"), "PYTHONPATH": str(ROOT)})
    try:
        while True:
            try:
                ask(port, 1.0)
                break
            except OSError:
                assert process.poll() is None
                time.sleep(0.05)
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(lambda k: ask(port, float(k)), range(100))) == [2.0 * k for k in range(100)]
    finally:
        process.terminate()
        assert process.wait(60) == 0


def test_a_batcher_and_arun_side_by_side_in_one_loop():
    loaded = fastcnn.load(doubling(), threads=1)

    async def both(batcher) -> list:
        x = {"x": np.ones((1, 3), np.float32)}
        return await asyncio.gather(*[(batcher.arun if k % 2 else loaded.arun)(x) for k in range(50)])

    with loaded.batcher() as batcher:
        assert all((y == 2).all() for y, in asyncio.run(both(batcher)))
