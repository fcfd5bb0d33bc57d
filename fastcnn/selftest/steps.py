"""The self-test's networks for kinds of steps that no single operator with constant operands reaches."""
from __future__ import annotations

from typing import Any

import numpy as np

from fastcnn.ir.graph import Node
from fastcnn.operators.elementwise import OWN_DOMAIN
from fastcnn.selftest.maker import Case, Make, Maker

SCALES = np.array([1, 1, 2, 1.5], np.float32)
NONE = np.zeros(0, np.float32)          # the region of interest of a Resize that has none


def convolutions(m: Maker) -> dict[str, Make]:
    """Convolutions that only some settings, or operands that are computed, bring; and what runs as one step with its neighbours."""
    return {
        "Conv, im2col": lambda: _between_poolings(m, m.normal(1, 17, 12, 13), m.normal(19, 17, 3, 3)).but(prefers="im2col"),
        "Conv of planes": lambda: m.one(
            "Conv", (2, 3, 19, 35), m.normal(19, 3, 3, 3), m.normal(19), pads=[1, 1, 1, 1], strides=[2, 2]).but(prefers="conv_planes"),
        "Convs of planes": lambda: m.chain(
            m.normal(2, 5, 19, 35), ("Conv", [m.normal(19, 5, 1, 1), m.normal(19)], {}), ("Relu", [], {}),
            ("Conv", [m.normal(19, 1, 3, 3)], {"group": 19, "pads": [1, 1, 1, 1], "strides": [2, 2]}),
            ("Conv", [m.normal(9, 19, 3, 3), m.normal(9)], {"pads": [1, 1, 1, 1]})).but(prefers="planes_chain"),
        "Conv in bfloat16": lambda: _between_poolings(m, m.halves(1, 16, 10, 12), m.halves(37, 16, 3, 3)).but(
            prefers="conv_bf16", precision="bf16"),
        "Conv, compressed weights": lambda: _between_poolings(m, m.halves(2, 16, 10, 12), m.halves(37, 16, 3, 3)).but(
            prefers="conv_compressed", weights="bf16"),
        "Conv, computed weights": lambda: m.several("Conv", [m.normal(1, 9, 7, 11), m.normal(21, 9, 3, 3)], pads=[1, 1, 1, 1]),
        "Conv and pooling": lambda: m.chain(
            m.normal(1, 3, 28, 30), ("Conv", [m.normal(21, 3, 3, 3), m.normal(21)], {"pads": [1, 1, 1, 1]}), ("Relu", [], {}),
            ("MaxPool", [], {"kernel_shape": [2, 2], "strides": [2, 2]})).but(small_cache=True),
        "Conv 1x1, depthwise, 1x1": lambda: m.chain(
            m.normal(1, 5, 28, 30), ("Conv", [m.normal(16, 5, 1, 1)], {}), ("Relu", [], {}),
            ("Conv", [m.normal(16, 1, 3, 3)], {"group": 16, "pads": [1, 1, 1, 1]}), ("Relu", [], {}),
            ("Conv", [m.normal(9, 16, 1, 1)], {})).but(small_cache=True),
        "Scale in the weights": lambda: m.case(
            [m.node("Mul", ("x", "s"), ("scaled",)), m.node("Conv", ("scaled", "w"), ("y",))],
            {"x": m.normal(2, 19, 7, 7), "s": m.normal(2, 19, 1, 1)}, {"w": m.normal(21, 19, 1, 1)}),
        "Conv, a filter a pixel": lambda: m.one(
            "LocallyConnected", (1, 5, 7, 8), m.normal(5, 6, 3, 3, 5, 19), m.normal(5, 6, 19), domain=OWN_DOMAIN, strides=[1, 1],
            dilations=[1, 1], pads=[0, 0]),
        "DeformConv": lambda: m.several("DeformConv", [m.normal(1, 3, 5, 4), m.normal(19, 3, 2, 2), m.normal(1, 8, 4, 3)], opset=19),
        "MatMul of two inputs": lambda: m.several("MatMul", [m.normal(2, 5, 67), m.normal(2, 67, 35)]),
    }


def images(m: Maker) -> dict[str, Make]:
    """Pooling, normalisation and resizing in the layouts and types that the others leave out; what lays blocks and boxes out."""
    window: dict[str, Any] = {"kernel_shape": [2, 2], "strides": [2, 2]}
    return {
        "BatchNormalization and pooling": lambda: m.chain(
            m.normal(1, 37, 14, 12), ("BatchNormalization", [m.normal(37), m.normal(37), m.normal(37), m.positive(37)], {}),
            ("Relu", [], {}), ("MaxPool", [], window)),
        "BatchNormalization in training": lambda: m.one(
            "BatchNormalization", (3, 21, 5, 7), m.normal(21), m.normal(21), m.normal(21), m.positive(21), outputs=3, training_mode=1),
        "GroupNormalization behind Conv": lambda: m.chain(
            m.normal(1, 3, 9, 11), ("Conv", [m.normal(24, 3, 3, 3)], {}),
            ("GroupNormalization", [m.normal(24), m.normal(24)], {"num_groups": 3}), ("Relu", [], {}),
            ("Conv", [m.normal(5, 24, 3, 3)], {}), opset=21),
        "MaxPool of planes": lambda: m.one("MaxPool", (1, 1, 20, 41), kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        "MaxPool with indices": lambda: m.one("MaxPool", (1, 21, 8, 10), outputs=2, **window),
        "MaxUnpool": lambda: m.several("MaxUnpool", [m.normal(1, 1, 3, 4)], np.arange(12).reshape(1, 1, 3, 4) * 4, **window),
        "Resize behind Conv": lambda: m.chain(
            m.normal(1, 3, 9, 11), ("Conv", [m.normal(19, 3, 3, 3)], {}), ("Resize", [NONE, SCALES], {"mode": "linear"}),
            ("Conv", [m.normal(5, 19, 3, 3)], {})),
        "Resize of bytes, nearest": lambda: m.one("Resize", (1, 5, 7, 9), NONE, SCALES, dtype=np.uint8, mode="nearest"),
        "Resize of bytes, linear": lambda: m.one("Resize", (1, 5, 7, 9), NONE, SCALES, dtype=np.uint8, mode="linear"),
        "Resize of bytes, antialiased": lambda: m.one(
            "Resize", (1, 5, 14, 18), NONE, np.array([1, 1, 1, 0.5], np.float32), dtype=np.uint8, opset=18, mode="linear", antialias=1),
        "Channels picked between poolings": lambda: m.chain(
            m.normal(1, 36, 9, 11), ("MaxPool", [], {"kernel_shape": [3, 3]}),
            ("Gather", [np.arange(36).reshape(2, 18).T.ravel()], {"axis": 1}), ("AveragePool", [], window)),
        "Col2Im": lambda: m.one("Col2Im", (1, 5 * 6, 9), np.array([4, 5]), np.array([2, 3]), opset=18),
        "NonMaxSuppression": lambda: m.several(
            "NonMaxSuppression", [_boxes(m, 21), m.positive(1, 3, 21)], np.array([4]), np.float32(0.4), np.float32(0.6)),
    }


def bytes_and_choices(m: Maker) -> dict[str, Make]:
    """Elementwise steps of bytes, and those that choose elements."""
    factors = np.float32(0.02), np.uint8(128)
    return {
        "ConvInteger": lambda: m.one("ConvInteger", (1, 19, 9, 11), m.small(35, 19, 3, 3), np.uint8(128), dtype=np.uint8,
                                     pads=[1, 1, 1, 1]),
        "QLinearConv, depthwise, 4x1": lambda: m.quantized(24, 1, 24, (4, 1)),
        "QLinearAdd": lambda: _of_bytes(m, "QLinearAdd"),
        "QLinearMul": lambda: _of_bytes(m, "QLinearMul"),
        "PRelu of bytes": lambda: m.chain(
            m.normal(2, 5, 77), ("QuantizeLinear", factors, {}), ("DequantizeLinear", factors, {}), ("PRelu", [m.normal(5, 1)], {}),
            ("QuantizeLinear", [np.float32(0.03), np.uint8(110)], {})),
        "BatchNormalization to bytes": lambda: m.chain(
            m.normal(1, 37, 9, 11), ("BatchNormalization", [m.normal(37), m.normal(37), m.normal(37), m.positive(37)], {}),
            ("Relu", [], {}), ("QuantizeLinear", factors, {})),
        "BatchNormalization of bytes": lambda: m.chain(
            m.normal(1, 37, 7, 5), ("QuantizeLinear", factors, {}), ("DequantizeLinear", factors, {}),
            ("BatchNormalization", [m.normal(37), m.normal(37), m.normal(37), m.positive(37)], {}), ("QuantizeLinear", factors, {}),
            ("DequantizeLinear", factors, {})),
        "MatMulInteger of two inputs": lambda: m.several(
            "MatMulInteger", [m.bytes(2, 5, 67), m.bytes(2, 67, 35)], np.uint8(128), np.uint8(110)),
        "QLinearMatMul of two inputs": lambda: m.case(
            [m.node("QLinearMatMul", ("x", "s", "z", "w", "s", "z", "t", "z"), ("q",)),
             m.node("DequantizeLinear", ("q", "t", "z"), ("y",))],
            {"x": m.bytes(2, 5, 67), "w": m.bytes(2, 67, 35)},
            {"s": np.asarray(factors[0]), "z": np.asarray(factors[1]), "t": np.array(0.3, np.float32)}),
        "ConvTranspose of bytes": lambda: m.case(
            [m.node("QuantizeLinear", ("x", "s", "z"), ("q",)), m.node("DequantizeLinear", ("q", "s", "z"), ("d",)),
             m.node("DequantizeLinear", ("w", "s"), ("v",)), m.node("ConvTranspose", ("d", "v"), ("t",), strides=[2, 2]),
             m.node("QuantizeLinear", ("t", "s2", "z"), ("y",))], {"x": m.normal(1, 9, 7, 8)},
            {"s": np.asarray(factors[0]), "z": np.asarray(factors[1]), "s2": np.asarray(np.float32(0.31)), "w": m.small(9, 7, 2, 2)}),
        "ConvTransposes of bytes, scaled": lambda: _scaled_bytes(m, factors[1]),
        "QLinearSigmoid": lambda: m.one("QLinearSigmoid", (2, 5, 77), *factors, np.float32(1 / 256), np.uint8(0), dtype=np.uint8,
                                        domain="com.microsoft"),
        "QLinearAveragePool": lambda: m.one("QLinearAveragePool", (1, 21, 9, 11), *factors, np.float32(0.01), np.uint8(120), dtype=np.uint8,
                                            domain="com.microsoft", kernel_shape=[3, 3], strides=[2, 2]),
        "Where": lambda: m.several("Where", [m.rng.integers(0, 2, (3, 77)).astype(bool), m.normal(3, 77), m.normal(77)]),
        "OneHot": lambda: m.several("OneHot", [m.rng.integers(-9, 9, (3, 7))], np.array(9), np.array([-1, 2], np.float32)),
    }


def _scaled_bytes(m: Maker, zero: np.uint8) -> Case:
    """Bytes that are floats in memory where nothing multiplies bytes: looked up in a table, and times one byte a channel."""
    scales = {"x": 0.02, "s": 0.0171, "a": 0.413, "b": 0.0079, "c": 0.0137, "t": 1.31}      # products are far from ties

    def between(value: str) -> list[Node]:
        return [m.node("QuantizeLinear", (value, f"{value}_scale", "z"), (f"{value}_bytes",)),
                m.node("DequantizeLinear", (f"{value}_bytes", f"{value}_scale", "z"), (f"{value}_again",))]
    nodes = [*between("x"), *between("s"), m.node("DequantizeLinear", ("w", "w_scale"), ("v",)),
             m.node("ConvTranspose", ("x_again", "v"), ("a",), strides=[2, 2]), *between("a"), m.node("Tanh", ("a_again",), ("b",)),
             *between("b"), m.node("Mul", ("b_again", "s_again"), ("c",)), *between("c"),
             m.node("ConvTranspose", ("c_again", "v"), ("t",), strides=[2, 2]), m.node("QuantizeLinear", ("t", "t_scale", "z"), ("y",))]
    constants = {f"{value}_scale": np.asarray(np.float32(scale)) for value, scale in scales.items()}
    return m.case(nodes, {"x": m.normal(2, 9, 5, 6), "s": m.normal(2, 9, 1, 1)},
                  {**constants, "z": np.asarray(zero), "w": m.small(9, 9, 2, 2), "w_scale": np.asarray(np.float32(0.0113))})


def _between_poolings(m: Maker, x: np.ndarray, w: np.ndarray) -> Case:
    """A Conv whose input and output lie channels-last on every machine, because poolings of many channels want them so."""
    window = {"kernel_shape": [2, 2]}
    return m.chain(x, ("MaxPool", [], window), ("Conv", [w], {"pads": [1, 1, 1, 1]}), ("MaxPool", [], window))


def _of_bytes(m: Maker, op: str) -> Case:
    """An operator on two inputs of bytes, each with its scale and zero point."""
    constants = {"a_scale": np.float32(0.02), "a_zero": np.uint8(128), "b_scale": np.float32(0.03), "b_zero": np.uint8(110),
                 "y_scale": np.float32(0.05), "y_zero": np.uint8(120)}
    names = ("a", "a_scale", "a_zero", "b", "b_scale", "b_zero", "y_scale", "y_zero")
    return m.case([m.node(op, names, ("y",), domain="com.microsoft")], {"a": m.bytes(2, 5, 77), "b": m.bytes(2, 5, 77)},
                  {name: np.asarray(value) for name, value in constants.items()})


def _boxes(m: Maker, count: int) -> np.ndarray:
    """(1, count, 4): corners of boxes of which many overlap."""
    first = m.rng.uniform(0, 2, (1, count, 2))
    return np.concatenate([first, first + m.rng.uniform(0.5, 2, (1, count, 2))], axis=2).astype(np.float32)
