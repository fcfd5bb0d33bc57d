"""Tuning: candidates timed once, answers remembered and shared, every kind of bad file ignored, the same numbers whatever is chosen."""
from __future__ import annotations

import json
import logging
import multiprocessing
import pickle

import numpy as np
import pytest
from graph_helper import model
from onnx import helper

import fastcnn
from fastcnn import _native
from fastcnn.convolve.ladder import candidates, choose, cycles
from fastcnn.convolve.shape import ConvShape, Problem, own_places
from fastcnn.tune import tuner
from fastcnn.tune.answers import Answer, Answers, default_file, machine_key
from fastcnn.tune.tuner import Tuner, others_megabytes, promising, winner

SHAPE = ConvShape(1, 1, 32, 48, 3, 3, 1, 1, 1, 1, 1, 1, 12, 12, 12, 12)


@pytest.fixture
def quick(monkeypatch):
    """Few rounds and little memory: what is tested here is not the figures."""
    monkeypatch.setattr(tuner, "SMALLEST_MEGABYTES", 1)
    monkeypatch.setattr(tuner, "MORE_ROUNDS", 1)
    monkeypatch.setattr(tuner, "PROMISING", 1e9)          # whatever the cost model thinks of this instruction set


def network(size: int | str = 12) -> bytes:
    rng = np.random.default_rng(0)
    weights = {"w": rng.standard_normal((48, 32, 3, 3)).astype(np.float32), "v": rng.standard_normal((16, 48, 1, 1)).astype(np.float32),
               "m": rng.standard_normal((16, 24)).astype(np.float32), "d": rng.standard_normal((48, 1, 3, 3)).astype(np.float32)}
    nodes = [helper.make_node("Conv", ["x", "w"], ["a"], "first", pads=[1, 1, 1, 1]),
             helper.make_node("Relu", ["a"], ["b"]),
             helper.make_node("Conv", ["b", "d"], ["c"], "second", pads=[1, 1, 1, 1], group=48),
             helper.make_node("Conv", ["c", "v"], ["e"], "third"),
             helper.make_node("Transpose", ["e"], ["f"], perm=[0, 2, 3, 1]),
             helper.make_node("MatMul", ["f", "m"], ["y"], "fourth")]
    return model(nodes, {"x": [1, 32, size, size]}, ["y"], weights).SerializeToString()


def image(size: int = 12) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((1, 32, size, size)).astype(np.float32)


@pytest.mark.parametrize("threads", [1, 2])
def test_tune_measures_once_and_computes_the_same(quick, tmp_path, caplog, threads, monkeypatch):
    caplog.set_level(logging.INFO, "fastcnn.tune")
    file = tmp_path / "folder" / "answers.json"
    tuned = fastcnn.load(network(), threads=threads, tune=file)
    rows = {row.node: row for row in tuned.choices()}
    assert list(rows) == ["first", "second", "third", "fourth"]
    assert rows["first"].source == "tuned" and len(rows["first"].measured_ms) > 1 and rows["first"].predicted_ms > 0
    assert caplog.records and not json.loads(file.read_text()).keys() - {"format", "machines"}
    monkeypatch.setattr(tuner, "Trials", None)            # whoever times now fails
    again = fastcnn.load(network(), threads=threads, tune=str(file))
    assert again.choices() == tuned.choices()
    plain = fastcnn.load(network(), threads=threads)
    assert {row.source for row in plain.choices()} == {"model"}
    np.testing.assert_allclose(tuned(image()), plain(image()), rtol=1e-4, atol=1e-3)
    np.testing.assert_array_equal(tuned(image()), again(image()))


CONVOLUTIONS = {
    "transposed": ("ConvTranspose", [1, 24, 9, 8], (24, 12, 3, 3), {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
    "transposed_sparse": ("ConvTranspose", [1, 24, 9, 8], (24, 12, 1, 1), {"strides": [3, 3]}),
    "volume": ("Conv", [1, 8, 5, 9, 8], (12, 8, 3, 3, 3), {"pads": [1, 1, 1, 1, 1, 1]}),
    "volume_groups": ("Conv", [1, 8, 5, 9, 8], (12, 2, 3, 3, 3), {"group": 4}),
    "dilated": ("Conv", [1, 32, 16, 16], (32, 32, 3, 3), {"pads": [4, 4, 4, 4], "dilations": [4, 4]}),
    "far": ("Conv", [1, 16, 10, 10], (16, 16, 3, 3), {"pads": [6, 6, 6, 6], "dilations": [6, 6]}),
    "groups": ("Conv", [2, 32, 11, 9], (32, 4, 3, 3), {"group": 8, "pads": [1, 1, 1, 1], "strides": [2, 2]}),
    "line": ("Conv", [3, 16, 50], (24, 16, 5), {"pads": [2, 2]}),
    "batch": ("Conv", [4, 40, 7, 7], (24, 40, 1, 1), {}),
}


@pytest.mark.parametrize("op, shape, kernel, attributes", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_tune_every_kind_of_convolution(quick, tmp_path, monkeypatch, op, shape, kernel, attributes):
    """Whatever is measured, and whichever candidate wins: here the one that the model likes least."""
    rng = np.random.default_rng(2)
    x, w = rng.standard_normal(shape).astype(np.float32), rng.standard_normal(kernel).astype(np.float32)
    net = model([helper.make_node(op, ["x", "w"], ["y"], "only", **attributes)], {"x": shape}, ["y"], {"w": w}).SerializeToString()
    plain = fastcnn.load(net, threads=1)
    monkeypatch.setattr(tuner, "winner", lambda times, listed: list(listed)[-1])
    monkeypatch.setattr(tuner, "SMALLEST", 1)
    tuned = fastcnn.load(net, threads=1, tune=tmp_path / "a.json")
    assert "tuned" in {row.source for row in tuned.choices()}
    scale = np.abs(plain(x)).max()
    np.testing.assert_allclose(tuned(x), plain(x), rtol=0, atol=1e-4 * scale)


def test_tune_gives_the_same_bits_for_any_number_of_threads(quick, tmp_path):
    file = tmp_path / "answers.json"
    one, two = (fastcnn.load(network(), threads=threads, tune=file) for threads in (1, 2))
    np.testing.assert_array_equal(one(image()), two(image()))


def test_tune_symbolic_shapes_when_they_are_planned(quick, tmp_path):
    file = tmp_path / "answers.json"
    symbolic = fastcnn.load(network("size"), threads=1, tune=file)
    assert symbolic.choices() == [] and not file.exists()
    symbolic(image())
    first = json.loads(file.read_text())["machines"][machine_key()]
    symbolic(image(20))
    assert len(json.loads(file.read_text())["machines"][machine_key()]) > len(first)
    assert [row.node for row in symbolic.choices()].count("first") == 2


def test_tune_picks_what_is_fastest():
    """With made-up times: the winner, and the pick where the winner gains nothing or rounds too coarsely for what it gains."""
    listed = candidates(Problem(SHAPE, own_places(SHAPE), 1))
    plain, second = (listed[name] for name in [n for n in listed if n.startswith("GEMM")][:2])
    kept = {"pick": plain, "other": second}
    assert winner({"pick": 1.0, "other": 0.5}, kept) == "other"
    assert winner({"pick": 1.0, "other": 0.99}, kept) == "pick"
    coarse = {"pick": plain, "winograd": next(picked for name, picked in listed.items() if name.startswith("Winograd m4"))}
    assert winner({"pick": 1.0, "winograd": 0.95}, coarse) == "pick"
    assert winner({"pick": 1.0, "winograd": 0.8}, coarse) == "winograd"
    problem = Problem(SHAPE, own_places(SHAPE), 1)
    assert next(iter(promising(listed, problem).values())) == choose(problem)
    rest = {name: picked for name, picked in listed.items() if picked != choose(problem)}
    assert next(iter(promising(rest, problem))) == min(rest, key=lambda name: cycles(rest[name], 1))


def test_tune_touches_as_much_between_runs_as_the_network_does():
    assert [others_megabytes(megabytes << 20) for megabytes in (0, 5, 14, 45, 100, 500)] == [12, 12, 48, 96, 192, 192]


def test_tune_threads_keep_the_bits_of_one(quick, tmp_path):
    asked = Tuner(Answers(tmp_path / "a.json"), 30.0, 0)
    decisions = [asked.conv(Problem(SHAPE, own_places(SHAPE), threads)) for threads in (1, 2)]
    assert len({decision.choice.bits for decision in decisions}) == 1


def test_tune_time_is_bounded(quick, tmp_path, caplog, monkeypatch):
    monkeypatch.setenv("FASTCNN_TUNE_SECONDS", "0")
    monkeypatch.setattr(tuner, "Trials", None)            # whoever times now fails
    rows = fastcnn.load(network(), threads=1, tune=tmp_path / "a.json").choices()
    assert {row.source for row in rows} == {"model"}
    assert [record.levelname for record in caplog.records] == ["WARNING"] and "used up" in caplog.text
    monkeypatch.setenv("FASTCNN_TUNE_SECONDS", "long")
    with pytest.raises(fastcnn.ConfigurationError, match="FASTCNN_TUNE_SECONDS='long'"):
        fastcnn.load(network(), tune=True)


@pytest.mark.parametrize("tune", [3, 1.5, b"path", ["a"]])
def test_tune_other_values_are_refused(tune):
    with pytest.raises(fastcnn.ConfigurationError, match="tune="):
        fastcnn.load(network(), tune=tune)


BAD = {"cut": '{"format": 1, "machines": {', "binary": b"\x00\xff\xfe", "list": "[1, 2]", "later": '{"format": 99, "machines": {}}',
       "machines": '{"format": 1, "machines": [1]}', "layers": '{"format": 1, "machines": {"a": 3}}',
       "answer": '{"format": 1, "machines": {"a": {"b": {"best": 1, "seconds": {}}}}}',
       "seconds": '{"format": 1, "machines": {"a": {"b": {"best": "x", "seconds": {"x": "fast"}}}}}'}


@pytest.mark.parametrize("content", BAD.values(), ids=BAD)
def test_answers_of_another_kind_are_ignored_with_a_warning(quick, tmp_path, caplog, content):
    file = tmp_path / "answers.json"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    asked = Answers(file)
    assert asked.known == {} and "ignored" in caplog.text
    asked.put("layer", Answer("best", {"best": 1.0}))
    asked.save()
    assert Answers(file).get("layer") == Answer("best", {"best": 1.0})


def test_answers_naming_no_candidate_are_measured_again(quick, tmp_path):
    asked = Tuner(Answers(tmp_path / "a.json"), 30.0, 0)
    asked.conv(Problem(SHAPE, own_places(SHAPE), 1))
    key, = asked.answers.known
    asked.answers.put(key, Answer("quantum nv9", {"quantum nv9": 0.0}))
    assert "quantum nv9" not in asked.conv(Problem(SHAPE, own_places(SHAPE), 1)).seconds


def test_answers_that_cannot_be_written_warn(quick, tmp_path, caplog):
    (tmp_path / "file").touch()
    fastcnn.load(network(), threads=1, tune=tmp_path / "file" / "answers.json")
    assert "cannot be kept" in caplog.text or "ignored" in caplog.text


def test_answers_of_other_machines_stay(tmp_path):
    file = tmp_path / "answers.json"
    file.write_text(json.dumps({"format": 1, "machines": {"another": {"layer": {"best": "x", "seconds": {"x": 1.0}}}}}))
    asked = Answers(file)
    assert asked.get("layer") is None
    asked.put("layer", Answer("y", {"y": 2.0}))
    asked.save()
    assert json.loads(file.read_text())["machines"].keys() == {"another", machine_key()}


def write(file: str, number: int) -> None:
    for k in range(20):
        asked = Answers(file)
        asked.put(f"layer {number}.{k}", Answer("x", {"x": 1.0}))
        asked.save()


def test_answers_of_processes_that_write_at_the_same_time_are_all_kept(tmp_path):
    pytest.importorskip("fcntl")
    file = str(tmp_path / "answers.json")
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=write, args=(file, number)) for number in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(Answers(file).known) == 60
    assert [p.name for p in tmp_path.iterdir() if not p.name.endswith((".json", ".lock"))] == []


def test_answers_default_file(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("FASTCNN_CACHE", raising=False)
    assert default_file() == tmp_path / "cache" / "fastcnn" / "tune.json"
    monkeypatch.setenv("FASTCNN_CACHE", str(tmp_path / "own"))
    assert default_file() == tmp_path / "own" / "tune.json"
    monkeypatch.delenv("FASTCNN_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_file() == tmp_path / ".cache" / "fastcnn" / "tune.json"


def test_answers_belong_to_an_instruction_set(isa):
    assert isa in machine_key() and _native.cpu()["model"] in machine_key()


def test_tune_of_a_session_and_of_a_pickled_model(quick, tmp_path, monkeypatch):
    monkeypatch.setenv("FASTCNN_CACHE", str(tmp_path))
    options = fastcnn.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("fastcnn.tune", "1")
    assert fastcnn.InferenceSession(network(), options).choices()[0].source == "tuned"
    assert (tmp_path / "tune.json").exists()
    other = fastcnn.SessionOptions()
    other.add_session_config_entry("fastcnn.tune", "0")
    assert fastcnn.InferenceSession(network(), other).choices()[0].source == "model"
    monkeypatch.setattr(tuner, "Trials", None)
    assert pickle.loads(pickle.dumps(fastcnn.load(network(), threads=1, tune=True))).choices()[0].source == "tuned"


def test_tune_of_a_session_with_options_of_onnxruntime(quick, tmp_path):
    options = pytest.importorskip("onnxruntime").SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("fastcnn.tune", str(tmp_path / "answers.json"))
    assert fastcnn.InferenceSession(network(), options).choices()[0].source == "tuned"


def test_choices_say_what_computes_each_layer():
    rows = {row.node: row for row in fastcnn.load(network()).choices()}
    assert rows["first"].layer == "12x12x32 -> 48, 3x3 stride 1" and rows["first"].op_type == "Conv"
    assert rows["second"].algorithm == "depthwise ring" and rows["second"].tile is None
    assert rows["fourth"].op_type == "MatMul" and rows["fourth"].algorithm == "GEMM in place"
    assert rows["third"].tile[1] % _native.vector_length() == 0 and rows["third"].blocking["block"] >= 1
    text = str(rows["third"])
    assert text.startswith("third: 12x12x48 -> 16, 1x1 stride 1: GEMM in place ") and "(model, " in text


def test_choices_of_weights_that_are_computed_and_of_a_closed_model():
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"], "computed")]
    computed = fastcnn.load(model(nodes, {"x": [1, 8, 9, 9], "w": [8, 8, 3, 3]}, ["y"]).SerializeToString())
    row, = computed.choices()
    assert (row.source, row.algorithm) == ("model", "GEMM in place")
    computed.close()
    assert computed.choices() == []


def test_choices_of_fused_nodes(monkeypatch, on_pixels):
    """A 1x1 convolution that a depthwise one alone reads, too large for the cache between them."""
    weights = {"w": np.ones((128, 16, 1, 1), np.float32), "d": np.ones((128, 1, 3, 3), np.float32)}
    nodes = [helper.make_node("Conv", ["x", "w"], ["a"], "expand"),
             helper.make_node("Conv", ["a", "d"], ["y"], "depthwise", pads=[1, 1, 1, 1], group=128)]
    rows = fastcnn.load(model(nodes, {"x": [1, 16, 160, 160]}, ["y"], weights).SerializeToString(), threads=1).choices()
    assert [row.source for row in rows] == ["fused"] and rows[0].predicted_ms is None and "160x160x16" in str(rows[0])
