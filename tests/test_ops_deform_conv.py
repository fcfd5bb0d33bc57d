"""DeformConv as models of one node, against onnxruntime."""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from single_node import check_native, single_node

import fastcnn


@dataclass(frozen=True)
class Case:
    """Shapes of x and w, attributes; the offset's and mask's follow."""

    name: str
    x: tuple[int, int, int, int]
    w: tuple[int, int, int, int]
    out: tuple[int, int]
    attrs: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name

    def inputs(self, mask: bool = True, bias: bool = True) -> dict[str, np.ndarray | None]:
        rng = np.random.default_rng(0)
        taps = self.attrs.get("offset_group", 1) * self.w[2] * self.w[3]
        values = {"x": rng.standard_normal(self.x), "w": rng.standard_normal(self.w) / np.prod(self.w[1:]) ** 0.5,
                  "offset": 2 * rng.standard_normal((self.x[0], 2 * taps, *self.out)),
                  "b": rng.standard_normal(self.w[0]) if bias else None,
                  "mask": rng.random((self.x[0], taps, *self.out)) if mask else None}
        return {name: None if value is None else value.astype(np.float32) for name, value in values.items()}


CASES = [
    Case("3x3", (1, 8, 9, 10), (12, 8, 3, 3), (9, 10), dict(pads=[1, 1, 1, 1])),
    Case("batch, no padding", (2, 3, 9, 8), (5, 3, 3, 2), (7, 7)),
    Case("stride 2", (1, 17, 15, 14), (33, 17, 3, 3), (8, 7), dict(pads=[1, 1, 1, 1], strides=[2, 2])),
    Case("dilated", (1, 6, 12, 12), (7, 6, 3, 3), (10, 12), dict(pads=[1, 2, 1, 2], dilations=[2, 2])),
    Case("offset groups", (1, 8, 7, 7), (4, 8, 3, 3), (7, 7), dict(pads=[1, 1, 1, 1], offset_group=4)),
    Case("groups", (2, 8, 7, 6), (6, 4, 3, 3), (7, 6), dict(pads=[1, 1, 1, 1], group=2)),
    Case("groups and offset groups", (1, 12, 7, 6), (6, 6, 3, 3), (7, 6), dict(pads=[1, 1, 1, 1], group=2, offset_group=3)),
    Case("1x1", (1, 5, 6, 6), (4, 5, 1, 1), (6, 6)),
    Case("a wide row in several blocks", (1, 64, 3, 200), (16, 64, 3, 3), (3, 200), dict(pads=[1, 1, 1, 1])),
]


@pytest.mark.parametrize("opset", [19, 22])
@pytest.mark.parametrize("mask", [True, False], ids=["masked", "plain"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_deform_conv_matches_onnxruntime(case, mask, opset):
    check_native("DeformConv", case.inputs(mask), ["w", "b"], opset=opset, **case.attrs)


@pytest.mark.parametrize("case", [CASES[2], CASES[8]], ids=str)
def test_deform_conv_same_bits_for_any_number_of_threads(case):
    inputs = case.inputs()
    model = single_node("DeformConv", inputs, ["w", "b"], opset=19, **case.attrs)
    feeds = {name: inputs[name] for name in ("x", "offset", "mask")}
    alone, = fastcnn.load(model, threads=1).run(None, feeds)
    for threads in (2, 3):
        np.testing.assert_array_equal(fastcnn.load(model, threads=threads).run(None, feeds)[0], alone)


def test_deform_conv_without_bias():
    check_native("DeformConv", CASES[0].inputs(bias=False), ["w"], opset=19, **CASES[0].attrs)


def test_deform_conv_without_offsets_is_conv():
    inputs = CASES[0].inputs(mask=False)
    inputs["offset"] *= 0
    deformed, = fastcnn.load(single_node("DeformConv", inputs, ["w", "b"], opset=19, **CASES[0].attrs)).run(
        None, {"x": inputs["x"], "offset": inputs["offset"]})
    plain = {"x": inputs["x"], "w": inputs["w"], "b": inputs["b"]}
    wanted, = fastcnn.load(single_node("Conv", plain, ["w", "b"], **CASES[0].attrs)).run(None, {"x": inputs["x"]})
    np.testing.assert_allclose(deformed, wanted, atol=1e-5)


def test_deform_conv_far_and_undefined_offsets_read_zeros():
    inputs = CASES[1].inputs(mask=False)
    inputs["offset"][:] = np.resize(np.array([1e30, -1e30, np.nan, np.inf], np.float32), inputs["offset"].shape)
    y, = fastcnn.load(single_node("DeformConv", inputs, ["w", "b"], opset=19)).run(None, {"x": inputs["x"], "offset": inputs["offset"]})
    np.testing.assert_array_equal(y, np.broadcast_to(inputs["b"].reshape(1, -1, 1, 1), y.shape))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_deform_conv_weights_computed_at_run_time(case):
    check_native("DeformConv", case.inputs(), opset=19, **case.attrs)


@pytest.mark.parametrize("name", ["offset", "mask"])
def test_deform_conv_wrong_shape_is_refused(name):
    inputs = CASES[0].inputs()
    inputs[name] = inputs[name][:, :-1].copy()
    with pytest.raises(fastcnn.FastCNNError, match="node"):
        fastcnn.load(single_node("DeformConv", inputs, ["w", "b"], opset=19, **CASES[0].attrs))
