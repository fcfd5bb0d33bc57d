"""precision="bf16": which values lie in memory as bfloat16, and that the results are those of operands of 8 bits of mantissa."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from graph_helper import model, node

import fastcnn
from fastcnn.convolve.bf16_gemm import Bf16Gemm, has_widths_of_floats
from fastcnn.machine.current import using
from fastcnn.machine.table import ROWS
from fastcnn.plan.lowering import StageLowering

SIDE = 14


@pytest.fixture
def steps(pairs: str, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """What is emitted at a level with products of bfloat16, which are taken wherever they can be."""
    monkeypatch.setattr(Bf16Gemm, "cycles", lambda self, choice, threads: 0.0)
    emitted: list[tuple[str, dict[str, Any]]] = []
    emit = StageLowering.emit

    def noting(self: StageLowering, kind: str, operands: Sequence[Any], work: int, /, **fields: Any) -> None:
        emitted.append((kind, fields))
        emit(self, kind, operands, work, **fields)

    monkeypatch.setattr(StageLowering, "emit", noting)
    return emitted


def halves(steps: list[tuple[str, dict[str, Any]]]) -> list[str]:
    """Of each step in turn which of x, y and r are bfloat16."""
    return ["".join(name for name in "xyr" if fields.get(f"{name}_half")) for _, fields in steps]


def check(nodes: Sequence[Any], weights: dict[str, np.ndarray], steps: list[Any], outputs: Sequence[str] = ("y",)) -> None:
    """Results beside float32's."""
    proto = model(nodes, {"x": [2, 32, SIDE, SIDE]}, list(outputs), weights)
    x = np.random.default_rng(1).standard_normal((2, 32, SIDE, SIDE), np.float32)
    with fastcnn.load(proto, threads=2) as exact:
        wanted = exact.run(None, {"x": x})
    steps.clear()
    with fastcnn.load(proto, precision="bf16", threads=2) as near:
        for a, b in zip(near.run(None, {"x": x}), wanted):
            assert abs(a - b).max() / abs(b).max() < 8 * 2.0 ** -8


def filters(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32) / np.float32(np.prod(shape[1:]) ** 0.5)


def test_a_bottleneck_hands_on_bfloat16_alone(steps: list[Any]) -> None:
    weights = {"a": filters(0, 64, 32, 1, 1), "b": filters(1, 16, 64, 1, 1), "c": filters(2, 16, 16, 3, 3), "d": filters(3, 64, 16, 1, 1)}
    weights["e"] = filters(4, 8, 64, 1, 1)
    nodes = [node("Conv", ["x", "a"], ["va"]), node("Relu", ["va"], ["ra"]), node("Conv", ["ra", "b"], ["vb"]),
             node("Relu", ["vb"], ["rb"]),
             node("Conv", ["rb", "c"], ["vc"], pads=[1] * 4), node("Relu", ["vc"], ["rc"]), node("Conv", ["rc", "d"], ["vd"]),
             node("Add", ["vd", "ra"], ["s"]), node("Relu", ["s"], ["rs"]), node("Conv", ["rs", "e"], ["y"], strides=[2, 2])]
    check(nodes, weights, steps)
    assert [part for (kind, _), part in zip(steps, halves(steps)) if kind == "conv_bf16"] == ["y", "xy", "xy", "xyr", "x"]


@pytest.mark.parametrize("other", ["Sigmoid", "Softplus", "output", "MaxPool"])
def test_what_others_read_or_make_stays_float(steps: list[Any], other: str) -> None:
    weights = {"a": filters(0, 64, 32, 1, 1), "b": filters(1, 16, 64, 1, 1)}
    nodes = [node("Conv", ["x", "a"], ["va"]), node("Conv", ["va" if other == "output" else "z", "b"], ["y"])]
    if other == "MaxPool":
        nodes.insert(1, node("MaxPool", ["va"], ["z"], kernel_shape=[3, 3], pads=[1] * 4, strides=[1, 1]))
    elif other != "output":
        nodes.insert(1, node(other, ["va"], ["z"]))
    check(nodes, weights, steps, ("y", "va") if other == "output" else ("y",))
    assert not any(halves(steps))


def test_a_fused_convolution_reads_and_makes_bfloat16(steps: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose first convolution is one in bfloat16."""
    monkeypatch.setattr("fastcnn.fusions.conv_depthwise.SHARE_OF_L2", 0.0)
    weights = {"a": filters(0, 16, 32, 1, 1), "b": filters(1, 96, 16, 1, 1), "c": filters(2, 96, 1, 3, 3), "d": filters(3, 24, 96, 1, 1)}
    nodes = [node("Conv", ["x", "a"], ["va"]), node("Conv", ["va", "b"], ["vb"]), node("LeakyRelu", ["vb"], ["rb"]),
             node("Conv", ["rb", "c"], ["vc"], pads=[1] * 4, group=96, strides=[2, 2]), node("Conv", ["vc", "d"], ["y"])]
    check(nodes, weights, steps)
    wide = int(has_widths_of_floats())
    fused = [fields for kind, fields in steps if kind == "conv_depthwise"]
    assert [(fields["first_bf16"], fields["x_half"], fields["y_half"]) for fields in fused] == [(wide, wide, 1)]
    assert [fields["x_half"] for kind, fields in steps if kind == "conv_bf16"][-1] == 1


def test_a_fused_convolution_ends_in_bfloat16(steps: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The 1x1 convolution behind the depthwise one, its residual too."""
    monkeypatch.setattr("fastcnn.fusions.conv_depthwise.SHARE_OF_L2", 0.0)
    wide = min(32, fastcnn._native.vector_length() * 2)
    weights = {"a": filters(0, 8, 32, 1, 1), "b": filters(1, wide, 8, 1, 1), "c": filters(2, wide, 1, 3, 3), "d": filters(3, 8, wide, 1, 1)}
    weights["e"] = filters(4, 5, 8, 1, 1)
    nodes = [node("Conv", ["x", "a"], ["va"]), node("Conv", ["va", "b"], ["vb"]), node("Relu", ["vb"], ["rb"]),
             node("Conv", ["rb", "c"], ["vc"], pads=[1] * 4, group=wide), node("Relu", ["vc"], ["rc"]), node("Conv", ["rc", "d"], ["vd"]),
             node("Add", ["vd", "va"], ["s"]), node("Conv", ["s", "e"], ["y"])]
    check(nodes, weights, steps)
    fused = [fields for kind, fields in steps if kind == "conv_depthwise"]
    assert [fields["last_bf16"] for fields in fused] == [int(fields["oc"] > 0) for fields in fused]
    if fused and fused[0]["oc"]:
        assert (fused[0]["y_half"], fused[0]["r_half"]) == (1, fused[0]["x_half"])


def test_a_normalised_convolution_is_one_in_bfloat16(steps: list[Any]) -> None:
    weights = {"a": filters(0, 24, 32, 1, 1), "d": filters(3, 24, 24, 3, 3)}
    for name, values in (("s", [1.5]), ("b", [-0.25]), ("m", [0.125]), ("v", [2.0])):
        weights[name] = np.full(32, values, np.float32)
    nodes = [node("BatchNormalization", ["x", "s", "b", "m", "v"], ["n"]), node("Relu", ["n"], ["r"]), node("Conv", ["r", "a"], ["va"]),
             node("Relu", ["va"], ["ra"]), node("Conv", ["ra", "d"], ["y"], pads=[1] * 4)]
    check(nodes, weights, steps)
    products = [fields for kind, fields in steps if kind == "conv_bf16"]
    assert [(fields["scaled"], fields["x_half"], fields["y_half"]) for fields in products] == [(2, 0, 1), (0, 1, 0)]


def test_a_pooled_convolution_makes_bfloat16(steps: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastcnn.fusions.conv_pool.SHARE_OF_L2", 0.0)
    weights = {"a": filters(0, 24, 32, 3, 3), "b": filters(1, 16, 24, 1, 1)}
    nodes = [node("Conv", ["x", "a"], ["va"], pads=[1] * 4, strides=[2, 2]), node("Relu", ["va"], ["ra"]),
             node("MaxPool", ["ra"], ["p"], kernel_shape=[3, 3], strides=[2, 2]), node("Conv", ["p", "b"], ["y"])]
    with using(ROWS["sapphire_rapids"]):
        check(nodes, weights, steps)
    fused = [fields for kind, fields in steps if kind == "conv_pool"]
    assert [(fields["first_bf16"], fields["y_half"]) for fields in fused] == [(int(has_widths_of_floats()), 1)]
    assert [fields["x_half"] for kind, fields in steps if kind == "conv_bf16"] == [1]
