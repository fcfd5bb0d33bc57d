"""Where Resize samples: the tap tables against integer arithmetic, every extent to every other, and the peer's indices."""
from __future__ import annotations

from fractions import Fraction

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

from fastcnn.ir.graph import Node
from fastcnn.reference import evaluate
from fastcnn.resample import COORDINATES, Axis, Sampling, coordinates, resized_axes, taps

onnxruntime.set_default_logger_severity(4)
NEAREST = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
EXTENTS = 48
# Older ones may judge ties in another way.
TIES_AS_HERE = tuple(map(int, onnxruntime.__version__.split(".")[:2])) >= (1, 32)


def exact(mode: str, size: int, out: int) -> tuple[np.ndarray, int]:
    """Coordinates by the standard's formulas with scale = out / size, as numerators of one denominator."""
    i = np.arange(out)
    if mode == "asymmetric":
        return i * size, out
    if mode == "tf_half_pixel_for_nn":
        return (2 * i + 1) * size, 2 * out
    if mode == "align_corners":
        return (i * (size - 1), out - 1) if out > 1 else (i, 1)
    if mode == "tf_crop_and_resize":
        return (i * (size - 1), out - 1) if out > 1 else (i + size - 1, 2)
    if mode == "pytorch_half_pixel" and out == 1:
        return i, 1
    return (2 * i + 1) * size - out, 2 * out                 # half_pixel_symmetric moves by nothing at this scale


def neighbour(at: np.ndarray, unit: int, rounding: str) -> np.ndarray:
    return {"round_prefer_floor": lambda: -((unit - 2 * at) // (2 * unit)), "round_prefer_ceil": lambda: (2 * at + unit) // (2 * unit),
            "floor": lambda: at // unit, "ceil": lambda: -(-at // unit)}[rounding]()


def by_sizes(size: int, out: int) -> Axis:
    node = Node("Resize", ("x", "", "", "sizes"), ("y",), {}, "node", "", 19)
    return resized_axes(node, [size], None, None, [out])[0]


@pytest.mark.parametrize("rounding", NEAREST)
@pytest.mark.parametrize("mode", COORDINATES)
def test_nearest_of_every_extent_is_exact(mode: str, rounding: str) -> None:
    for size in range(1, EXTENTS + 1):
        for out in range(1, EXTENTS + 1):
            index, weights = taps(by_sizes(size, out), Sampling("nearest", mode, rounding))
            wanted = np.clip(neighbour(*exact(mode, size, out), rounding), 0, size - 1) if size != out else np.arange(size)
            np.testing.assert_array_equal(index[:, 0], wanted, err_msg=f"{size} -> {out}")
            assert (weights == 1).all()


@pytest.mark.parametrize("size, out", [(20, 6), (1000, 3), (4096, 6144), (65535, 7), (3, 65535)], ids=str)
def test_nearest_of_large_extents_is_exact(size: int, out: int) -> None:
    for mode in COORDINATES:
        for rounding in NEAREST:
            index, _ = taps(by_sizes(size, out), Sampling("nearest", mode, rounding))
            np.testing.assert_array_equal(index[:, 0], np.clip(neighbour(*exact(mode, size, out), rounding), 0, size - 1))


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
@pytest.mark.parametrize("mode", COORDINATES)
def test_interpolation_of_every_extent_is_exact(mode: str, interpolation: str) -> None:
    """Of values i * i: linear between neighbours, cubic by Keys' formula, both in float64 at the exact coordinate."""
    for size in range(1, 20):
        x = np.arange(size, dtype=np.float64) ** 2
        for out in range(1, EXTENTS + 1):
            if size == out:
                continue
            numerators, unit = exact(mode, size, out)
            at = numerators / unit
            inside = np.clip(at, 0, size - 1)
            low = np.floor(inside if interpolation == "linear" else at).astype(int)
            if interpolation == "linear":
                wanted = x[low] + (x[np.minimum(low + 1, size - 1)] - x[low]) * (inside - low)
            else:
                wanted = sum(keys(np.abs(at - low - k)) * x[np.clip(low + k, 0, size - 1)] for k in (-1, 0, 1, 2))
            index, weights = taps(by_sizes(size, out), Sampling(interpolation, mode, "floor"))
            np.testing.assert_allclose((x[index] * weights).sum(1), wanted, rtol=0, atol=1e-6 * size ** 2)


def keys(d: np.ndarray, a: float = -0.75) -> np.ndarray:
    near, far = ((a + 2) * d - (a + 3)) * d * d + 1, ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0))


def session(mode: str, rounding: str, given: str, interpolation: str = "nearest") -> onnxruntime.InferenceSession:
    """Resize of (1, 1, 1, n) by run-time scales or sizes."""
    inputs = {"scales": ["x", "", "given"], "sizes": ["x", "", "", "given"]}[given]
    node = helper.make_node("Resize", inputs, ["y"], mode=interpolation, coordinate_transformation_mode=mode, nearest_mode=rounding)
    kind = TensorProto.FLOAT if given == "scales" else TensorProto.INT64
    infos = [helper.make_tensor_value_info("x", 1, [1, 1, 1, None]), helper.make_tensor_value_info("given", kind, [4])]
    graph = helper.make_graph([node], "g", infos, [helper.make_tensor_value_info("y", 1, None)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=8)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def row(size: int) -> np.ndarray:
    return np.arange(size, dtype=np.float32).reshape(1, 1, 1, size)


WITHOUT_ROI = [mode for mode in COORDINATES if mode != "tf_crop_and_resize"]


@pytest.mark.parametrize("rounding", NEAREST)
@pytest.mark.parametrize("mode", WITHOUT_ROI)
def test_nearest_by_sizes_is_onnxruntimes_but_for_its_rounding(mode: str, rounding: str) -> None:
    """onnxruntime divides in float32: where the exact coordinate is an integer or a half it may fall on the wrong side, and only there."""
    peer, off = session(mode, rounding, "sizes"), 0
    for size in range(1, EXTENTS + 1, 3):
        for out in range(1, EXTENTS + 1):
            index, _ = taps(by_sizes(size, out), Sampling("nearest", mode, rounding))
            theirs = peer.run(None, {"x": row(size), "given": np.array([1, 1, 1, out])})[0].ravel().astype(int)
            differs = index[:, 0] != theirs
            at, unit = exact(mode, size, out)
            assert (2 * at[differs] % unit == 0).all(), f"{size} -> {out}"
            off += differs.any()
    assert off <= 40, "of 768: the peer has never been further off than that"


@pytest.mark.parametrize("rounding", NEAREST)
@pytest.mark.parametrize("mode", WITHOUT_ROI)
def test_nearest_by_scales_is_onnxruntimes(mode: str, rounding: str) -> None:
    """But where the extent stays: onnxruntime then copies, whatever the scale."""
    generator, peer = np.random.default_rng(0), session(mode, rounding, "scales")
    for size, digits in zip(generator.integers(1, 200, 400), np.tile([1, 2], 200)):
        scale = np.float32(round(generator.uniform(0.1, 3), digits))
        axis = resized_axes(Node("Resize", ("x", "", "scales"), ("y",), {}, "node", "", 19), [int(size)], None, [scale], None)[0]
        if axis.out in (0, axis.size):
            continue
        index, _ = taps(axis, Sampling("nearest", mode, rounding))
        theirs = peer.run(None, {"x": row(int(size)), "given": np.array([1, 1, 1, scale], np.float32)})[0].ravel()
        differs = index[:, 0] != theirs
        at = 2 * coordinates(axis, mode).astype(np.float64)[differs]
        assert (np.abs(at - np.round(at)) < 1e-5).all() and not (TIES_AS_HERE and differs.any()), f"{size} * {scale}"


@pytest.mark.parametrize("given", ["scales", "sizes"])
@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
@pytest.mark.parametrize("mode", WITHOUT_ROI)
def test_interpolation_is_onnxruntimes(mode: str, interpolation: str, given: str) -> None:
    peer = session(mode, "floor", given, interpolation)
    for size in (1, 2, 7, 20, 48):
        for out in range(1, 60, 3):
            scale = np.float32(out + 0.3) / np.float32(size)
            value = np.array([1, 1, 1, scale], np.float32) if given == "scales" else np.array([1, 1, 1, out])
            node = Node("Resize", ("x", "", "", "")[:3 + (given == "sizes")], ("y",), {}, "node", "", 19)
            axis = resized_axes(node, [size], None, *(([scale], None) if given == "scales" else (None, [out])))[0]
            if axis.size == axis.out:
                continue
            index, weights = taps(axis, Sampling(interpolation, mode, "floor"))
            theirs = peer.run(None, {"x": row(size), "given": value})[0].ravel()
            np.testing.assert_allclose((row(size).ravel()[index] * weights).sum(1), theirs, rtol=0, atol=1e-5 * size)


def test_ratio_kept_is_exact() -> None:
    """The extent is the nearest integer, halves up: 5 * 3/2 is 8, whatever float32 makes of the ratio."""
    node = Node("Resize", ("x", "", "", "sizes"), ("y",), {"keep_aspect_ratio_policy": "not_larger"}, "node", "", 19)
    for size in range(1, 30):
        for out in range(1, 30):
            axes = resized_axes(node, [size, 5], None, None, [out, 1000])
            assert [axis.out for axis in axes] == [int(Fraction(out * n, size) + Fraction(1, 2)) for n in (size, 5)]
            assert {(axis.scale.numerator, axis.scale.denominator) for axis in axes} == {Fraction(out, size).as_integer_ratio()}


@pytest.mark.parametrize("version, op", [(7, "Upsample"), (9, "Upsample"), (10, "Resize"), (13, "Resize")])
def test_the_fallback_samples_where_the_tables_say(version: int, op: str) -> None:
    x = np.arange(20.0).reshape(4, 5).astype(np.int16)
    scales = np.array([2.0, 1.5], np.float32)
    inputs = {7: [x], 9: [x, scales], 10: [x, scales], 13: [x, None, scales]}[version]
    node = Node(op, ("x", "roi", "scales")[:len(inputs)], ("y",), {"scales": scales.tolist()} if version == 7 else {}, "node", "", version)
    y, = evaluate(node, inputs)
    axes = resized_axes(node, x.shape, None, scales, None)
    rows, columns = (taps(axis, Sampling("nearest", "half_pixel", "round_prefer_floor") if version > 10 else
                          Sampling("nearest", "asymmetric", "simple"))[0][:, 0] for axis in axes)
    np.testing.assert_array_equal(y, x[rows][:, columns])
