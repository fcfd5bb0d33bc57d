"""fastcnn.compare(): layers beside the reference, onnxruntime and other models; where they part is found."""
from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from graph_helper import floats, model, node

import fastcnn
from fastcnn.analysis.compare import difference

X = {"x": floats(1, 3, 12, 12, seed=4)}


def network(scale: float = 1.0) -> onnx.ModelProto:
    """Three convolutions with activations; the second one's weights times `scale`."""
    constants = {"a": floats(8, 3, 3, 3), "b": floats(8, 8, 3, 3, seed=2) * np.float32(scale), "c": floats(4, 8, 3, 3, seed=3),
                 "m": floats(8), "v": np.abs(floats(8)) + 1}
    nodes = [node("Conv", ["x", "a"], ["p"], "first"), node("BatchNormalization", ["p", "m", "m", "m", "v"], ["n"], "norm"),
             node("Relu", ["n"], ["q"], "act"), node("Conv", ["q", "b"], ["r"], "second"), node("Sigmoid", ["r"], ["s"], "act2"),
             node("Conv", ["s", "c"], ["y"], "third")]
    return model(nodes, {"x": [1, 3, 12, 12]}, ["y"], constants)


def test_compare_with_the_reference_resolves_fused_layers():
    found = fastcnn.compare(fastcnn.load(network(), threads=1), X)
    assert [(d.value, d.layer, d.nodes) for d in found.values] == [
        ("q", "first", ("first", "norm", "act")), ("s", "second", ("second", "act2")), ("y", "third", ("third",))]
    assert found.agrees and found.first is None and all(d.cosine > 0.999999 and d.relative < 1e-5 for d in found.values)


def test_compare_with_onnxruntime_needs_a_path(tmp_path):
    onnx.save(network(), str(tmp_path / "net.onnx"))
    found = fastcnn.compare(tmp_path / "net.onnx", X, "onnxruntime")
    assert [d.value for d in found.values] == ["q", "s", "y"] and found.agrees
    with pytest.raises(fastcnn.ConfigurationError, match="loaded from a path"):
        fastcnn.compare(fastcnn.load(network(), threads=1), X, "onnxruntime")


def test_compare_finds_the_layer_where_two_models_part():
    found = fastcnn.compare(fastcnn.load(network(), threads=1), X, fastcnn.load(network(1.01), threads=1))
    assert found.first is not None and found.first.value == "s" and not found.agrees
    assert "the first beyond 0.0001 is 's', made by Conv 'second' of the nodes second, act2" in str(found)
    assert fastcnn.compare(fastcnn.load(network(), threads=1), X, fastcnn.load(network(1.01), threads=1), tolerance=1.0).agrees
    assert json.loads(json.dumps(found.to_dict()))["first"] == "s"


def test_compare_refuses_what_it_does_not_know():
    net = fastcnn.load(network(), threads=1)
    for wrong in ({"against": "torch"}, {"tolerance": -1.0}):
        with pytest.raises(fastcnn.ConfigurationError):
            fastcnn.compare(net, X, **wrong)


@pytest.mark.parametrize("a, b, relative, ulp, beyond", [
    ([1.0, 2.0], [1.0, 2.0], 0.0, 0.0, False),
    ([1.0, np.nextafter(np.float32(2), np.float32(3))], [1.0, 2.0], 2.0 ** -23, 1.0, False),
    ([1.0, np.nan], [1.0, np.nan], 0.0, 0.0, False),
    ([1.0, np.inf], [1.0, np.inf], 0.0, 0.0, False),
    ([1.0, np.nan], [1.0, 2.0], np.inf, None, True),
    ([1.0, -np.inf], [1.0, np.inf], np.inf, None, True),
    ([0.0, 0.0], [0.0, 0.0], 0.0, 0.0, False),
    ([1.0], [0.0], np.inf, None, True),
    ([1.0, 2.5], [1.0, 2.0], 0.25, None, True),
])
def test_compare_difference_of_two_arrays(a, b, relative, ulp, beyond):
    found = difference(np.array(a, np.float32), np.array(b, np.float32), 1e-4)
    assert found.relative == pytest.approx(relative) and found.beyond == beyond
    assert ulp is None or found.ulp == pytest.approx(ulp)


def test_compare_difference_of_shapes_is_beyond():
    assert difference(np.zeros(3), np.zeros(4), 1.0).beyond


def test_compare_of_integers_and_booleans():
    assert not difference(np.array([1, 2]), np.array([1, 2]), 0.0).beyond and difference(np.array([1, 2]), np.array([1, 3]), 0.1).beyond
