"""The server: what the protocol says of good requests; models that are loaded again; metrics."""
from __future__ import annotations

import asyncio
import gzip
import io
import json
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
from serving_models import DIGITS, INFER, LENGTH, arrays_of, binary, doubling, request, served, typed

import fastcnn

for _name in ("starlette", "uvicorn", "orjson", "prometheus_client", "httpx"):
    pytest.importorskip(_name)
from starlette.testclient import TestClient  # noqa: E402

from fastcnn.ir.errors import ConfigurationError  # noqa: E402
from fastcnn.serving.app import Options, create_app  # noqa: E402
from fastcnn.serving.repository import named, sharing  # noqa: E402


@pytest.fixture(scope="module")
def client():
    with served() as client:
        yield client


# ---- what there is ----


def test_metadata_and_health(client):
    assert client.get("/v2").json() == {"name": "fastcnn", "version": fastcnn.__version__,
                                        "extensions": ["binary_tensor_data", "model_repository"]}
    assert client.get("/v2/health/live").json() == {"live": True} and client.get("/v2/health/ready").json() == {"ready": True}
    assert client.get("/v2/models/double").json() == {
        "name": "double", "versions": ["1"], "platform": "onnx_fastcnn", "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 3]}]}
    assert client.get("/v2/models/double/versions/1").json() == client.get("/v2/models/double").json()
    assert client.get("/v2/models/double/ready").json() == {"name": "double", "ready": True}
    assert [entry["name"] for entry in client.post("/v2/repository/index").json()] == ["double", "pick", "digits"]


@pytest.mark.parametrize("path", ["/v2/models/none", "/v2/models/none/ready", "/v2/models/double/versions/2", "/v2/models/..%2fdouble",
                                  "/v2/models/%2e%2e/ready", "/", "/v2/models//ready", "/v2/models/double%00"])
def test_what_there_is_not_is_404_in_one_sentence(client, path):
    response = client.get(path)
    assert response.status_code == 404 and set(response.json()) == {"error"}
    assert client.post("/v2/models/none/infer", json=request()).status_code == 404


def test_other_methods_are_405_and_say_which_are_right(client):
    response = client.get(INFER)
    assert response.status_code == 405 and response.headers["allow"] == "POST" and "error" in response.json()


# ---- inference ----


@pytest.mark.parametrize("data", [[0, 1, 2, 3, 4, 5], [[0, 1, 2], [3, 4, 5]], [0.0, 1, 2.0, 3, 4, 5]])
def test_json_in_and_out(client, data):
    response = client.post(INFER, json=request(data, id="a"))
    assert response.json() == {"model_name": "double", "model_version": "1", "id": "a",
                               "outputs": [{"name": "y", "datatype": "FP32", "shape": [2, 3], "data": [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]}]}


@pytest.mark.parametrize("asked", [{}, {"parameters": {"binary_data_output": True}}, {"outputs": [{"name": "y"}]},
                                   {"outputs": [{"name": "y", "parameters": {"binary_data": True}}]},
                                   {"outputs": [{"name": "y", "parameters": {"binary_data": False}}],
                                    "parameters": {"binary_data_output": True}}])
def test_bytes_in_and_what_is_asked_for_out(client, asked):
    x = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    body, headers = binary(x, **asked)
    response = client.post(INFER, content=body, headers=headers)
    np.testing.assert_array_equal(arrays_of(response)["y"], 2 * x)
    flags = [asked.get("parameters", {}).get("binary_data_output", False),
             *[output["parameters"]["binary_data"] for output in asked.get("outputs", []) if "parameters" in output]]
    assert (LENGTH in response.headers) == flags[-1]


def test_some_outputs_in_another_order(client):
    outputs = [{"name": "z"}, {"name": "y", "parameters": {"binary_data": True}}]
    asked = {"inputs": [{"name": "x", "datatype": "INT64", "shape": [2], "data": [7, 3]}], "outputs": outputs}
    response = client.post("/v2/models/pick/infer", json=asked)
    head = int(response.headers[LENGTH])
    assert [output["name"] for output in json.loads(response.content[:head])["outputs"]] == ["z", "y"]
    np.testing.assert_array_equal(np.frombuffer(response.content[head:], np.float32), [7, 3])


KINDS = {"BOOL": (9, [True, False]), "UINT8": (2, [0, 255]), "INT8": (3, [-128, 127]), "UINT16": (4, [0, 65535]),
         "INT16": (5, [-32768, 1]), "INT32": (6, [-2**31, 2**31 - 1]), "INT64": (7, [-2**63, 2**63 - 1]), "UINT32": (12, [0, 2**32 - 1]),
         "UINT64": (13, [0, 2**64 - 1]),
         "FP16": (10, [0.5, -2.0]), "FP32": (1, [0.1, -1e30]), "FP64": (11, [0.1, 1e300]), "BF16": (16, [0.5, -2.0]),
         "BYTES": (8, ["", "äß"])}


@pytest.mark.parametrize("kind", KINDS)
def test_every_type_goes_in_and_out_in_both_forms(kind):
    number, values = KINDS[kind]
    with TestClient(create_app({"m": fastcnn.load(typed(number), threads=1)})) as client:
        said = {"inputs": [{"name": "x", "datatype": kind, "shape": [2], "data": values}]}
        got = client.post("/v2/models/m/infer", json=said).json()["outputs"][0]
        assert got["datatype"] == kind and got["shape"] == [2]
        assert got["data"] == (values if kind != "FP32" else [pytest.approx(value) for value in values])
        raw = client.post("/v2/models/m/infer", json={**said, "parameters": {"binary_data_output": True}})
        data = raw.content[int(raw.headers[LENGTH]):]
        head = json.dumps({"inputs": [{"name": "x", "datatype": kind, "shape": [2], "parameters": {"binary_data_size": len(data)}}],
                           "parameters": {"binary_data_output": True}}).encode()
        again = client.post("/v2/models/m/infer", content=head + data, headers={LENGTH: str(len(head))})
        assert again.content[int(again.headers[LENGTH]):] == data


def test_nan_is_null_in_json_and_itself_in_bytes(client):
    body, headers = binary(np.array([[np.nan, np.inf, 1]], np.float32))
    assert client.post(INFER, content=body, headers=headers).json()["outputs"][0]["data"] == [None, None, 2.0]


def test_no_elements(client):
    assert client.post(INFER, json=request([], (0, 3))).json()["outputs"][0]["shape"] == [0, 3]


@pytest.mark.parametrize("coding, pack", [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_compressed_bodies(client, coding, pack):
    body, headers = binary(np.ones((4, 3), np.float32))
    response = client.post(INFER, content=pack(body), headers={**headers, "Content-Encoding": coding})
    np.testing.assert_array_equal(arrays_of(response)["y"], np.full((4, 3), 2))


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_an_image_is_what_preprocess_makes_of_it(client, kind):
    Image = pytest.importorskip("PIL.Image")
    file = io.BytesIO()
    Image.fromarray(np.arange(400, dtype=np.uint16).reshape(20, 20).astype(np.uint8)).save(file, kind)
    response = client.post("/v2/models/digits/infer", content=file.getvalue(), headers={"Content-Type": f"image/{kind.lower()}"})
    loaded = fastcnn.load(DIGITS, threads=1)
    want = loaded(fastcnn.Preprocess.guess(loaded)(Image.open(file)))
    np.testing.assert_allclose(arrays_of(response)["probabilities"], want, rtol=1e-5)


def test_images_that_are_none_and_images_for_other_models_are_refused(client):
    for path, body, status in (("digits", b"\x89PNG\r\n\x1a\n....", 400), ("digits", b"", 400), ("double", b"\x89PNG", 415)):
        response = client.post(f"/v2/models/{path}/infer", content=body, headers={"Content-Type": "image/png"})
        assert response.status_code == status and "error" in response.json()


def test_an_image_that_claims_to_be_huge_is_not_decoded(client):
    """The header of a PNG of 100000 x 100000 pixels."""
    head = b"IHDR" + (100_000).to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])
    png = b"\x89PNG\r\n\x1a\n" + (13).to_bytes(4, "big") + head + zlib.crc32(head).to_bytes(4, "big")
    response = client.post("/v2/models/digits/infer", content=png, headers={"Content-Type": "image/png"})
    assert response.status_code in (400, 413) and "error" in response.json()


# ---- models ----


def test_a_model_is_loaded_again_while_requests_go_on(tmp_path):
    file = tmp_path / "double.onnx"
    file.write_bytes(doubling().SerializeToString())
    app = create_app({"double": str(file)}, Options(token="t"))
    bearer = {"Authorization": "Bearer t"}
    with TestClient(app) as client:
        old = app.state.server.repository.live["double"]
        seen, stop = [], threading.Event()

        def ask() -> None:
            while not stop.is_set():
                seen.append(client.post(INFER, json=request(), headers=bearer).json()["outputs"][0]["data"][1])

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        for factor in (3.0, 4.0, 5.0):
            other = tmp_path / "other"
            other.write_bytes(doubling(factor).SerializeToString())
            other.rename(file)
            assert client.post("/v2/repository/models/double/load", headers=bearer).status_code == 200
            assert client.post(INFER, json=request(), headers=bearer).json()["outputs"][0]["data"][1] == factor
        stop.set()
        for thread in threads:
            thread.join()
        assert seen and set(seen) <= {2.0, 3.0, 4.0, 5.0}
        assert old.retired and not old.requests
        file.write_bytes(b"no model")
        assert client.post("/v2/repository/models/double/load", headers=bearer).status_code == 409
        assert client.post(INFER, json=request(), headers=bearer).json()["outputs"][0]["data"][1] == 5.0
        assert client.post("/v2/repository/models/none/load", headers=bearer).status_code == 404


def test_models_are_not_loaded_over_http_without_a_token(client):
    assert client.post("/v2/repository/models/digits/load").status_code == 403


def test_reload_waits_for_requests_under_way(tmp_path):
    """The old model is closed by the last request that uses it."""
    file = tmp_path / "double.onnx"
    file.write_bytes(doubling().SerializeToString())
    repository = create_app({"double": str(file)}).state.server.repository

    async def reload() -> None:
        with repository.using("double") as live:
            await repository.reload("double")
            assert repository.get("double") is not live
            assert live.model(np.ones((1, 3), np.float32))[0, 0] == 2
        await asyncio.get_running_loop().shutdown_default_executor()
        assert repr(live.model) == "<fastcnn.Model closed>"

    asyncio.run(reload())
    repository.close()


def test_names_are_those_of_files_unless_they_are_said(tmp_path):
    for name in ("a.onnx", "b.fcnn", "c.txt"):
        (tmp_path / name).write_bytes(b"")
    assert named([str(tmp_path), f"z={tmp_path / 'a.onnx'}"]) == {
        "a": str(tmp_path / "a.onnx"), "b": str(tmp_path / "b.fcnn"), "z": str(tmp_path / "a.onnx")}
    for wrong in ([str(tmp_path)] * 2, [f"z={tmp_path}"], [str(Path(tmp_path, "a.onnx"))] * 2):
        with pytest.raises(ConfigurationError):
            named(wrong)


@pytest.mark.parametrize("threads, workers, cpus, want", [
    (None, None, 1, (1, 1)), (None, None, 2, (1, 2)), (None, None, 16, (4, 4)), (None, None, 8, (2, 3)), (4, None, 8, (4, 2)),
    (None, 1, 8, (8, 1)), (16, None, 8, (16, 1)), (None, 16, 8, (1, 16)), (3, 5, 8, (3, 5))])
def test_threads_and_workers_share_the_cpus(threads, workers, cpus, want):
    assert sharing(threads, workers, cpus) == want


@pytest.mark.parametrize("name", ["", "..", ".a", "a/b", "a b", "ä", "a" * 129, "-"])
def test_names_that_could_mean_something_else_are_refused(name):
    with pytest.raises(ConfigurationError, match="no name"):
        create_app({name: fastcnn.load(doubling())})


# ---- what it says of itself ----


def test_metrics_count_requests_and_runs():
    parser = pytest.importorskip("prometheus_client.openmetrics.parser")
    with TestClient(create_app({"double": fastcnn.load(doubling())})) as client:
        for body in (request(), request(), {}):
            client.post(INFER, json=body)
        client.post("/v2/models/what%22ever/infer", json=request())
        response = client.get("/metrics")
    families = {family.name: family for family in parser.text_string_to_metric_families(response.text)}
    counted = {(sample.labels["model"], sample.labels["status"]): sample.value
               for sample in families["fastcnn_http_requests"].samples if sample.name.endswith("_total")}
    assert counted == {("double", "200"): 2, ("double", "400"): 1, ("-", "404"): 1}
    assert [sample.value for sample in families["fastcnn_runs"].samples] == [2]
    assert [sample.value for sample in families["fastcnn_requests_waiting"].samples] == [0]


def test_the_description_names_every_route_and_no_other(client):
    app = client.app
    said = client.get("/openapi.json").json()
    described = {(path, method.upper()) for path, methods in said["paths"].items() for method in methods if method != "parameters"}
    routes = {(route.path, method) for route in app.routes for method in route.methods if method != "HEAD"}
    assert described == routes - {("/openapi.json", "GET")}
