"""What nobody foresaw comes out of load() and run() as an error of ours; files that are none are no models."""
from __future__ import annotations

import logging
import os
import socket

import numpy as np
import onnx
import pytest
from graph_helper import model
from onnx import TensorProto, helper, numpy_helper

import fastcnn
from fastcnn.ops import OPS
from fastcnn.passes import PASSES

node = helper.make_node
X = np.ones((1, 2, 4, 4), np.float32)
KINDS = [TypeError, ValueError, OverflowError, ZeroDivisionError, IndexError, KeyError, AttributeError, OSError, RecursionError,
         AssertionError]


def relu() -> onnx.ModelProto:
    return model([node("Relu", ["x"], ["y"], name="the node")], {"x": [1, 2, "h", "w"]}, ["y"])


def failing(kind):
    def fail(*args):
        raise kind("by surprise")
    return fail


@pytest.mark.parametrize("kind", KINDS)
def test_surprise_while_planning_names_the_node(monkeypatch, caplog, kind):
    loaded = fastcnn.load(relu())
    with monkeypatch.context() as patch:
        patch.setattr(type(OPS["", "Relu"]), "native", failing(kind))
        expected = pytest.raises(fastcnn.ExecutionError, match=r"Relu 'the node': .*by surprise")
        with caplog.at_level(logging.ERROR, "fastcnn"), expected as error:
            loaded.run(None, {"x": X})
        assert isinstance(error.value.__cause__, kind)
        assert "Traceback" in caplog.text and "by surprise" in caplog.text
    np.testing.assert_array_equal(loaded(X), X)


@pytest.mark.parametrize("kind", KINDS)
def test_surprise_at_load_is_a_model_error(monkeypatch, kind):
    def rewrite(graph):
        for node in graph.nodes:
            failing(kind)(node)
    monkeypatch.setattr("fastcnn.passes.PASSES", [rewrite, *PASSES])
    with pytest.raises(fastcnn.ModelError, match=r"Relu 'the node': .*by surprise") as error:
        fastcnn.load(relu())
    assert isinstance(error.value.__cause__, kind)


@pytest.mark.parametrize("kind", [MemoryError, KeyboardInterrupt, RuntimeWarning])
def test_what_is_nobodys_mistake_passes(monkeypatch, kind):
    monkeypatch.setattr("fastcnn.passes.PASSES", [failing(kind)])
    with pytest.raises(kind):
        fastcnn.load(relu())


@pytest.mark.parametrize("names, feeds", [(None, None), (None, 3), (None, []), (3, {"x": X}), ([3], {"x": X}), ([["y"]], {"x": X}),
                                          (None, {"x": {}}), (None, {3: X}), (None, {"x": object()})])
def test_careless_calls_get_errors_of_ours(names, feeds):
    loaded = fastcnn.load(relu())
    with pytest.raises(fastcnn.FastCNNError):
        loaded.run(names, feeds)
    np.testing.assert_array_equal(loaded(X), X)


def resized(scales, **attrs) -> onnx.ModelProto:
    proto = model([node("Resize", ["x", "r" if attrs else "", "s"], ["y"], **attrs)], {"x": [1, 2, 4, 4]}, ["y"],
                  {"r": np.ones(3, np.float32), "s": np.array(scales, np.float32)})
    return proto


# Models that once raised other errors than ours.
MODELS = {
    "odd roi": lambda: resized([1] * 4, coordinate_transformation_mode="tf_crop_and_resize"),
    "odd scales": lambda: resized([[1] * 3] * 2),
    "scale 0": lambda: resized([1, 1, 0, 1]),
    "scale nan": lambda: resized([1, 1, np.nan, 1]),
    "block 0": lambda: model([node("Col2Im", ["x", "i", "b"], ["y"], name="n")], {"x": [1, 4, 4]}, ["y"],
                             {"i": np.array([4, 4]), "b": np.array([0, 1])}, 18),
    "rank 70": lambda: model([node("Reshape", ["x", "s"], ["y"])], {"x": [1]}, ["y"], {"s": np.ones(70, np.int64)}),
    "rank 70 of a view": lambda: model([node("Unsqueeze", ["x", "s"], ["y"])], {"x": [1]}, ["y"], {"s": np.arange(69)}),
}


@pytest.mark.filterwarnings("ignore:.*no native kernel:RuntimeWarning")
@pytest.mark.parametrize("what", MODELS)
def test_odd_models_get_errors_of_ours(what):
    proto = MODELS[what]()
    shape = [d.dim_value for d in proto.graph.input[0].type.tensor_type.shape.dim]
    with pytest.raises(fastcnn.FastCNNError):
        fastcnn.load(proto).run(None, {"x": np.ones(shape, np.float32)})


@pytest.mark.parametrize("dims", [[1 << 62, 0, 1 << 62, 3], [1] * 70, [0] * 65], ids=["overflow", "rank", "empty"])
def test_shapes_of_no_tensor_are_refused(dims):
    proto = model([node("Identity", ["w"], ["y"])], {"x": [1]}, ["y"], {"w": np.ones(1, np.float32)})
    proto.graph.initializer[0].dims[:] = dims
    with pytest.raises(fastcnn.ModelError, match="initializer 'w'"):
        fastcnn.load(proto)


# ---- what is no file ----


@pytest.fixture
def odd_files(tmp_path):
    os.mkfifo(tmp_path / "pipe.onnx")
    (tmp_path / "folder.onnx").mkdir()
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(os.path.relpath(tmp_path / "socket.onnx"))
        (tmp_path / "zero.onnx").symlink_to("/dev/zero")
        (tmp_path / "loop.onnx").symlink_to("loop.onnx")
        yield tmp_path


@pytest.mark.parametrize("name", ["pipe", "folder", "socket", "zero", "loop", "nothing", "n" * 5000])
def test_model_path_is_a_regular_file(odd_files, name):
    with pytest.raises(fastcnn.ModelError, match="cannot be read"):
        fastcnn.load(odd_files / f"{name}.onnx")


@pytest.mark.parametrize("name", ["pipe", "folder", "socket", "zero", "loop", "nothing", "n" * 5000, "/".join(["n"] * 3000)])
def test_external_data_is_a_regular_file(odd_files, name):
    proto = model([node("Add", ["x", "w"], ["y"])], {"x": [1]}, ["y"], {"w": np.ones(1, np.float32)})
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=f"{name}.onnx")
    (odd_files / "model.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(fastcnn.ModelError, match="initializer 'w'") as error:
        fastcnn.load(odd_files / "model.onnx")
    assert len(str(error.value)) < 600


def test_sparse_tensors_are_bounded():
    values = numpy_helper.from_array(np.ones(1, np.float32), "w")
    sparse = helper.make_sparse_tensor(values, numpy_helper.from_array(np.zeros(1, np.int64), "i"), [1 << 40])
    proto = model([node("Identity", ["w"], ["y"])], {"x": [1]}, ["y"])
    proto.graph.sparse_initializer.append(sparse)
    with pytest.raises(fastcnn.ModelError, match="sparse"):
        fastcnn.load(proto)
