"""Networks that classify, find joints or choose an action: published figures, sane activations, the same outputs as onnxruntime."""
from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from torchvision_import import torchvision_or_skip
from zoo_classifiers import REDUCED
from zoo_helper import RTOL, check_published, counted, native

import fastcnn
import models
from models.__main__ import table
from models.classifiers import CLASSIFIERS
from models.count import Count
from models.layers import extents
from models.writer import Writer

# Where ours differs from the figure published, and why
DIFFERS = {
    ("cs231n_cifar", "params"): "the page says 7000; ten channels a layer are 6,440",
    ("googlenet", "macs"): "the paper's table gives its first convolution 34 M instead of 118 M",
    ("efficientnet_b8", "macs"): "timm adds two for each of the 443 M numbers that BatchNormalization gives: 63.48 G",
    ("pnasnet5_mobile", "macs"): "588 M in the paper, 587.3 M here: the paper does not say what it counts besides products",
    ("amoebanet_d_18_416", "params"): "318 M in GPipe's table; torchgpipe counts 319.0 M as we do",
    ("deeppose", "params"): "the paper says about 40 M; the layers it lists have 58.4 M",
}

def built(name: str, **options: Any) -> onnx.ModelProto:
    return models.build(name, **{"seed": 1, **REDUCED[name], **options})


def images(name: str, batch: int, size: tuple[int, ...] | None = None) -> np.ndarray:
    builder = CLASSIFIERS[name]
    shape = (batch, builder.input[0], *(size or REDUCED[name].get("size", builder.input[1:])))
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


def reference(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def agree(y: np.ndarray, expected: np.ndarray) -> None:
    assert y.shape == expected.shape and y.dtype == expected.dtype
    assert np.abs(y - expected).max() <= RTOL * np.abs(expected).max()


# ---- parameters and MACs ----


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifier_counts_as_published(name):
    check_published(name, counted(name), DIFFERS)


def test_alexnet_first_layer_is_55x55x96_of_34944_parameters():
    net = Writer("alexnet", None)
    models.NETWORKS["alexnet"].function(net, net.input("x", (1, 3, 227, 227)))
    shapes = {t.name: tuple(t.dims) for t in net.graph.initializer}
    assert (net.channels["conv1"], *extents(net, "conv1")) == (96, 55, 55)
    assert prod(shapes["conv1.weight"]) + prod(shapes["conv1.bias"]) == 34_944
    assert shapes["conv2.weight"] == (256, 48, 5, 5)            # two groups
    assert sum(node.op_type == "LRN" for node in net.graph.node) == 2


@pytest.mark.parametrize("name, millions", [
    ("vgg11", 133), ("vgg11_lrn", 133), ("vgg13", 133), ("vgg16_c", 134), ("vgg16", 138), ("vgg19", 144)])
def test_vgg_has_the_millions_of_table_2(name, millions):
    assert round(counted(name).params / 1e6) == millions


@pytest.mark.parametrize("layers, filters, published", [
    (18, 208, "81.5M"), (18, 416, "319.0M"), (18, 544, "542.7M"), (36, 544, "1.06B"), (72, 512, "1.84B")])
def test_amoebanet_has_the_parameters_torchgpipe_counts(layers, filters, published):
    """GPipe's own table says 82M, 318M, 542M, 1.05B, 1.80B."""
    params = counted("amoebanet_d_18_208", layers=layers, filters=filters).params
    assert (f"{params / 1e6:.1f}M" if params < 1e9 else f"{params / 1e9:.2f}B") == published


def test_zfnet_has_the_maps_of_figure_3():
    net = Writer("zfnet", None)
    models.NETWORKS["zfnet"].function(net, net.input("x", (1, 3, 224, 224)))
    maps = {name: (*extents(net, name), net.channels[name]) for name in ("conv1", "maxpool_0", "conv2", "maxpool_1", "conv5", "maxpool_2")}
    assert list(maps.values()) == [(110, 110, 96), (55, 55, 96), (26, 26, 256), (13, 13, 256), (13, 13, 256), (6, 6, 256)]


def test_neocognitron_has_the_cells_of_the_paper():
    """S1 16x16x24, C1 10x10x24, S2 8x8x24, C2 6x6x24, S3 2x2x24, C3 1x1x24."""
    net = Writer("neocognitron", None)
    models.NETWORKS["neocognitron"].function(net, net.input("x", (1, 1, 16, 16)))
    cells = [name for layer in range(3) for name in (f"s{layer + 1}", f"lppool_{layer}")]
    assert [extents(net, name) for name in cells] == [(16, 16), (10, 10), (8, 8), (6, 6), (2, 2), (1, 1)]
    assert {net.channels[name] for name in cells} == {24}
    assert counted("neocognitron").params == 24 * 25 + 2 * 24 * 24 * 25 + 3 * 24 + (25 + 24 * 25)


def test_plain34_is_resnet34_without_projections():
    projections = sum(ic * 2 * ic + 2 * 2 * ic for ic in (64, 128, 256))
    assert counted("plain34").params == counted("resnet34").params - projections
    assert not any(node.op_type == "Add" for node in models.build("plain34", weights=False).graph.node)


def test_deeppose_cascade_is_two_regressors_one_of_them_for_every_joint():
    one = counted("deeppose")
    assert counted("deeppose_cascade") == Count(2 * one.params, (1 + 14) * one.macs)


def test_dqn_layers_sum_up():
    assert counted("dqn").params == 8_224 + 32_832 + 36_928 + 1_606_144 + 9_234
    assert counted("dqn_2013").params == 4_112 + 8_224 + (2592 * 256 + 256) + (256 * 18 + 18)


def test_readme_has_the_rows_that_the_command_writes():
    text = (Path(models.__file__).parent / "README.md").read_text()
    assert text.split("<!-- networks -->\n")[1].split("<!-- end of networks -->")[0].splitlines() == table()


# ---- outputs ----


@native
@pytest.mark.parametrize("name", REDUCED)
def test_classifier_agrees_with_onnxruntime_and_has_sane_activations(name):
    """The same outputs, which depend on the input; numbers of order one after every convolution, product and normalization."""
    proto = built(name, batch="N")
    onnx.checker.check_model(proto, full_check=True)
    x = images(name, 2)
    with fastcnn.load(proto, threads=2) as model:
        assert not model.fallback_nodes
        ours = model.run(None, {"x": x})
    with fastcnn.load(proto, threads=1) as model:
        for y, other in zip(model.run(None, {"x": x}), ours):
            np.testing.assert_array_equal(y, other)
    declared = len(proto.graph.output)
    inside = [n.output[0] for n in proto.graph.node if n.op_type in ("Conv", "Gemm", "MatMul", "BatchNormalization") and n.output[0] != "y"
              and not n.output[0].endswith(".v")]  # the inhibition of a Neocognitron is small where little is seen
    proto.graph.output.extend(onnx.helper.make_empty_tensor_value_info(value) for value in inside)
    values = reference(proto).run(None, {"x": x})
    assert len(ours) == declared
    for y, expected in zip(ours, values):
        agree(y, expected)
        assert np.isfinite(y).all()
        assert 0.05 < y.std() < 10
        assert np.abs(y[0] - y[1]).max() > 0.01
    for value, y in zip(inside, values[declared:]):
        assert 0.03 < y.std() < 20, value


@pytest.mark.parametrize("opset", range(13, onnx.defs.onnx_opset_version() + 1))
def test_classifier_every_opset(opset):
    for name in ("neocognitron", "shufflenet_v2_x0_5", "pnasnet5_mobile", "efficientnet_b0", "mobilenet_v3_small", "convnext_tiny",
                 "deeppose_cascade"):
        if opset >= CLASSIFIERS[name].opset:
            proto = models.build(name, opset=opset, weights=False, **REDUCED[name])
            assert proto.opset_import[0].version == opset
            onnx.shape_inference.infer_shapes(proto, strict_mode=True)
        else:
            with pytest.raises(ValueError, match=f"{name}: opset {opset} not supported"):
                models.build(name, opset=opset)


@pytest.mark.parametrize("options", [{"layers": 7}, {"filters": 40}])
def test_amoebanet_refuses(options):
    with pytest.raises(ValueError, match="multiples of 3 and 16"):
        counted("amoebanet_d_18_208", **options)


@native
def test_deeppose_cascade_corrects_each_joint_by_what_lies_around_it():
    """By hand: the crop of one joint through the second regressor, whose numbers for that joint move it."""
    proto = built("deeppose_cascade")
    proto.graph.output.extend(onnx.helper.make_empty_tensor_value_info(v) for v in ("stage1.fc8", "stage2.fc8", "roialign_0"))
    with fastcnn.load(proto) as model:
        y, first, second, crops = model.run(["y", "stage1.fc8", "stage2.fc8", "roialign_0"], {"x": images("deeppose_cascade", 1)})
    pose = first.reshape(14, 2)
    side = 2 * np.linalg.norm(pose[9] - pose[2])                # of the crops, in images
    corrections = second.reshape(14, 14, 2)[np.arange(14), np.arange(14)]
    assert crops.shape == (14, 3, 124, 124)
    np.testing.assert_allclose(y[0], pose + side * corrections, rtol=0, atol=1e-5)


# ---- torchvision and timm ----


def meta(create: Any, name: str, **options: Any) -> Any:
    """The module without its weights: names, shapes and epsilons only."""
    torch = pytest.importorskip("torch")
    with torch.device("meta"):
        return create(name, **options)


def same_weights_and_epsilons(name: str, network: Any) -> None:
    torch = pytest.importorskip("torch")
    graph = models.build(name, weights=False).graph
    ours = {t.name: tuple(t.dims) for t in graph.initializer if t.dims and not t.raw_data}
    assert ours == {k: tuple(v.shape) for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")}
    norms = (torch.nn.BatchNorm2d, torch.nn.LayerNorm)
    assert {round(a.f, 9) for n in graph.node for a in n.attribute if a.name == "epsilon"} == \
        {m.eps for m in network.modules() if isinstance(m, norms)}


@pytest.mark.parametrize("name", [
    "vgg11", "vgg13", "vgg16", "vgg19", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext101_64x4d",
    "mobilenet_v3_small", "mobilenet_v3_large", "shufflenet_v2_x0_5", "shufflenet_v2_x1_0", "shufflenet_v2_x1_5", "shufflenet_v2_x2_0",
    *(f"efficientnet_b{k}" for k in range(8)), "convnext_tiny"])
def test_classifier_has_torchvisions_weights(name):
    same_weights_and_epsilons(name, meta(torchvision_or_skip().models.get_model, name, weights=None))


def test_inception_v3_has_torchvisions_weights():
    same_weights_and_epsilons("inception_v3_aux", meta(torchvision_or_skip().models.get_model, "inception_v3", weights=None,
                                                       init_weights=False))


@pytest.mark.parametrize("name, theirs", [("inception_v4", "inception_v4"), ("pnasnet5_large", "pnasnet5large")])
def test_classifier_has_timms_weights(name, theirs):
    torchvision_or_skip()  # timm imports it
    same_weights_and_epsilons(name, meta(pytest.importorskip("timm").create_model, theirs))


@native
@pytest.mark.parametrize("name, theirs", [
    ("mobilenet_v3_small", ""), ("mobilenet_v3_large", ""), ("shufflenet_v2_x1_0", ""), ("efficientnet_b0", ""), ("convnext_tiny", ""),
    ("inception_v3", ""), ("inception_v4", "inception_v4"), ("pnasnet5_large", "pnasnet5large")])
def test_classifier_computes_what_torchvision_or_timm_does(name, theirs):
    """Their module with our weights: drawing theirs takes longer than running them."""
    torch, torchvision = pytest.importorskip("torch"), torchvision_or_skip()
    if theirs:
        network = meta(pytest.importorskip("timm").create_model, theirs)
    else:
        network = meta(torchvision.models.get_model, name, weights=None, **({"init_weights": False} if name == "inception_v3" else {}))
    size = REDUCED[name]["size"]
    proto, x = models.build(name, size=size), images(name, 1, size)
    weights = {t.name: torch.from_numpy(onnx.numpy_helper.to_array(t).copy()) for t in proto.graph.initializer}
    network.load_state_dict({name: weights[name] for name in network.state_dict() if name in weights}, strict=False, assign=True)
    with torch.no_grad():
        expected = network.eval()(torch.from_numpy(x)).numpy()
    with fastcnn.load(proto) as model:
        agree(model(x), expected)
