"""fastcnn.quantize(): which nodes become bytes, the same numbers in other engines, errors that are what they are said to be."""
from __future__ import annotations

import weakref
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from graph_helper import model, onnxruntime_run
from onnx import helper

import fastcnn
from fastcnn.convolve.quantized_gemm import has_dots
from fastcnn.ir.graph import Node
from fastcnn.passes import run_passes
from fastcnn.precision.equalise import equalised
from fastcnn.precision.predict import predicted
from fastcnn.precision.prepare import prepared
from fastcnn.precision.products import rows
from fastcnn.reader import read
from fastcnn.reference import evaluate_graph

TRAINED = Path(__file__).parent.parent / "models" / "trained"
SHAPE = (2, 3, 16, 16)


class Network:
    """Small convolutional networks, node by node."""

    def __init__(self, seed: int = 0):
        self.rng, self.nodes, self.constants = np.random.default_rng(seed), [], {}

    def op(self, op_type: str, *inputs: str, **attrs: object) -> str:
        y = f"{op_type.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op_type, inputs, [y], y, **attrs))
        return y

    def constant(self, array: np.ndarray) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(array, np.float32)
        return name

    def conv(self, x: str, m: int, c: int, k: int = 3, group: int = 1) -> str:
        w = self.constant(self.rng.standard_normal((m, c // group, k, k)) * np.sqrt(2 / (c // group * k * k)))
        return self.op("Conv", x, w, self.constant(self.rng.standard_normal(m) * 0.1), pads=[k // 2] * 4, group=group)

    def norm(self, x: str, c: int) -> str:
        mean, var = self.rng.standard_normal(c) * 0.1, self.rng.uniform(0.5, 2, c)
        return self.op("BatchNormalization", x, *(self.constant(v) for v in (self.rng.uniform(0.5, 1.5, c), mean, mean, var)))

    def model(self, *outputs: str, opset: int = 17, shape: tuple[object, ...] = SHAPE) -> onnx.ModelProto:
        return model(self.nodes, {"x": shape}, outputs, self.constants, opset)


def residual(net: Network) -> str:
    """Convolutions of every kind with what stands between them, to ten scores."""
    x = net.op("Relu", net.norm(net.conv("x", 16, 3), 16))
    y = net.op("Relu", net.conv(x, 16, 16, group=16))
    y = net.op("Relu", net.op("Add", net.conv(y, 16, 16, 1), x))
    y = net.op("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2])
    z = net.conv(y, 24, 16)
    z = net.op("Mul", z, net.op("Sigmoid", z))
    y = net.op("Concat", z, net.op("Clip", net.conv(y, 8, 16, 1), net.constant(0), net.constant(6)), axis=1)
    y = net.op("Flatten", net.op("GlobalAveragePool", net.op("Relu", net.conv(y, 32, 32))))
    return net.op("Gemm", y, net.constant(net.rng.standard_normal((10, 32))), net.constant(net.rng.standard_normal(10)), transB=1)


def feeds(count: int = 6, seed: int = 1, shape: tuple[int, ...] = SHAPE) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    return [{"x": rng.standard_normal(shape).astype(np.float32)} for _ in range(count)]


def relative(y: np.ndarray, exact: np.ndarray) -> float:
    return float(np.abs(y - exact).max() / np.abs(exact).max())


@pytest.fixture(scope="module")
def floats() -> onnx.ModelProto:
    net = Network()
    return net.model(residual(net))


def run(proto: onnx.ModelProto, fed: dict[str, np.ndarray]) -> np.ndarray:
    return fastcnn.load(proto, threads=1).run(None, fed)[0]


def quantize(*args, **options):
    """All layers, whatever this machine would be faster by."""
    return fastcnn.quantize(*args, **{"faster_only": False, **options})


@pytest.mark.parametrize("options", [{}, {"activations": "int8"}, {"per_channel": False}, {"equalize": False}, {"correct_bias": False},
                                     *({"method": name} for name in ("minmax", "percentile", "entropy"))], ids=str)
def test_all_layers_run_on_bytes_and_the_outputs_are_near(floats, options):
    made = quantize(floats, feeds(), threads=1, layer_error=1.0, **options)
    kinds = Counter(node.op_type for node in run_passes(read(made.proto)).nodes)
    assert not {"Conv", "Gemm", "MatMul", "Relu", "Sigmoid", "Add", "Mul"} & kinds.keys(), kinds
    assert kinds["QConv"] == 6 and kinds["QMatMul"] == 1
    fed = feeds(1, seed=9)[0]
    assert relative(run(made.proto, fed), run(floats, fed)) < (0.12 if options.get("method") == "entropy" else 0.05)
    assert {layer.precision for layer in made.report.layers} == {"int8"} and len(made.report.layers) == 7


def test_normalization_that_no_convolution_takes_in_stays_in_float():
    """As in DenseNet: on bytes it saves nothing and costs accuracy."""
    net = Network()
    x = net.op("Relu", net.conv("x", 16, 3))
    joined = net.op("Concat", x, net.conv(x, 16, 16), axis=1)
    made = quantize(net.model(net.conv(net.op("Relu", net.norm(joined, 32)), 8, 32)), feeds(), threads=1, layer_error=1.0)
    kinds = Counter(node.op_type for node in run_passes(read(made.proto)).nodes)
    assert kinds["QConv"] == 3 and not kinds["QAffine"], kinds


@pytest.mark.parametrize("activations", ["uint8", "int8"])
def test_other_engines_run_the_file_and_give_the_same(floats, activations, tmp_path):
    """By the definition of the operators: onnx's evaluator and onnxruntime; OpenVINO, which rounds otherwise, nearly."""
    made = quantize(floats, feeds(), tmp_path / "q.onnx", activations=activations, threads=1, layer_error=1.0)
    onnx.checker.check_model(onnx.load(tmp_path / "q.onnx"), full_check=True)
    fed = feeds(1, seed=9)[0]
    ours = run(made.proto, fed)
    assert relative(onnxruntime_run(made.proto, fed)[0], ours) < 0.02
    assert relative(next(iter(evaluate_graph(read(made.proto), fed).values())), ours) < 0.02
    if activations == "int8":
        return                                              # OpenVINO's signed bytes with zero points are off by several percent
    openvino = pytest.importorskip("openvino")
    compiled = openvino.Core().compile_model(str(tmp_path / "q.onnx"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    assert relative(compiled(fed)[0], ours) < 0.05


def test_the_error_that_is_reported_is_that_of_the_outputs(floats):
    data = feeds()
    made = quantize(floats, data, threads=1)
    assert made.report.samples == len(data)
    assert made.report.error == pytest.approx(max(relative(run(made.proto, fed), run(floats, fed)) for fed in data), rel=1e-3)
    assert all(0 < layer.error < 0.1 and layer.fp32_ms > 0 and layer.int8_ms > 0 for layer in made.report.layers)
    table = str(made)
    assert all(layer.name in table for layer in made.report.layers) and "layers in int8" in table
    assert made.report.to_dict()["layers"][0]["op_type"] == "Conv"


def test_layers_that_are_named_stay_in_floats_and_others_for_their_error(floats):
    made = quantize(floats, feeds(), keep=["conv_0"], threads=1)
    rows = {layer.name: layer for layer in made.report.layers}
    assert (rows["conv_0"].precision, rows["conv_0"].why) == ("fp32", "asked for")
    assert Counter(node.op_type for node in run_passes(read(made.proto)).nodes)["Conv"] == 1
    exact = quantize(floats, feeds(), layer_error=1e-9, threads=1)
    assert {layer.why for layer in exact.report.layers} == {"bytes would cost accuracy"} and exact.report.error < 1e-6


def test_layers_that_bytes_would_not_make_faster_stay_in_floats(floats, monkeypatch):
    from fastcnn.precision import select
    monkeypatch.setattr(select, "predicted", lambda node, x, w, threads: select.Predicted(1.0, 1.0 if node.name == "conv_3" else 0.5, 0.01))
    made = quantize(floats, feeds(), threads=1, faster_only=True)
    assert {layer.name: layer.why for layer in made.report.layers if layer.precision == "fp32"} == {"conv_3": "bytes would not be faster"}
    assert made.report.int8_ms == pytest.approx(1.0 + 6 * 0.5)


def test_a_bound_on_the_error_is_kept_with_as_many_layers_on_bytes_as_that_allows(floats, monkeypatch):
    from fastcnn.precision import select
    monkeypatch.setattr(select, "predicted", lambda node, x, w, threads: select.Predicted(1.0, 0.5, 0.01))
    free = quantize(floats, feeds(), threads=1)
    bound = free.report.error / 2
    made = quantize(floats, feeds(), max_error=bound, threads=1)
    count = sum(layer.precision == "int8" for layer in made.report.layers)
    assert made.report.error <= bound and 0 < count < 7
    assert quantize(floats, feeds(), max_error=1e-7, threads=1).report.error <= 1e-6


@pytest.mark.parametrize("kernel, strides", [(2, 2), (3, 2), (4, 2), (3, 1)])
def test_transposed_convolutions_run_on_bytes_and_what_joins_them_too(kernel, strides):
    """A step of U-Net: smaller, larger again, joined with what was there before."""
    net = Network(7)
    skip = net.op("Relu", net.conv("x", 8, 3))
    y = net.op("Relu", net.conv(net.op("MaxPool", skip, kernel_shape=[2, 2], strides=[2, 2]) if strides == 2 else skip, 12, 8))
    w = net.constant(net.rng.standard_normal((12, 8, kernel, kernel)) * 0.2)
    pads, extra = [kernel // 2 if strides == 1 else (kernel - 1) // 2] * 4, kernel % 2 if strides == 2 else 0
    bias = net.constant(net.rng.standard_normal(8))
    y = net.op("ConvTranspose", y, w, bias, strides=[strides] * 2, pads=pads, output_padding=[extra] * 2)
    proto = net.model(net.conv(net.op("Concat", net.op("Relu", y), skip, axis=1), 4, 16))
    made = quantize(proto, feeds(), threads=1, layer_error=1.0)
    kinds = Counter(node.op_type for node in run_passes(read(made.proto)).nodes)
    assert not {"Conv", "ConvTranspose", "Relu"} & kinds.keys(), kinds
    assert kinds["QConv"] == 3 and kinds["QConvTranspose"] == 1
    assert {layer.op_type: layer.precision for layer in made.report.layers} == {"Conv": "int8", "ConvTranspose": "int8"}
    fed = feeds(1, seed=9)[0]
    ours = run(made.proto, fed)
    assert relative(ours, run(proto, fed)) < 0.05
    assert relative(onnxruntime_run(made.proto, fed)[0], ours) < 0.02


def test_volumes_run_on_bytes_where_there_is_a_form() -> None:
    """Over three axes: not in groups, nor dilated in depth."""
    net = Network(11)

    def volume(x: str, kernel: tuple[int, int, int], group: int = 1, dilations: tuple[int, int, int] = (1, 1, 1)) -> str:
        w = net.constant(net.rng.standard_normal((8, 8 // group, *kernel)) * 0.1)
        pads = [d * (k // 2) for k, d in zip(kernel, dilations)]
        return net.op("Conv", x, w, net.constant(net.rng.standard_normal(8)), pads=pads * 2, group=group, dilations=list(dilations))

    x = net.op("Relu", volume("x", (3, 3, 3)))
    y = net.op("Relu", net.op("Add", volume(x, (3, 1, 1)), x))
    z = net.op("Relu", volume(y, (3, 3, 3), dilations=(2, 1, 1)))
    proto = net.model(volume(volume(y, (1, 3, 3), dilations=(1, 2, 2)), (3, 3, 3)), volume(z, (3, 3, 3), group=2), shape=(1, 8, 5, 9, 9))
    data = [{"x": np.random.default_rng(k).standard_normal((1, 8, 5, 9, 9)).astype(np.float32)} for k in range(3)]
    made = fastcnn.quantize(proto, data, threads=1, layer_error=1.0, faster_only=False)
    assert [layer.precision for layer in made.report.layers] == ["int8", "int8", "fp32", "int8", "int8", "fp32"]
    ours, floats = (fastcnn.load(each, threads=1).run(None, data[0]) for each in (made.proto, proto))
    for got, exact, other in zip(ours, floats, onnxruntime_run(made.proto, data[0])):
        assert relative(got, exact) < 0.1 and relative(other, got) < 0.03


def test_a_volume_is_predicted_as_one_convolution_a_depth(level: str) -> None:
    """It is floats where nothing multiplies bytes in one instruction."""
    times = []
    for extents, kernel, x in (((1, 1), (3, 3, 3), (1, 16, 6, 14, 14)), ((), (3, 3), (4, 48, 14, 14))):
        weights = (32, 16 if extents else 48, *kernel)
        node = Node("Conv", ("x", "w"), ("y",), {"pads": [0, 1, 1, 0, 1, 1] if extents else [1, 1, 1, 1]})
        times.append(predicted(node, x, weights, 1))
    assert times[0].floats_ms == times[1].floats_ms
    assert times[0].bytes_ms == (times[1].bytes_ms if has_dots() else times[0].floats_ms)


@pytest.mark.parametrize("op_type", ["Conv", "ConvTranspose"])
def test_bias_correction_brings_means_of_outputs_back(op_type):
    """Weights that are rounded coarsely, inputs that are not zero on average."""
    net = Network(3)
    w = net.rng.standard_normal((4, 8, 1, 1))
    w[:, 0] *= 60                                           # one weight sets the scale of each row: the others are rounded to few levels
    if op_type == "Conv":
        y = net.op("Conv", "x", net.constant(w))
    else:                                                   # the same weight at each of four positions
        y = net.op("ConvTranspose", "x", net.constant(np.tile(w.swapaxes(0, 1), (1, 1, 2, 2))), strides=[2, 2])
    proto = net.model(y, shape=(1, 8, 6, 6))
    data = [{"x": fed["x"] * 0.2 + np.linspace(0, 3, 8, dtype=np.float32).reshape(1, 8, 1, 1)} for fed in feeds(8, shape=(1, 8, 6, 6))]
    drift = {}
    for correct in (False, True):
        made = quantize(proto, data, correct_bias=correct, layer_error=1.0, threads=1)
        assert made.report.layers[0].precision == "int8"
        off = [run(made.proto, fed) - run(proto, fed) for fed in data]
        drift[correct] = np.abs(np.mean(off, (0, 1, 3, 4))).max()
    assert drift[True] < drift[False] / 3


def test_equalisation_keeps_the_function_and_makes_channels_alike():
    net = Network(5)
    x = net.op("Relu", net.conv("x", 12, 3))
    y = net.op("Relu", net.conv(x, 12, 12, group=12))
    net.constants["c0"] *= np.geomspace(0.01, 50, 12).astype(np.float32).reshape(-1, 1, 1, 1)
    before = prepared(read(net.model(net.conv(y, 7, 12, 1))))
    after = equalised(before)
    fed = feeds(1)[0]
    (a,), (b,) = (list(evaluate_graph(graph, fed).values()) for graph in (before, after))
    np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-4 * np.abs(a).max())
    one, two, three = (np.abs(rows(node, after.constants[node.inputs[1]])) for node in after.nodes if node.op_type == "Conv")
    np.testing.assert_allclose(one.max(1), two.max(1), rtol=0.02)
    np.testing.assert_allclose(two.max(1), three.max(0), rtol=0.02)


def test_values_that_are_read_as_floats_too_and_outputs_keep_their_names():
    """An output in the middle, a Softmax beside a convolution: both read what the bytes stand for."""
    net = Network(7)
    x = net.op("Relu", net.conv("x", 8, 3))
    y = net.conv(x, 8, 8)
    proto = net.model(x, net.op("Softmax", y, axis=1), net.conv(y, 4, 8))
    made = quantize(proto, feeds(), threads=1)
    assert [info.name for info in made.proto.graph.output] == [info.name for info in proto.graph.output]
    fed = feeds(1, seed=4)[0]
    for y, exact in zip(fastcnn.load(made.proto).run(None, fed), fastcnn.load(proto).run(None, fed)):
        assert relative(y, exact) < 0.06


def test_older_models_are_raised_and_metadata_is_kept():
    net = Network(8)
    proto = net.model(net.op("Relu", net.conv("x", 8, 3)), opset=9)
    helper.set_model_props(proto, {"fastcnn.preprocess": "{}", "author": "somebody"})
    made = quantize(proto, feeds(), threads=1)
    assert made.proto.opset_import[0].version == 13 and made.proto.producer_name == "fastcnn"
    assert {entry.key: entry.value for entry in made.proto.metadata_props} == {"fastcnn.preprocess": "{}", "author": "somebody"}
    assert relative(onnxruntime_run(made.proto, feeds(1)[0])[0], run(proto, feeds(1)[0])) < 0.05


@pytest.mark.parametrize("opset", [13, 17, 19, 21])
def test_models_keep_a_later_opset(opset):
    net = Network(9)
    proto = net.model(net.op("Relu", net.conv("x", 8, 3)), opset=opset)
    made = quantize(proto, feeds(), threads=1)
    onnx.checker.check_model(made.proto, full_check=True)
    assert made.proto.opset_import[0].version == opset and made.report.layers[0].precision == "int8"
    assert relative(onnxruntime_run(made.proto, feeds(1)[0])[0], run(made.proto, feeds(1)[0])) < 0.02


def test_data_streams_by_once_and_is_not_kept(floats):
    images, most = [], 0

    class Image(np.ndarray):
        """An array that weak references see."""

    def stream():
        nonlocal most
        for fed in feeds(60):
            image = fed["x"].view(Image)
            images.append(weakref.ref(image))
            yield image
            del image
            most = max(most, sum(image() is not None for image in images))
    calls = []
    quantize(floats, stream(), threads=1, progress=lambda *call: calls.append(call))
    assert most <= 3
    assert [call for call in calls if call[0] == "calibration"] == [("calibration", k, None) for k in range(1, 61)]
    calls.clear()
    quantize(floats, [fed["x"] for fed in feeds(3)], threads=1, progress=lambda *call: calls.append(call))
    assert calls[:3] == [("calibration", k, 3) for k in (1, 2, 3)] and calls[-1][0] == "layers"


def test_one_array_is_fed_image_by_image():
    net = Network()
    proto = net.model(residual(net), shape=(1, 3, 16, 16))
    images = np.concatenate([fed["x"] for fed in feeds(3)])
    assert quantize(proto, images, threads=1).report.samples == 6


@pytest.mark.parametrize("options, words", [
    ({"method": "best"}, "method='best'"), ({"activations": "int4"}, "activations='int4'"), ({"keep": ["nobody"]}, "no node 'nobody'"),
    ({"max_error": -1}, "max_error=-1"), ({"data": []}, "nothing to calibrate with"), ({"data": 3}, "got int"),
    ({"data": {"x": np.zeros(SHAPE)}}, "got dict"), ({"data": "folder"}, "got str")], ids=str)
def test_options_without_meaning_are_refused(floats, options, words):
    with pytest.raises(fastcnn.ConfigurationError, match=words):
        quantize(floats, **{"data": feeds(1), **options})


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_data_that_is_no_number_is_refused(floats, number):
    """The network would be calibrated with what the other feeds leave, and its error not be seen."""
    data = feeds()
    data[1]["x"].reshape(-1)[3] = number
    with pytest.raises(fastcnn.ConfigurationError, match="data: feed 1: input 'x' holds NaN or infinite numbers"):
        fastcnn.quantize(floats, data)


def test_data_of_one_number_is_warned_of(floats):
    with pytest.warns(RuntimeWarning, match="the same number everywhere"):
        fastcnn.quantize(floats, [{"x": np.full(SHAPE, 0.5, np.float32)}])


def test_a_model_without_products_is_written_as_it_is():
    net = Network()
    made = quantize(net.model(net.op("Relu", "x")), feeds(1), threads=1)
    assert [node.op_type for node in made.proto.graph.node] == ["Relu"] and made.report.layers == () and made.report.error == 0


@pytest.mark.parametrize("method", ["minmax", "mse"])
def test_the_trained_digits_are_told_apart_as_before(method):
    archive = np.load(TRAINED / "digits.npz")
    x = (archive["images"].reshape(-1, 1, 8, 8) / 16).astype(np.float32)
    made = quantize(TRAINED / "digits.onnx", (x[k:k + 8] for k in range(0, 24, 8)), method=method, threads=1)
    assert (run(made.proto, {made.graph.inputs[0].name: x}).argmax(1) == archive["labels"]).all()
    assert {layer.precision for layer in made.report.layers} == {"int8"}
