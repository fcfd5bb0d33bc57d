"""Resize of integers as models of one node: onnxruntime's numbers bit for bit."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from single_node import check_native, expected_outputs, feeds_of, single_node

import fastcnn

F = np.float32
NOWHERE = np.array([], F)
SHAPES = {"planes": ((2, 3, 13, 11), (0, 0, 1, 1)), "pixels": ((2, 13, 11, 3), (0, 1, 1, 0)), "matrix": ((13, 11), (1, 1)),
          "image": ((13, 11, 3), (1, 1, 0)), "three axes": ((4, 13, 11), (1, 1, 1)), "volume": ((1, 2, 5, 13, 11), (0, 0, 1, 1, 1)),
          "one axis": ((2, 3, 13, 11), (0, 0, 0, 1))}


def image(dtype: str, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    limits = np.iinfo(dtype)
    return np.random.default_rng(seed).integers(max(limits.min, -100_000), min(limits.max, 100_000) + 1, shape).astype(dtype)


def check(x: np.ndarray, scales=None, sizes=None, opset: int = 19, **attrs: Any) -> None:
    inputs = {"x": x, "roi": NOWHERE, "scales": None if scales is None else np.array(scales, F),
              **({} if sizes is None else {"sizes": np.array(sizes, np.int64)})}
    check_native("Resize", inputs, ["roi", "scales", "sizes"], opset=opset, **attrs)


def ours(inputs: dict[str, np.ndarray | None], **attrs: Any) -> np.ndarray:
    """The output of a Resize whose inputs but x are constants."""
    y, = fastcnn.load(single_node("Resize", inputs, ["roi", "scales", "sizes"], opset=19, **attrs)).run(None, {"x": inputs["x"]})
    return y


@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize("factors", [(1.37, 0.61, 1.9), (0.43, 0.77, 0.3), (2.0, 3.0, 1.5), (2.13, 1.01, 2.4)], ids=str)
@pytest.mark.parametrize("where", SHAPES)
@pytest.mark.parametrize("dtype", ["uint8", "int8", "int32"])
def test_linear(dtype, where, factors, constant):
    """Also of an image of one value, which cut-off sums turn into two."""
    shape, resized = SHAPES[where]
    x = np.full(shape, 100, dtype) if constant else image(dtype, shape)
    scales = [factor if axis else 1.0 for axis, factor in zip(resized, (*factors, *factors)[-len(shape):])]
    check(x, scales, mode="linear")
    check(x, sizes=[int(n * s) for n, s in zip(shape, scales)], mode="linear")


@pytest.mark.parametrize("coordinates", ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric"])
@pytest.mark.parametrize("where", ["planes", "pixels"])
@pytest.mark.parametrize("dtype", ["uint8", "int8", "int32"])
def test_linear_coordinates(dtype, where, coordinates):
    shape, resized = SHAPES[where]
    for scale in (0.61, 1.73, 2.0):
        check(image(dtype, shape), [scale if axis else 1.0 for axis in resized], mode="linear", coordinate_transformation_mode=coordinates)


@pytest.mark.parametrize("mode", ["linear", "cubic"])
@pytest.mark.parametrize("exclude", [0, 1])
@pytest.mark.parametrize("out", [(5, 4), (26, 22), (3, 25), (13, 7), (6, 5)], ids=str)
@pytest.mark.parametrize("where", ["planes", "pixels", "matrix"])
def test_antialiased_bytes(where, out, mode, exclude):
    shape, resized = SHAPES[where]
    sizes = iter(out)
    check(image("uint8", shape), sizes=[next(sizes) if axis else n for n, axis in zip(shape, resized)], mode=mode, antialias=1,
          exclude_outside=exclude)


@pytest.mark.parametrize("factors", [(0.43, 0.77), (1.6, 0.3)], ids=str)
def test_antialiased_bytes_by_scales(factors):
    check(image("uint8", (1, 2, 40, 30)), (1, 1, *factors), mode="linear", antialias=1)


def test_antialiased_signed_bytes_keep_their_sign():
    """onnxruntime brings int8 into [0, 255]: the values are those of uint8 moved by 128."""
    x = image("int8", (1, 2, 40, 30))
    for mode in ("linear", "cubic"):
        signed, unsigned = (ours({"x": v, "roi": None, "scales": None, "sizes": np.array([1, 2, 17, 11])}, mode=mode, antialias=1)
                            for v in (x, (x.astype(np.int16) + 128).astype(np.uint8)))
        assert np.abs(signed.astype(int) + 128 - unsigned).max() <= 1


@pytest.mark.parametrize("dtype, attrs", [*((dtype, {"mode": "cubic"}) for dtype in ("uint8", "int8", "int32")),
                                          *(("int32", {"mode": mode, "antialias": 1}) for mode in ("cubic", "linear"))], ids=str)
def test_what_onnxruntime_lacks_is_the_floats_cut_off(dtype, attrs):
    """Or rounded where antialiased; beyond the type's range its end."""
    x, limits = image(dtype, (1, 2, 13, 11)), np.iinfo(dtype)
    inputs = {"x": x, "roi": NOWHERE, "scales": np.array([1, 1, 0.6, 1.7], F)}
    wide, y = ours({**inputs, "x": x.astype(F)}, **attrs), ours(inputs, **attrs)
    wanted = np.clip(np.round(wide) if attrs.get("antialias") else np.trunc(wide), limits.min, limits.max)
    assert np.abs(y - wanted.astype(np.float64)).max() <= (1 if dtype == "int32" else 0)       # 100,000 is close to float32's last bit


def test_antialiased_bytes_with_weights_too_large_for_integers():
    """A cubic of coefficient -30 swings so far that 32 bits would overflow."""
    x = image("uint8", (1, 1, 20, 20))
    attrs = {"mode": "cubic", "antialias": 1, "cubic_coeff_a": -30.0}
    inputs = {"x": x, "roi": None, "scales": None, "sizes": np.array([1, 1, 11, 20])}
    wide, y = ours({**inputs, "x": x.astype(F)}, **attrs), ours(inputs, **attrs)
    np.testing.assert_array_equal(y, np.clip(np.round(wide), 0, 255))


@pytest.mark.parametrize("scales", [(1, 1, 2, 3), (1, 1, 0.6, 0.3), (1, 2, 1.5, 1), (2, 1, 1, 1.7), (1.5, 2, 0.7, 2)], ids=str)
@pytest.mark.parametrize("dtype", ["uint8", "int8", "int32", "float32"])
def test_nearest(dtype, scales):
    x = np.random.default_rng(0).integers(0, 100, (2, 3, 13, 11)).astype(dtype)
    check(x, scales, mode="nearest")
    check(x, sizes=[int(n * s) for n, s in zip(x.shape, scales)], mode="nearest", nearest_mode="ceil",
          coordinate_transformation_mode="align_corners")


@pytest.mark.parametrize("dtype", ["bool", "int16", "uint16", "uint32", "int64", "uint64", "float64"])
def test_nearest_of_every_type(dtype):
    """Types that onnxruntime's Resize lacks: the elements are where those of uint8 are."""
    x = np.random.default_rng(0).integers(0, 2 if dtype == "bool" else 100, (2, 3, 5, 4)).astype(dtype)
    for scales in ((1, 1, 2, 3), (1, 1, 0.6, 0.5), (2, 1, 1, 2)):
        inputs = {"x": x, "roi": None, "scales": np.array(scales, F)}
        with fastcnn.load(single_node("Resize", inputs, ["scales"], opset=19, mode="nearest")) as model:
            y, = model.run(None, {"x": x})
            assert not model.fallback_nodes and y.dtype == x.dtype
        small = single_node("Resize", {**inputs, "x": x.astype(np.uint8)}, ["scales"], opset=19, mode="nearest")
        np.testing.assert_array_equal(y, expected_outputs(small, {"x": x.astype(np.uint8)})[0].astype(dtype))


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("dtype", ["uint8", "int8", "int32", "float32"])
def test_crop_and_resize(dtype, mode):
    x = np.random.default_rng(0).integers(0, 100, (1, 3, 13, 11)).astype(dtype)
    roi = np.array([0, 0, 0.2, -0.1, 1, 1, 0.9, 1.2], F)
    check_native("Resize", {"x": x, "roi": roi, "scales": None, "sizes": np.array([1, 3, 7, 20])}, ["roi", "sizes"], opset=19, mode=mode,
                 coordinate_transformation_mode="tf_crop_and_resize", extrapolation_value=7.0)


@pytest.mark.parametrize("dtype", ["uint8", "int32"])
def test_upsample(dtype):
    x = np.random.default_rng(0).integers(0, 100, (1, 3, 13, 11)).astype(dtype)
    for mode in ("nearest", "linear"):
        check_native("Upsample", {"x": x, "scales": np.array([1, 1, 2, 1.7], F)}, ["scales"], opset=9, mode=mode)
        check_native("Resize", {"x": x, "scales": np.array([1, 1, 0.6, 1.7], F)}, ["scales"], opset=10, mode=mode)


def test_a_constant_image_keeps_onnxruntimes_truncation():
    """What makes the order of the sums matter: 100 everywhere is not 100 everywhere afterwards."""
    model = single_node("Resize", {"x": np.full((1, 1, 9, 9), 100, np.uint8), "roi": NOWHERE, "scales": np.array([1, 1, 1.37, 1.61], F)},
                        ["roi", "scales"], opset=19, mode="linear")
    feeds = feeds_of(model, {"x": np.full((1, 1, 9, 9), 100, np.uint8)})
    y, = expected_outputs(model, feeds)
    assert set(np.unique(y)) == {99, 100}
    np.testing.assert_array_equal(fastcnn.load(model).run(None, feeds)[0], y)
