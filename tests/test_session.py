"""InferenceSession: what onnxruntime's users call, called the same way."""
from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import fastcnn
import fastcnn as ort
from fastcnn.cpu import default_threads

DIGITS = Path(__file__).parent.parent / "models" / "trained" / "digits.onnx"


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return (np.load(DIGITS.with_suffix(".npz"))["images"][:4] / 16).astype(np.float32)


@pytest.mark.parametrize("source", [str(DIGITS), DIGITS, DIGITS.read_bytes()], ids=["path", "PathLike", "bytes"])
def test_session_gives_onnxruntimes_results(source, images):
    session = ort.InferenceSession(source, providers=["CPUExecutionProvider"])
    theirs = onnxruntime.InferenceSession(str(DIGITS), providers=["CPUExecutionProvider"])
    name, output = session.get_inputs()[0].name, session.get_outputs()[0].name
    for names in (None, [output]):
        np.testing.assert_allclose(session.run(names, {name: images})[0], theirs.run(names, {name: images})[0],
                                   rtol=1e-4, atol=1e-6)


def test_session_options_set_threads(images):
    options = ort.SessionOptions()
    assert ort.InferenceSession(DIGITS, options).threads == default_threads()
    options.intra_op_num_threads = 3
    assert ort.InferenceSession(DIGITS, options).threads == 3
    assert ort.InferenceSession(DIGITS, sess_options=options, providers=None).threads == 3


def test_session_takes_onnxruntimes_own_options():
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    assert ort.InferenceSession(str(DIGITS), options).threads == 2


def test_session_keeps_options_without_meaning():
    options = ort.SessionOptions()
    options.graph_optimization_level = 99
    options.inter_op_num_threads = 4
    options.log_severity_level = 3
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    with pytest.raises(KeyError):
        options.get_session_config_entry("nothing")
    ort.InferenceSession(DIGITS, options)


@pytest.mark.parametrize("providers", [None, [], ["CPUExecutionProvider"], [("CPUExecutionProvider", {})]])
def test_session_on_the_cpu_is_silent(providers):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ort.InferenceSession(DIGITS, providers=providers).get_providers() == ["CPUExecutionProvider"]


@pytest.mark.parametrize("providers", [["CUDAExecutionProvider", "CPUExecutionProvider"],
                                       [("CUDAExecutionProvider", {"device_id": 0})]])
def test_session_warns_of_providers_it_lacks_and_carries_on(providers, images):
    with pytest.warns(UserWarning, match="CUDAExecutionProvider"):
        session = ort.InferenceSession(DIGITS, providers=providers, provider_options=None)
    assert session.run(None, {"image": images})[0].shape == (4, 10)


def test_session_accepts_run_options(images):
    session = ort.InferenceSession(DIGITS)
    assert session.run(None, {"image": images}, ort.RunOptions())[0].shape == (4, 10)
    assert session.run(None, {"image": images}, run_options=None)[0].shape == (4, 10)


def test_session_is_a_model_and_raises_its_errors(images):
    session = ort.InferenceSession(DIGITS)
    assert isinstance(session, fastcnn.Model)
    with pytest.raises(ValueError, match="expected float32, got float64"):
        session.run(None, {"image": images.astype(np.float64)})
    with pytest.raises(fastcnn.ModelError):
        ort.InferenceSession(b"nothing")
