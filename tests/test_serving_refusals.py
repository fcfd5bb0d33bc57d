"""The server: one sentence, and the right status, for every request that is wrong, too large, too many or from nobody."""
from __future__ import annotations

import gzip
import json
import threading

import numpy as np
import pytest
from serving_models import INFER, LENGTH, arrays_of, binary, doubling, request, served

import fastcnn

for _name in ("starlette", "uvicorn", "orjson", "prometheus_client", "httpx"):
    pytest.importorskip(_name)
from hypothesis import example, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from starlette.testclient import TestClient  # noqa: E402

from fastcnn.ir.errors import ConfigurationError  # noqa: E402
from fastcnn.serving.app import Options, create_app  # noqa: E402
from fastcnn.serving.repository import Loading  # noqa: E402


@pytest.fixture(scope="module")
def client():
    with served() as client:
        yield client


# ---- requests that are wrong ----


def changed(**fields):
    """request() with other fields of its input; None takes one away."""
    said = request()
    for name, value in fields.items():
        said["inputs"][0][name] = value
        if value is None:
            del said["inputs"][0][name]
    return said


WRONG = {
    "no JSON": "{", "no object": "[]", "no inputs": {}, "inputs that are none": {"inputs": 1}, "an input without a name": {"inputs": [{}]},
    "no datatype": changed(datatype=None), "another datatype": changed(datatype="INT8"), "no shape": changed(shape=None),
    "a negative extent": changed(shape=[-1, 3]), "a fraction": changed(shape=[2.5, 3]), "a flag as extent": changed(shape=[True, 6]),
    "too many axes": changed(shape=[1] * 40), "huge extents": changed(shape=[2**40, 2**40]), "too few elements": changed(data=[1]),
    "no data": changed(data=None), "data that is no list": changed(data="abc"), "text": changed(data=["a"] * 6),
    "flags": changed(data=[True] * 6), "null": changed(data=[None] * 6), "uneven": changed(data=[[1, 2], 3, [4, 5, 6]]),
    "a number beyond float": changed(data=[10**400] * 6), "deep": "[" * 100_000, "another name": changed(name="z"),
    "a name twice": {"inputs": request()["inputs"] * 2}, "an unknown output": request(outputs=[{"name": "z"}]),
    "outputs that are none": request(outputs=3), "an output twice": request(outputs=[{"name": "y"}] * 2),
    "parameters that are none": request(parameters=1), "a flag that is none": request(parameters={"binary_data_output": 1}),
    "shared memory": changed(parameters={"shared_memory_region": "r"}),
    "classes": request(outputs=[{"name": "y", "parameters": {"classification": 3}}]),
    "an id that is none": request(id=3), "bytes that are not there": changed(data=None, parameters={"binary_data_size": 24}),
    "negative bytes": changed(data=None, parameters={"binary_data_size": -1}), "another rank": request(shape=(6,)),
    "another extent": request(shape=(3, 2)),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_request_is_400_in_one_sentence(client, name):
    body = WRONG[name]
    response = client.post(INFER, content=body if isinstance(body, str) else json.dumps(body))
    assert response.status_code == 400, response.text
    sentence = response.json()["error"]
    assert sentence and "\n" not in sentence and "Traceback" not in sentence


@pytest.mark.parametrize("length", ["-1", "abc", "1e3", "", "9" * 30, "100000", "0", "٣", "3.0"])
def test_a_wrong_length_is_400(client, length):
    body, _ = binary(np.ones((2, 3), np.float32))
    response = client.post(INFER, content=body, headers={LENGTH: length.encode()})
    assert response.status_code == 400 and "error" in response.json()


def test_bytes_left_over_are_400(client):
    body, headers = binary(np.ones((2, 3), np.float32))
    assert client.post(INFER, content=body + b"x", headers=headers).status_code == 400


def test_what_fails_at_what_the_inputs_hold_is_422_and_the_model_goes_on(client):
    wrong = {"inputs": [{"name": "x", "datatype": "INT64", "shape": [1], "data": [99]}]}
    response = client.post("/v2/models/pick/infer", json=wrong)
    assert response.status_code == 422 and "index" in response.json()["error"]
    wrong["inputs"][0]["data"] = [9]
    assert client.post("/v2/models/pick/infer", json=wrong).status_code == 200


def test_bodies_that_are_too_large_are_413(client):
    assert client.post(INFER, content=b"x" * ((1 << 20) + 1)).status_code == 413
    assert client.post(INFER, content=(b"x" * (1 << 16) for _ in range(17))).status_code == 413            # chunked: no length is told
    bomb = gzip.compress(b" " * (1 << 22))
    assert client.post(INFER, content=bomb, headers={"Content-Encoding": "gzip"}).status_code == 413


@pytest.mark.parametrize("coding, body, status", [("br", b"{}", 415), ("gzip", b"{}", 400), ("gzip", gzip.compress(b"{}")[:-3], 400),
                                                  ("gzip", gzip.compress(b"{}") + b"x", 400)])
def test_codings_that_are_unknown_or_wrong(client, coding, body, status):
    assert client.post(INFER, content=body, headers={"Content-Encoding": coding}).status_code == status


HEAD, HEADERS = binary(np.ones((2, 3), np.float32))


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, len(HEAD) - 1), st.integers(0, 255)), max_size=4), st.integers(0, len(HEAD) + 20),
       st.integers(-5, len(HEAD) + 5))
@example([], len(HEAD), int(HEADERS[LENGTH]))
def test_changed_bytes_are_answered_or_refused(client, changes, kept, length):
    """Requests of the binary form with bytes changed, cut off or prolonged, and another length of their JSON."""
    body = bytearray(HEAD + b"\0" * 20)
    for where, value in changes:
        body[where] = value
    response = client.post(INFER, content=bytes(body[:kept]), headers={LENGTH: str(length)})
    assert response.status_code in (200, 400, 413), response.text
    if response.status_code == 200:
        arrays_of(response)
    else:
        assert set(response.json()) == {"error"}


ANY_JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
                        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(
                            ["name", "datatype", "shape", "data", "parameters", "binary_data_size", "inputs", "outputs", "id", "x"]),
                            inner, max_size=4), max_leaves=10)


@settings(max_examples=200)
@given(ANY_JSON, st.sampled_from(["name", "datatype", "shape", "data", "parameters", "inputs", "outputs", "id"]), ANY_JSON)
def test_any_json_is_answered_or_refused(client, value, field, whole):
    said = request()
    (said if field in ("inputs", "outputs", "id") else said["inputs"][0])[field] = value
    for body in (said, whole):
        response = client.post(INFER, content=json.dumps(body))
        assert response.status_code in (200, 400), response.text


# ---- who may ask, how much ----


def test_a_token_is_asked_of_everybody_but_health_checks():
    with TestClient(create_app({"double": fastcnn.load(doubling())}, Options(token="s3cret"))) as client:
        assert client.get("/v2/health/live").status_code == client.get("/v2/health/ready").status_code == 200
        for header in ({}, {"Authorization": "s3cret"}, {"Authorization": "Bearer s3cre"}, {"Authorization": "Basic s3cret"},
                       {"Authorization": "Bearer s3cret2"}, {"Authorization": b"Bearer \xff"}):
            for path in ("/v2", "/v2/models/double", "/v2/models/none", "/metrics", "/openapi.json"):
                response = client.get(path, headers=header)
                assert response.status_code == 401 and response.headers["www-authenticate"] == "Bearer"
            assert client.post(INFER, json=request(), headers=header).status_code == 401
        assert client.post(INFER, json=request(), headers={"Authorization": "bearer s3cret"}).status_code == 200


def test_a_full_queue_is_429(monkeypatch):
    loaded, entered, release = fastcnn.load(doubling(), threads=1), threading.Semaphore(0), threading.Event()
    run = loaded.run

    def slow(*args, **how):
        entered.release()
        release.wait(60)
        return run(*args, **how)

    monkeypatch.setattr(loaded, "run", slow)
    app = create_app({"double": loaded}, Options(loading=Loading(workers=1, max_batch=1, max_queue=1)))
    with TestClient(app) as client:
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(client.post(INFER, json=request()).status_code)) for _ in range(2)]
        threads[0].start()
        entered.acquire()
        threads[1].start()
        batcher = app.state.server.repository.live["double"].batcher
        while not batcher.waiting:
            threading.Event().wait(0.001)
        refused = client.post(INFER, json=request())
        assert refused.status_code == 429 and refused.headers["retry-after"] == "1" and "wait" in refused.json()["error"]
        release.set()
        for thread in threads:
            thread.join()
        assert answers == [200, 200]


def test_an_answer_that_takes_too_long_is_504():
    from test_budgets import HUGE, loop
    with TestClient(create_app({"loop": fastcnn.load(loop(HUGE))}, Options(timeout=0.05))) as client:
        said = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [2], "data": [1, 1]}]}
        assert client.post("/v2/models/loop/infer", json=said).status_code == 504


@pytest.mark.parametrize("options", [{"max_body": 0}, {"timeout": 0}, {"token": ""}])
def test_options_without_meaning_are_refused(options):
    with pytest.raises(ConfigurationError):
        Options(**options)


def test_a_fault_of_the_server_says_nothing_of_it(monkeypatch):
    loaded = fastcnn.load(doubling())
    app = create_app({"double": loaded})
    with TestClient(app, raise_server_exceptions=False) as client:
        monkeypatch.setattr(app.state.server.repository.live["double"].batcher, "submit", lambda *_, **__: 1 / 0)
        response = client.post(INFER, json=request())
    assert response.status_code == 500 and response.json() == {"error": "the server failed; its log says how"}
