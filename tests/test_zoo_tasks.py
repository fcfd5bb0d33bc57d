"""Networks for segmentation, detection, captions, faces and video: published figures, sane activations, the same outputs as onnxruntime."""
from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from torchvision_import import torchvision_or_skip
from zoo_helper import RTOL, agrees, check_published, counted, native

import fastcnn
import models
from models import __main__ as command
from models.builder import Builder
from models.resnet import resnet50
from models.tasks import TASKS

# What the tests run: the same layers, fewer channels or pixels
REDUCED: dict[str, dict[str, Any]] = {
    "enet":                 {"size": (72, 96)},
    "fcn32s":               {"size": (64, 96), "width": 1 / 16},
    "fcn16s":               {"size": (64, 96), "width": 1 / 16},
    "fcn8s":                {"size": (65, 97), "width": 1 / 16},
    "fcn_resnet50":         {"size": (64, 96), "width": 1 / 4},
    "context_basic":        {},
    "context_large":        {"size": (24, 32)},
    "dilation8":            {"size": (404, 420), "width": 1 / 16},
    "farabet":              {"size": (64, 96)},
    "ssd300_vgg16":         {"width": 1 / 8, "raw": True, "classes": 21},
    "faster_rcnn_vgg16":    {"size": (128, 160), "width": 1 / 8},
    "deformable_resnet50":  {"size": (64, 96), "width": 1 / 4},
    "deformable_resnet101": {"size": (64, 96), "width": 1 / 4},
    "neuraltalk2":          {"size": (64, 64), "width": 1 / 8, "units": 64, "vocabulary": 200},
    "deepface":             {"size": (88, 92), "width": 1 / 4, "people": 50},
    "image_filters":        {"size": (64, 88)},
    "c3d":                  {"size": (16, 48, 56), "width": 1 / 8},
    "r3d_18":               {"size": (8, 56, 48), "width": 1 / 4},
}
# Where ours differs from the figure published, and why
DIFFERS = {
    ("enet", "params"): "0.37 M with the running statistics of BatchNormalization",
    ("fcn32s", "params"): "the paper leaves out the transposed convolution, which starts as bilinear interpolation",
    ("fcn16s", "params"): "the paper leaves out the transposed convolutions, which start as bilinear interpolation",
    ("context_basic", "params"): "64 C^2 in the paper, without the 8 C biases",
    ("c3d", "macs"): "OpenMMLab adds one for every number that a convolution adds its bias to and that ReLU and pooling read",
    ("enet", "macs"): "3.83 GFLOPs in the paper, 3.45 here at two a product: the paper does not say what else it counts",
}

def built(name: str, **options: Any) -> onnx.ModelProto:
    return models.build(name, **{"seed": 1, **REDUCED[name], **options})


def image(name: str, batch: int = 1, seed: int = 0) -> np.ndarray:
    builder = TASKS[name]
    shape = (batch, builder.input[0], *REDUCED[name].get("size", builder.input[1:]))
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def reference(model: onnx.ModelProto, *, optimize: bool = True) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    if not optimize:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def agree(ours: list[np.ndarray], expected: list[np.ndarray]) -> None:
    assert len(ours) == len(expected)
    for y, other in zip(ours, expected):
        assert y.shape == other.shape and y.dtype == other.dtype
        if y.dtype == np.float32:
            assert np.isfinite(y).all()
            assert np.abs(y - other).max(initial=0) <= RTOL * np.abs(other).max(initial=0)
        else:
            np.testing.assert_array_equal(y, other)


def agree_detections(ours: list[np.ndarray], expected: list[np.ndarray]) -> None:
    """The same boxes with the same labels; two scores that rounding cannot tell apart may come in either order."""
    boxes, scores, labels, *_ = ours
    agree([np.sort(scores), *ours[3:]], [np.sort(expected[1]), *expected[3:]])
    assert boxes.shape == expected[0].shape and labels.shape == expected[2].shape
    apart = np.abs(boxes[:, None] - expected[0]).max(2) / np.abs(expected[0]).max(initial=1) + (labels[:, None] != expected[2])
    assert (apart.min(0, initial=np.inf) <= RTOL).all() and (apart.min(1, initial=np.inf) <= RTOL).all()


# ---- parameters and MACs ----


@pytest.mark.parametrize("name", TASKS)
def test_task_counts_as_published(name):
    check_published(name, counted(name), DIFFERS)


def test_enet_with_running_statistics_has_the_published_size():
    graph = models.build("enet", weights=False).graph
    statistics = sum(t.dims[0] for t in graph.initializer if t.name.endswith(("running_mean", "running_var")))
    assert agrees(counted("enet").params + statistics, TASKS["enet"].params)


def test_fcn_resnet50_with_auxiliary_head_counts_as_torchvision_publishes():
    ours = counted("fcn_resnet50", aux=True)
    assert ours.params == 35_322_218 and agrees(ours.macs, 152_717_000_000)


def test_fcn_on_vgg_is_vgg16_and_the_score_layers():
    vgg = 14_714_688 + (512 * 49 * 4096 + 4096) + (4096 * 4096 + 4096)
    score = 4096 * 21 + 21
    assert agrees(vgg + score, TASKS["fcn32s"].params)
    assert counted("fcn32s").params == vgg + score + 21 * 21 * 64 * 64
    assert counted("fcn16s").params == vgg + score + (512 * 21 + 21) + 21 * 21 * (4 * 4 + 32 * 32)
    assert counted("fcn8s").params == vgg + score + (512 * 21 + 21) + (256 * 21 + 21) + 21 * 21 * (2 * 4 * 4 + 16 * 16)


def test_context_modules_have_the_parameters_of_the_paper():
    """64 C^2 without biases; the large one by its table: 2C 2C 4C 8C 16C 32C 32C C."""
    c = 21
    assert counted("context_basic").params == TASKS["context_basic"].params + 8 * c == 64 * c**2 + 8 * c
    widths = [1, 2, 2, 4, 8, 16, 32, 32]
    products = sum(9 * a * b for a, b in pairwise(widths)) + 32
    assert counted("context_large").params == products * c**2 + (sum(widths[1:]) + 1) * c


def test_dilation8_is_vgg16_and_the_large_module():
    vgg = 14_714_688 + (512 * 49 * 4096 + 4096) + (4096 * 4096 + 4096) + (4096 * 21 + 21)
    assert counted("dilation8").params == vgg + counted("context_large").params


def test_faster_rcnn_is_vgg16_proposals_and_two_heads():
    proposals = (512 * 9 * 512 + 512) + (512 * 18 + 18) + (512 * 36 + 36)
    heads = (512 * 49 * 4096 + 4096) + (4096 * 4096 + 4096) + (4096 * 21 + 21) + (4096 * 84 + 84)
    assert counted("faster_rcnn_vgg16").params == 14_714_688 + proposals + heads
    assert 0 < 548_317_115 - 4 * counted("faster_rcnn_vgg16").params < 5000         # the authors' file, with its names


def test_deformable_resnet_is_resnet_offsets_and_head():
    resnet = models.NETWORKS["resnet50"]
    assert resnet.function is resnet50
    extra = 3 * (512 * 9 * 72 + 72) + (2048 * 1024 + 1024) + (1024 * 21 + 21) - (2048 * 1000 + 1000)
    assert counted("deformable_resnet50").params == resnet.params + extra


def test_neuraltalk2_counts_image_network_and_language_model():
    """What its layers hold: VGG-16 but its last layer, an embedding; two linear maps of the LSTM, decoder and words."""
    image_network = 138_357_544 - 4_097_000 + (4096 * 512 + 512)
    language = 2 * (512 * 2048 + 2048) + (512 * 9568 + 9568) + 9568 * 512
    ours = counted("neuraltalk2")
    assert (image_network, language) == (136_358_208, 11_908_448)
    assert ours.params == image_network + language
    step = 4 * 512 * (512 + 512)
    assert ours.macs == 15_470_264_320 - 4_096_000 + 4096 * 512 + 17 * step + 16 * 512 * 9568


def test_c3d_with_bias_relu_and_pooling_counts_as_published():
    maps = {64: 16 * 112 * 112, 128: 16 * 56 * 56, 256: 8 * 28 * 28, 512: 4 * 14 * 14}
    last = 512 * 2 * 7 * 7
    convolved = sum(channels * pixels * (2 if channels > 128 else 1) for channels, pixels in maps.items()) + 2 * last
    pooled = sum(channels * pixels for channels, pixels in maps.items()) + last
    assert counted("c3d").macs + 2 * convolved + pooled + 2 * 4096 == TASKS["c3d"].macs


@pytest.mark.parametrize("name, options, params", [
    ("c3d", {"classes": 487}, 79_991_015),           # Sports-1M
    ("deepface", {"people": 8631}, 137_774_071),     # VGGFace2, as the open copy of the network counts
])
def test_task_with_other_classes_counts_as_published(name, options, params):
    assert counted(name, **options).params == params


def test_farabet_shares_its_weights_between_scales():
    stages = (10 * 49 + 10) + (6 * 2 * 49 + 6) + (64 * 8 * 49 + 64) + (256 * 32 * 49 + 256)
    blur = 3 * 25                   # fixed, but a weight of a convolution to whoever reads the file
    assert counted("farabet").params == stages + (768 * 8 + 8) + blur


# ---- outputs ----


@native
@pytest.mark.parametrize("name", TASKS)
def test_task_agrees_with_onnxruntime(name):
    batch = 1 if TASKS[name].single else 2
    proto = built(name, batch=1 if batch == 1 else "N")
    onnx.checker.check_model(proto, full_check=True)
    x = image(name, batch)
    expected = reference(proto).run(None, {"x": x})
    with fastcnn.load(proto, threads=2) as model:
        ours = model.run(None, {"x": x})
        assert not model.fallback_nodes
    (agree_detections if TASKS[name].single else agree)(ours, expected)
    with fastcnn.load(proto, threads=1) as model:
        for y, other in zip(model.run(None, {"x": x}), ours):
            np.testing.assert_array_equal(y, other)


@pytest.mark.parametrize("name", TASKS)
def test_task_has_sane_activations(name):
    """Every convolution and matrix product gives numbers of order one, and the output depends on the input."""
    proto = built(name)
    heads = ("rpn_bbox_pred", "head.")
    names = [n.output[0] for n in proto.graph.node if n.op_type in ("Conv", "Gemm", "MatMul", "ConvTranspose", "DeformConv")
             and not n.output[0].startswith(heads)]
    declared = {v.name for v in proto.graph.output}
    proto.graph.output.extend(onnx.helper.make_empty_tensor_value_info(v) for v in names if v not in declared)
    session = reference(proto, optimize=False)
    values = dict(zip([v.name for v in session.get_outputs()], session.run(None, {"x": image(name)})))
    for value in names:
        assert 0.05 < values[value].std() < 15, value
    other = dict(zip([v.name for v in session.get_outputs()], session.run(None, {"x": image(name, seed=5)})))
    assert any(values[y].shape != other[y].shape or (values[y] != other[y]).any() for y in declared)


@pytest.mark.parametrize("opset", range(13, onnx.defs.onnx_opset_version() + 1))
def test_task_every_opset(opset):
    for name, builder in TASKS.items():
        if opset >= builder.opset and name in ("enet", "farabet", "ssd300_vgg16", "faster_rcnn_vgg16", "neuraltalk2", "deepface"):
            proto = built(name, opset=opset)
            assert proto.opset_import[0].version == opset
            onnx.checker.check_model(proto, full_check=True)


@native
def test_faster_rcnn_finds_as_many_boxes_as_the_image_has():
    proto = built("faster_rcnn_vgg16")
    session, counts = reference(proto), set()
    with fastcnn.load(proto) as model:
        for seed in range(3):
            x = image("faster_rcnn_vgg16", seed=seed) * (1 + seed)
            ours = model.run(None, {"x": x})
            agree_detections(ours, session.run(None, {"x": x}))
            counts.add(len(ours[0]))
    assert len(counts) > 1


@native
def test_neuraltalk2_says_different_things_about_different_images():
    proto = built("neuraltalk2", seed=0, batch="N")
    x = image("neuraltalk2", 3)
    with fastcnn.load(proto) as model:
        words, logs = model.run(None, {"x": x})
        alone = np.concatenate([model.run(None, {"x": one[None]})[0] for one in x], axis=1)
    assert words.shape == logs.shape == (16, 3) and words.max() <= 200 and (logs <= 0).all()
    assert len({tuple(caption) for caption in words.T}) > 1 and len(set(words[:, 0])) > 5
    np.testing.assert_array_equal(words, alone)


# ---- torchvision ----


def torch_outputs(network: Any, x: np.ndarray) -> Any:
    torch = pytest.importorskip("torch")
    with torch.no_grad():
        return network.eval()(torch.from_numpy(x))


def numpy_state(network: Any) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in network.state_dict().items()}


@native
def test_fcn_resnet50_with_torchvision_state_computes_the_same():
    network = torchvision_or_skip().models.segmentation.fcn_resnet50(weights=None, weights_backbone=None, aux_loss=True)
    learnt = {name: p.numel() for name, p in network.named_parameters()}
    assert sum(n for name, n in learnt.items() if not name.startswith("aux_classifier.")) == TASKS["fcn_resnet50"].params
    x = image("fcn_resnet50")
    expected = torch_outputs(network, x)
    model = fastcnn.load(models.build("fcn_resnet50", state=numpy_state(network), size=(64, 96), aux=True))
    agree(model.run(["y", "aux"], {"x": x}), [expected["out"].numpy(), expected["aux"].numpy()])


@native
def test_r3d_18_with_torchvision_state_computes_the_same():
    network = torchvision_or_skip().models.video.r3d_18(weights=None)
    x = image("r3d_18")
    model = fastcnn.load(models.build("r3d_18", state=numpy_state(network), size=(8, 56, 48)))
    agree([model(x)], [torch_outputs(network, x).numpy()])


@native
def test_ssd300_with_torchvision_state_sees_the_same():
    """Both heads on torchvision's features, and the boxes they stand for on its default boxes."""
    detection = torchvision_or_skip().models.detection
    network = detection.ssd300_vgg16(weights=None, weights_backbone=None).eval()
    x = image("ssd300_vgg16")
    expected = network.head(list(torch_outputs(network.backbone, x).values()))
    model = fastcnn.load(models.build("ssd300_vgg16", state=numpy_state(network), raw=True))
    logits, deltas, boxes = model.run(["cls_logits", "bbox_regression", "decoded.boxes"], {"x": x})
    agree([logits, deltas], [expected[name].detach().numpy() for name in ("cls_logits", "bbox_regression")])
    torch = pytest.importorskip("torch")
    image_list = detection.image_list.ImageList(torch.from_numpy(x), [(300, 300)])
    features = [torch.zeros(1, 1, grid, grid) for grid in (38, 19, 10, 5, 3, 1)]
    anchors = network.anchor_generator(image_list, features)[0]
    decoded = network.box_coder.decode_single(expected["bbox_regression"][0].detach(), anchors).clamp(0, 300)
    agree([boxes[0]], [decoded.numpy()])


# ---- what is refused, and the command line ----


@pytest.mark.parametrize("arguments, message", [
    ({"name": "ssd300_vgg16", "batch": 2}, "ssd300_vgg16: batch 2 not supported"),
    ({"name": "faster_rcnn_vgg16", "batch": "N"}, "faster_rcnn_vgg16: batch 'N' not supported"),
    ({"name": "deformable_resnet50", "opset": 18}, r"deformable_resnet50: opset 18 not supported \(at least 19\)"),
])
def test_task_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        models.build(**arguments, weights=False)


def test_command_lists_every_network(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["models", "list"])
    command.main()
    rows = {row.split()[0]: row.split() for row in capsys.readouterr().out.splitlines()[1:]}
    assert list(rows) == list(models.NETWORKS)
    assert rows["r3d_18"][1:6] == ["3x16x112x112", "33,371,472", "33,371,472", "40,696,553,472", "40,697,000,000"]


def test_command_builds_single_images_where_batches_are_not_taken(tmp_path, monkeypatch):
    small = Builder(lambda net, x: TASKS["ssd300_vgg16"].function(net, x, width=1 / 16), (3, 300, 300), None, None, None, "", single=True)
    monkeypatch.setitem(models.NETWORKS, "small_ssd", small)
    monkeypatch.setattr("sys.argv", ["models", "build", "small_ssd", str(tmp_path / "ssd.onnx")])
    command.main()
    graph = onnx.load(tmp_path / "ssd.onnx").graph
    assert graph.input[0].type.tensor_type.shape.dim[0].dim_value == 1
    assert [v.name for v in graph.output] == ["boxes", "scores", "labels"]
