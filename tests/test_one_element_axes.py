"""Axes of one element: their strides mean nothing, so what reads a value after a Transpose must not take them for a layout."""
from __future__ import annotations

from collections.abc import Callable
from itertools import permutations

import numpy as np
import pytest
from graph_helper import floats, model, node, onnxruntime_run
from onnx import NodeProto

import fastcnn
from fastcnn.convolve.bf16_gemm import Bf16Gemm
from fastcnn.fusions import conv_depthwise, conv_pool
from fastcnn.ir.spec import F32
from fastcnn.ir.tensor import Buffer, Tensor, is_channels_last, is_dense
from fastcnn.plan.layouts import settled

SHAPES = [(1, 3, 1, 24), (1, 3, 24, 1), (2, 3, 30, 1), (1, 14, 24, 1), (2, 1, 26, 1), (1, 1, 1, 24), (2, 16, 1, 1), (1, 8, 5, 26)]
PERMS = [(0, 1, 2, 3), (0, 2, 1, 3), (0, 3, 1, 2), (2, 3, 0, 1), (3, 1, 0, 2), (3, 2, 1, 0)]
Part = Callable[[int, str, str], list[NodeProto]]


def conv(m: int | None, *kernel: int, group: bool = False, **attrs: object) -> Part:
    """Conv of c channels to m, or to as many, with constant weights named by their shape; group: one channel each."""
    def nodes(c: int, x: str, y: str) -> list[NodeProto]:
        w = f"w{m or c}_{1 if group else c}_{kernel[0]}_{kernel[1]}"
        return [node("Conv", [x, w], [y], group=c if group else 1, **{"pads": [k // 2 for k in kernel] * 2, **attrs})]
    return nodes


def one(op: str, *constants: str, **attrs: object) -> Part:
    return lambda c, x, y: [node(op, [x, *(f"{name}{c}" if name in ("scale", "slope") else name for name in constants)], [y], **attrs)]


def chain(*parts: tuple[Part, int | None]) -> Part:
    """One after another, each with the number of channels that it reads, None for the chain's."""
    def nodes(c: int, x: str, y: str) -> list[NodeProto]:
        names = [x, *(f"{y}_{k}" for k in range(1, len(parts))), y]
        return [made for k, (part, channels) in enumerate(parts) for made in part(channels or c, names[k], names[k + 1])]
    return nodes


READERS: dict[str, Part] = {
    "3x3": conv(6, 3, 3), "3x3 by two": conv(6, 3, 3, strides=[2, 2]), "5x5": conv(17, 5, 5), "1x7": conv(9, 1, 7), "7x1": conv(9, 7, 1),
    "1x1": conv(9, 1, 1), "1x1 padded": conv(9, 1, 1, pads=[1] * 4, strides=[2, 1]), "depthwise": conv(None, 3, 3, group=True),
    "residual": lambda c, x, y: [*conv(None, 3, 3)(c, x, f"{y}_c"), node("Add", [f"{y}_c", x], [y])],
    "transposed": lambda c, x, y: [node("ConvTranspose", [x, f"w{c}_4_3_3"], [y], strides=[2, 2])],
    "three fused": chain((conv(16, 1, 1), None), (conv(16, 3, 3, group=True), 16), (conv(5, 1, 1), 16)),
    "three fused, banded": chain((conv(16, 3, 3), None), (conv(16, 3, 3, group=True), 16), (conv(5, 1, 1), 16)),
    "pooled": chain((conv(16, 3, 3, pads=[2] * 4), None), (one("MaxPool", kernel_shape=[2, 2], strides=[2, 2]), 16)),
    "MaxPool": one("MaxPool", kernel_shape=[3, 3], pads=[1] * 4), "AveragePool": one("AveragePool", kernel_shape=[3, 3], pads=[1] * 4),
    "GlobalAveragePool": one("GlobalAveragePool"), "GlobalMaxPool": one("GlobalMaxPool"),
    "unpooled": lambda c, x, y: [node("MaxPool", [x], [f"{y}_m", f"{y}_i"], kernel_shape=[1, 1]),
                                 node("MaxUnpool", [f"{y}_m", f"{y}_i"], [y], kernel_shape=[1, 1])],
    "nearest": one("Resize", "", "larger", mode="nearest"), "linear": one("Resize", "", "larger", mode="linear"),
    "thinned": one("Resize", "", "smaller", mode="nearest"), "Softmax": one("Softmax", axis=1), "PRelu": one("PRelu", "slope"),
    "normalised": lambda c, x, y: [node("Add", [x, "ramp"], [f"{y}_r"]),
                                   node("InstanceNormalization", [f"{y}_r", f"scale{c}", f"scale{c}"], [y], epsilon=0.1)],
    "LRN": one("LRN", size=3), "Sum": lambda c, x, y: [node("ReduceSum", [x], [y], keepdims=1)]}

ROUNDED = list(READERS)[:list(READERS).index("MaxPool")]


def constant(name: str) -> np.ndarray:
    if name.startswith("w"):
        return floats(*map(int, name[1:].split("_")))
    if name.startswith(("scale", "slope")):
        c = int(name[5:])
        return floats(c) if name.startswith("scale") else floats(c, 1, 1)
    return {"ramp": np.float32([[[[0.5]]]]), "larger": np.float32([1, 1, 2, 3]), "smaller": np.float32([1, 1, 0.6, 1])}[name]


@pytest.mark.parametrize("reader, precision", [*((reader, "fp32") for reader in READERS), *((reader, "bf16") for reader in ROUNDED)])
def test_values_that_lie_in_any_order_of_axes(reader: str, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One row, one column, one channel, one image: the value of an input, and of a channels-last step, transposed."""
    monkeypatch.setattr(conv_depthwise, "SHARE_OF_L2", 0)
    monkeypatch.setattr(conv_pool, "SHARE_OF_L2", 0)
    monkeypatch.setattr(Bf16Gemm, "cycles", lambda self, choice, threads: 0.0)
    for shape in SHAPES:
        if reader == "thinned" and shape[2] == 1:
            continue
        nodes, inputs = [], {}
        for k, perm in enumerate(PERMS):
            inputs[f"x{k}"] = [shape[perm.index(d)] for d in range(4)]
            nodes += [node("MaxPool", [f"x{k}"], [f"m{k}"], kernel_shape=[1, 1]), node("Transpose", [f"m{k}"], [f"t{k}"], perm=perm),
                      node("Transpose", [f"x{k}"], [f"u{k}"], perm=perm)]
            nodes += [made for v in "tu" for made in READERS[reader](shape[1], f"{v}{k}", f"y{v}{k}")]
        made = {name for n in nodes for name in n.output} | set(inputs) | {""}
        outputs = [f"y{v}{k}" for v in "tu" for k in range(len(PERMS))]
        proto = model(nodes, inputs, outputs, {name: constant(name) for n in nodes for name in n.input if name not in made})
        feeds = {name: floats(*extents, seed=k) for k, (name, extents) in enumerate(inputs.items())}
        wanted = onnxruntime_run(proto, feeds)
        for name, got, want in zip(outputs, fastcnn.load(proto, threads=2, precision=precision).run(None, feeds), wanted):
            bound = {"fp32": 2e-5, "bf16": 3e-2}[precision] * max(1.0, abs(want).max())
            np.testing.assert_allclose(got, want, rtol=0, atol=bound, err_msg=f"{shape} {name} {PERMS[int(name[2:])]}")


def test_settled_strides_give_the_same_elements_and_keep_the_layout() -> None:
    """Every order of axes, gaps between pixels or none: axes of several elements keep their strides, the others nest."""
    for shape in [*SHAPES, (1, 1, 1, 1), (3, 1, 1, 1), (1, 4, 1, 1), (2, 4, 3, 1)]:
        for order in permutations(range(4)):
            strides, step = [0] * 4, 1
            for k, axis in enumerate(order):
                strides[axis] = step if shape[axis] > 1 else 1
                step = step * shape[axis] + (2 if k == 0 and axis == 1 else 0)
            tensor = Tensor(Buffer(F32, 4096), shape, tuple(strides))
            for layout, lies in (("dense", is_dense), ("channels_last", is_channels_last)):
                if lies(shape, tensor.strides):
                    new = settled(tensor, layout).strides
                    assert lies(shape, new) and all(a == b for a, b, n in zip(new, strides, shape) if n > 1)
                    if layout == "channels_last" and shape[1] > 1:
                        assert new[3] >= shape[1] and new[2] == (new[3] * shape[3] if 1 in shape[2:] else strides[2])
