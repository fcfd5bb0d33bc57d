"""Model.summary(): rows as the literature has them, what was fused into them, remarks, text."""
from __future__ import annotations

import json

import numpy as np
import pytest
from graph_helper import floats, model, node
from weightless import weightless

import fastcnn

# cs231n.github.io/convolutional-networks, "VGGNet in detail": activations, weights without biases.
VGG16 = [(224 * 224 * 64, 1728), (224 * 224 * 64, 36864), (112 * 112 * 64, 0), (112 * 112 * 128, 73728), (112 * 112 * 128, 147456),
         (56 * 56 * 128, 0), (56 * 56 * 256, 294912), (56 * 56 * 256, 589824), (56 * 56 * 256, 589824), (28 * 28 * 256, 0),
         (28 * 28 * 512, 1179648), (28 * 28 * 512, 2359296), (28 * 28 * 512, 2359296), (14 * 14 * 512, 0), (14 * 14 * 512, 2359296),
         (14 * 14 * 512, 2359296), (14 * 14 * 512, 2359296), (7 * 7 * 512, 0), (4096, 102760448), (4096, 16777216), (1000, 4096000)]
# Krizhevsky et al. 2012: neurons of conv2 to fc8; Sze et al. 2017, table II: weights and MACs of the layers, in k and M.
ALEXNET = [(290400, 34848, 105.4), (186624, 307200, 223.9), (64896, 884736, 149.5), (64896, 663552, 112.1), (43264, 442368, 74.8),
           (4096, 37748736, 37.7), (4096, 16777216, 16.8), (1000, 4096000, 4.1)]


def test_summary_vgg16_is_the_published_table():
    with fastcnn.load(weightless("vgg16"), threads=1) as net:
        summary = net.summary()
    rows = [layer for layer in summary.layers if layer.op_type in ("Conv", "MaxPool", "Gemm")]
    assert [(layer.activation_bytes // 4, layer.weights) for layer in rows] == VGG16
    assert [(field.size, field.stride) for field in rows[-4].fields] == [(212, 32)] * 2           # Araujo et al., Distill 2019
    assert summary.parameters == 138_357_544 and summary.shared_parameters == 0 and summary.macs == 15_470_264_320
    assert [layer.fused for layer in rows[-3:]] == [("Relu",), ("Relu",), ()]
    assert summary.largest("parameters") == [("classifier.0", pytest.approx(0.743, abs=1e-3))]


def test_summary_alexnet_is_the_published_table():
    with fastcnn.load(weightless("alexnet"), threads=1) as net:
        summary = net.summary()
    rows = [layer for layer in summary.layers if layer.macs]
    assert [(layer.activation_bytes // 4, layer.weights) for layer in rows] == [row[:2] for row in ALEXNET]
    assert [layer.macs / 1e6 for layer in rows] == pytest.approx([row[2] for row in ALEXNET], abs=0.06)
    assert summary.parameters == 60_965_224
    assert not summary.remarks


def conv(x: str, w: str, y: str, **attrs: object):
    return node("Conv", [x, w], [y], y, **attrs)


def small(**sizes: int):
    """Conv + BatchNormalization + Relu, a pooling, a fallback, a linear layer."""
    constants = {"w": floats(20, 3, 3, 3), "s": floats(20), "b": floats(20), "m": floats(20), "v": np.abs(floats(20)) + 1,
                 "f": floats(20, 10)}
    nodes = [conv("x", "w", "c", strides=[2, 2]), node("BatchNormalization", ["c", "s", "b", "m", "v"], ["n"], "n"),
             node("Relu", ["n"], ["r"], "r"), node("GlobalAveragePool", ["r"], ["g"], "g"), node("Flatten", ["g"], ["h"], "h"),
             node("MatMul", ["h", "f"], ["y"], "y")]
    return model(nodes, {"x": ["N", 3, "H", "W"]}, ["y"], constants)


def test_summary_row_says_what_was_fused_and_what_computes_it():
    with fastcnn.load(small(), threads=1) as net:
        first, *rest = net.summary([2, 3, 32, 32]).layers
    assert (first.op_type, first.fused, first.nodes) == ("Conv", ("BatchNormalization", "Relu"), ("c", "n", "r"))
    assert first.shape == (2, 20, 15, 15) and first.weights == 540 + 20 and first.biases == 20
    assert first.runs == "native" and first.algorithm and first.tile and first.macs == 2 * 15 * 15 * 20 * 27
    assert all(layer.runs in ("native", "view") for layer in rest)


def test_summary_remarks_name_the_node():
    with fastcnn.load(small(), threads=1) as net:
        summary = net.summary({"x": [1, 3, 32, 33]})
    border = [remark for remark in summary.remarks if remark.kind == "border"]
    assert [remark.text for remark in border] == ["Conv 'c': its windows do not end at the border: the last 1 of 32 rows are never read"]
    lanes = 100 * 20 / (-(-20 // fastcnn._native.vector_length()) * fastcnn._native.vector_length())
    assert [remark.node for remark in summary.remarks if remark.kind == "lanes"] == ["c"] * (lanes < 75)


def test_summary_remark_where_an_output_sees_less_than_the_object():
    proto = model([conv("x", "w", "a", pads=[1, 1, 1, 1]), conv("a", "v", "y", pads=[1, 1, 1, 1])], {"x": [1, 3, 16, 16]}, ["y"],
                  {"w": floats(16, 3, 3, 3), "v": floats(16, 16, 3, 3)})
    with fastcnn.load(proto, threads=1) as net:
        assert [r.text for r in net.summary(object_size=6).remarks if r.kind == "field"] == [
            "Conv 'y': an output sees 5 x 5 pixels of 'x', less than the 6 of the object"]
        assert not [r for r in net.summary(object_size=5).remarks if r.kind == "field"]


def test_summary_symbolic_shapes_are_assumed_or_given():
    with fastcnn.load(small(), threads=1) as net:
        assert net.summary().inputs == {"x": (1, 3, 224, 224)} and net.summary().assumed == ("x",)
        assert net.summary([1, 3, 9, 9]).assumed == ()
        for wrong, words in (([1, 4, 9, 9], "does not fit"), ({"z": [1]}, "no input named 'z'")):
            with pytest.raises(fastcnn.InputError, match=words):
                net.summary(wrong)


def test_summary_fallback_and_data_dependent_layers_are_rows():
    proto = model([node("Relu", ["x"], ["r"], "r"), node("NonZero", ["r"], ["z"], "z"), node("Cast", ["z"], ["y"], "y", to=1)],
                  {"x": [2, 3]}, ["y"])
    with fastcnn.load(proto, threads=1) as net:
        rows = net.summary().layers
    assert [layer.name for layer in rows] == ["r", "z", "y"] and rows[-1].runs == "data" and rows[-1].shape is None


def test_summary_neighbours_that_run_as_one_share_a_step():
    with fastcnn.load(weightless("mobilenet_v1", batch=1), threads=1) as net:
        summary = net.summary()
        steps = next(iter(net._default.plans.values())).direct.steps
    kinds = {kind for layer in summary.layers for kind in [layer.algorithm] if layer.runs == "native"}
    assert kinds and all(kinds)
    fused = {step.unit for step in steps if len(step.unit) > 1}
    together = [layer for layer in summary.layers if sum(other.step == layer.step for other in summary.layers) > 1]
    assert len(together) == sum(map(len, fused))
    if together:
        assert "as one with" in str(summary)


def test_summary_as_text_html_and_json():
    with fastcnn.load(small(), threads=1) as net:
        summary = net.summary()
        text, html = str(summary), net._repr_html_()
    assert "Conv + BatchNormalization + Relu" in text and "parameters 780" in text
    assert "<table>" in html and html.count("<tr>") == 1 + len(summary.layers)
    assert json.loads(json.dumps(summary.to_dict()))["layers"][0]["fused"] == ["BatchNormalization", "Relu"]


def test_summary_of_a_closed_model_is_refused():
    net = fastcnn.load(small(), threads=1)
    net.close()
    with pytest.raises(fastcnn.FastCNNError, match="closed"):
        net.summary()
    assert "closed" in net._repr_html_()


def test_summary_of_a_quantised_network_counts_weights_and_products():
    """Whatever the passes make of the pairs around a convolution: its products and weights stay."""
    scale, zero = np.float32(0.05), np.uint8(128)
    constants = {"s": scale, "z": zero, "ws": np.float32(0.02), "wz": np.int8(0),
                 "w": np.random.default_rng(0).integers(-100, 100, (8, 3, 3, 3)).astype(np.int8)}
    nodes = [node("QuantizeLinear", ["x", "s", "z"], ["a"], "q"), node("DequantizeLinear", ["a", "s", "z"], ["b"], "dq"),
             node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], "dw"), node("Conv", ["b", "wd"], ["c"], "conv"),
             node("Relu", ["c"], ["r"], "relu"), node("QuantizeLinear", ["r", "s", "z"], ["e"], "q2"),
             node("DequantizeLinear", ["e", "s", "z"], ["f"], "dq2"), node("MaxPool", ["f"], ["y"], "pool", kernel_shape=[2, 2])]
    with fastcnn.load(model(nodes, {"x": [1, 3, 10, 10]}, ["y"], constants), threads=1) as net:
        summary = net.summary()
    assert summary.macs == 8 * 8 * 8 * 27 and summary.parameters == 8 * 27
    assert sum(layer.weights for layer in summary.layers) == 8 * 27
    assert [(field.size, field.offset) for field in summary.layers[-1].fields] == [(4, 0)] * 2
