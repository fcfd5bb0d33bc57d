"""Resize and Upsample as models of one node, against onnxruntime."""
from __future__ import annotations

import numpy as np
import pytest
from graph_helper import model, onnxruntime_run
from onnx import helper
from single_node import check_native, single_node

import fastcnn

X = np.random.default_rng(0).standard_normal((2, 3, 7, 9)).astype(np.float32)
COORDINATES = ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric"]
SCALES = [(2.0, 3.0), (0.5, 0.7), (1.6, 0.8), (1.0, 2.5)]


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def resize(scales=None, sizes=None, roi=None, x=X, opset=19, **more):
    inputs = {"x": x, "roi": roi, "scales": None if scales is None else floats(1, 1, *scales)}
    if sizes is not None:
        inputs["sizes"] = np.array([*x.shape[:2], *sizes], np.int64)
    check_native("Resize", inputs, ["roi", "scales", "sizes"], opset=opset, **more)


@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize("scales", SCALES, ids=str)
@pytest.mark.parametrize("rounding", ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
def test_nearest(scales, coordinates, rounding):
    resize(scales, mode="nearest", coordinate_transformation_mode=coordinates, nearest_mode=rounding)


@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize("scales", SCALES, ids=str)
@pytest.mark.parametrize("mode", ["linear", "cubic"])
def test_interpolated(scales, coordinates, mode):
    resize(scales, mode=mode, coordinate_transformation_mode=coordinates)


@pytest.mark.parametrize("sizes", [(14, 18), (3, 20), (1, 1), (7, 9)], ids=str)
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("coordinates", COORDINATES[:3])
def test_sizes(sizes, mode, coordinates):
    resize(sizes=sizes, mode=mode, coordinate_transformation_mode=coordinates)


@pytest.mark.parametrize("scales", [(2.0, 1.5, 0.7), (1.0, 0.5, 3.0), (1.3, 1.0, 1.0)], ids=str)
@pytest.mark.parametrize("coordinates", ["half_pixel", "pytorch_half_pixel", "asymmetric"])
def test_cubic_in_three_axes(scales, coordinates):
    """onnxruntime has two; the reference evaluator any number."""
    x = np.random.default_rng(2).standard_normal((1, 2, 5, 6, 7)).astype(np.float32)
    check_native("Resize", {"x": x, "roi": None, "scales": floats(1, 1, *scales)}, ["scales"], opset=19, peer="onnx.reference",
                 mode="cubic", coordinate_transformation_mode=coordinates)


@pytest.mark.parametrize("a", [-0.75, -0.5])
@pytest.mark.parametrize("exclude", [0, 1])
def test_cubic_coefficient_and_outside(a, exclude):
    resize((1.7, 2.2), mode="cubic", cubic_coeff_a=a, exclude_outside=exclude)


@pytest.mark.parametrize("mode", ["linear", "cubic"])
@pytest.mark.parametrize("exclude", [0, 1])
@pytest.mark.parametrize("scales", [(0.5, 0.5), (0.3, 0.6), (0.45, 2.0)], ids=str)
def test_antialias(mode, scales, exclude):
    resize(scales, mode=mode, antialias=1, exclude_outside=exclude, rtol=2e-5)


def test_antialias_shrinks_a_lot():
    x = np.random.default_rng(1).random((1, 2, 200, 180), np.float32)
    resize((0.07, 0.05), x=x, mode="linear", antialias=1, rtol=2e-5)


@pytest.mark.parametrize("policy", ["not_larger", "not_smaller"])
def test_keep_aspect_ratio(policy):
    inputs = {"x": X, "roi": None, "scales": None, "sizes": np.array([11, 20], np.int64)}
    check_native("Resize", inputs, ["sizes"], opset=18, mode="linear", keep_aspect_ratio_policy=policy, axes=[2, 3])


@pytest.mark.parametrize("axes", [[2, 3], [3, 2], [3], [-2]], ids=str)
def test_axes(axes):
    inputs = {"x": X, "roi": None, "scales": floats(*[1.5, 2.0][:len(axes)])}
    check_native("Resize", inputs, ["scales"], opset=18, mode="linear", axes=axes)


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_crop_and_resize(mode):
    resize(sizes=(6, 8), roi=floats(0, 0, 0.2, -0.1, 1, 1, 0.9, 1.2), mode=mode, coordinate_transformation_mode="tf_crop_and_resize")


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_crop_and_resize_with_a_value(mode):
    resize(sizes=(6, 8), roi=floats(0, 0, 0.2, -0.1, 1, 1, 0.9, 1.2), mode=mode, coordinate_transformation_mode="tf_crop_and_resize",
           extrapolation_value=3.0)


def test_crop_and_resize_value_hides_what_is_not_finite():
    x = np.full((1, 2, 4, 4), np.nan, np.float32)
    proto = single_node("Resize", {"x": x, "roi": floats(0, 0, 1.5, 1.5, 1, 1, 2, 2), "scales": None, "sizes": np.array([1, 2, 3, 3])},
                        ["roi", "sizes"], mode="linear", coordinate_transformation_mode="tf_crop_and_resize", extrapolation_value=-2.5)
    y, = fastcnn.load(proto).run(None, {"x": x})
    assert (y == -2.5).all()


VOLUME = np.random.default_rng(2).standard_normal((2, 5, 4, 6, 7)).astype(np.float32)


@pytest.mark.parametrize("coordinates", COORDINATES[:4])
@pytest.mark.parametrize("scales", [(2.0, 2.0, 2.0), (0.5, 1.6, 1.0), (1.0, 1.0, 3.0), (2.5, 1.0, 1.0)], ids=str)
@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_three_axes(mode, scales, coordinates):
    resize(scales, x=VOLUME, mode=mode, coordinate_transformation_mode=coordinates)


def test_three_axes_crop_and_resize_with_a_value():
    resize(sizes=(3, 6, 8), x=VOLUME, roi=floats(0, 0, -0.2, 0.2, -0.1, 1, 1, 0.8, 0.9, 1.2), mode="linear", extrapolation_value=3.0,
           coordinate_transformation_mode="tf_crop_and_resize", peer="onnx.reference")      # onnxruntime crops height as depth


@pytest.mark.parametrize("opset", [11, 13, 18, 19])
def test_every_opset(opset):
    inputs = {"x": X, "roi": floats(), "scales": floats(1, 1, 2, 2)}
    check_native("Resize", inputs, ["roi", "scales"], opset=opset, mode="linear")


@pytest.mark.parametrize("scales", [(2.0, 3.0), (0.6, 0.5)], ids=str)
@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_resize_10(mode, scales):
    check_native("Resize", {"x": X, "scales": floats(1, 1, *scales)}, ["scales"], opset=10, mode=mode)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_upsample(mode):
    check_native("Upsample", {"x": X, "scales": floats(1, 1, 2, 3)}, ["scales"], opset=9, mode=mode)
    check_native("Upsample", {"x": X}, opset=7, mode=mode, scales=[1.0, 1.0, 2.0, 3.0])


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_one_axis(mode):
    inputs = {"x": X[:, :, 0], "roi": None, "scales": floats(1, 1, 2.3)}
    check_native("Resize", inputs, ["scales"], opset=13, mode=mode)


@pytest.mark.parametrize("channels", [1, 16, 33])
def test_channels(channels):
    x = np.random.default_rng(channels).random((1, channels, 20, 30), np.float32)
    for mode in ("nearest", "linear", "cubic"):
        resize((2.0, 2.0), x=x, mode=mode)


def test_sizes_computed_at_run_time():
    inputs = {"x": X, "roi": None, "scales": None, "sizes": np.array([2, 3, 10, 12], np.int64)}
    check_native("Resize", inputs, [], opset=13, mode="linear")


@pytest.mark.parametrize("shape, scales", [((2, 3, 7, 9), (1, 2, 2, 2)), ((2, 3, 7, 9), (1.5, 1, 1, 0.6)), ((4, 6), (2, 0.5)),
                                           ((9,), (1.7,)), ((2, 3, 2, 3, 2, 3), (1, 2, 1, 1, 1, 2)), ((5, 4, 3), (1, 1.5, 1))], ids=str)
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_any_axes(shape, scales, mode):
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    peer = "onnxruntime" if mode == "nearest" else "onnx.reference"
    check_native("Resize", {"x": x, "roi": None, "scales": floats(*scales)}, ["scales"], opset=19, mode=mode, peer=peer)
    if len(shape) == 4 and mode != "nearest":
        check_native("Resize", {"x": x, "roi": None, "scales": floats(*scales)}, ["scales"], opset=19, mode=mode, peer=peer, antialias=1)
        check_native("Resize", {"x": x, "roi": None, "scales": floats(*scales)}, ["scales"], opset=19, mode=mode, peer=peer,
                     exclude_outside=int(mode == "cubic"))


def test_channels_last_images():
    """What TensorFlow's converters write: the two axes in the middle."""
    x = np.ascontiguousarray(X.transpose(0, 2, 3, 1))
    check_native("Resize", {"x": x, "roi": None, "scales": floats(1, 2, 2.5, 1)}, ["scales"], opset=13, mode="linear")
    check_native("Resize", {"x": x, "roi": None, "scales": floats(2, 1.5)}, ["scales"], opset=18, mode="linear", axes=[1, 2],
                 peer="onnx.reference")


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("scales", [(2, 3), (0.5, 0.4)], ids=str)
@pytest.mark.parametrize("last", [True, False])
def test_after_a_convolution(mode, scales, last, isa):
    """Planes are made from the smaller side; between convolutions there are none."""
    nodes = [helper.make_node("Conv", ["x", "w"], ["a"]), helper.make_node("Resize", ["a", "", "s"], ["b"], mode=mode),
             helper.make_node("Conv", ["b", "w"], ["c"])]
    weights = np.random.default_rng(1).standard_normal((3, 3, 1, 1)).astype(np.float32)
    graph = model(nodes[:2] if last else nodes, {"x": X.shape}, ["b" if last else "c"], {"w": weights, "s": floats(1, 1, *scales)})
    wanted, = onnxruntime_run(graph, {"x": X})
    with fastcnn.load(graph, threads=2) as loaded:
        got, = loaded.run(None, {"x": X})
        stage, = next(iter(loaded._default.plans.values())).stages
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)
    assert ("resize_planes" in [step.kind for step in stage.steps]) == (last and scales[0] > 1)


def test_neither_scales_nor_sizes_is_refused():
    with pytest.raises(fastcnn.FastCNNError, match="node"):
        fastcnn.load(single_node("Resize", {"x": X, "roi": None, "scales": floats()}, ["scales"], opset=13))


@pytest.mark.parametrize("scale", [3e38, 1e19, np.inf, np.nan, -1.0])
@pytest.mark.parametrize("known_at_load", [True, False])
def test_scales_that_make_no_extent_are_refused(scale, known_at_load, caplog):
    inputs = {"x": X, "roi": None, "scales": floats(1, 1, 2, scale)}
    proto = single_node("Resize", inputs, ["scales"] if known_at_load else [], opset=13)
    with pytest.raises(fastcnn.FastCNNError, match="node"):
        fastcnn.load(proto).run(None, {"x": X} if known_at_load else {"x": X, "scales": inputs["scales"]})
    assert not caplog.records
