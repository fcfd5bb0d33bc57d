"""Cards of elementwise operators: functions of one, two or many values."""
from __future__ import annotations

import numpy as np

from fastcnn.operators.batching import broadcast
from fastcnn.operators.card import MANY, Card, Formula, Function
from fastcnn.operators.functions import bfloat16, celu, elu, erf, gelu, gelu_tanh, shrink, sigmoid, softplus


def unary(formula: Formula, *parameters: tuple[str, float]) -> Card:
    """The card of a function of one value that always runs as a step."""
    return Card(broadcast, 1, Function(formula, parameters))


def fused(formula: Formula, *parameters: tuple[str, float]) -> Card:
    """The card of a function of one value that may also run in the epilogue of the node before."""
    return Card(broadcast, 1, Function(formula, parameters, fused=True))


ONE, TWO, THREE, ALL = Card(broadcast, 1), Card(broadcast, 2), Card(broadcast, 3), Card(broadcast, MANY)

# Element type -> the operator of this package's own domain that rounds floats to what the type can hold.
OWN_DOMAIN = "fastcnn"
ROUNDINGS = {"tensor(float16)": "RoundFloat16", "tensor(bfloat16)": "RoundBfloat16"}

ACTIVATIONS: dict[str, Card] = {
    "Relu": fused(lambda x, a, b: np.maximum(x, 0)),
    "LeakyRelu": fused(lambda x, a, b: np.where(x < 0, a * x, x), ("alpha", 0.01)),
    "PRelu": TWO,
    # min and max, which are inputs from opset 11 on
    "Clip": fused(lambda x, a, b: np.minimum(np.maximum(x, a), b), ("min", -np.inf), ("max", np.inf)),
    "Sigmoid": fused(lambda x, a, b: sigmoid(x)),
    "Tanh": fused(lambda x, a, b: np.tanh(x)),
    "HardSigmoid": fused(lambda x, a, b: np.clip(a * x + b, 0, 1), ("alpha", 0.2), ("beta", 0.5)),
    "HardSwish": fused(lambda x, a, b: x * np.clip(x / 6 + 0.5, 0, 1)),
    "Elu": fused(lambda x, a, b: elu(x, a), ("alpha", 1.0)),
    "Selu": fused(lambda x, a, b: b * np.where(x <= 0, a * np.expm1(np.minimum(x, 0)), x),
                  ("alpha", 1.6732632423543772), ("gamma", 1.0507009873554805)),
    "Celu": unary(lambda x, a, b: celu(x, a), ("alpha", 1.0)),
    "Softplus": fused(lambda x, a, b: softplus(x)),
    "Softsign": fused(lambda x, a, b: x / (1 + np.abs(x))),
    "Mish": fused(lambda x, a, b: x * np.tanh(softplus(x))),
    "Gelu": Card(broadcast, 1, Function(gelu, fused=True, variants={("approximate", "tanh"): ("GeluTanh", gelu_tanh)})),
    "Swish": fused(lambda x, a, b: x * sigmoid(a * x), ("alpha", 1.0)),
    "ThresholdedRelu": unary(lambda x, a, b: np.where(x > a, x, 0), ("alpha", 1.0)),
    "Shrink": unary(shrink, ("lambd", 0.5), ("bias", 0.0)),
}
ARITHMETIC: dict[str, Card] = {
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "Mod", "Pow"), TWO),
    **dict.fromkeys(("Max", "Min", "Mean", "Sum"), ALL),
    "Abs": unary(lambda x, a, b: np.abs(x)),
    "Neg": unary(lambda x, a, b: -x),
    "Sign": unary(lambda x, a, b: np.sign(x)),
    "Exp": unary(lambda x, a, b: np.exp(x)),
    "Log": unary(lambda x, a, b: np.log(x)),
    "Sqrt": unary(lambda x, a, b: np.sqrt(x)),
    "Reciprocal": unary(lambda x, a, b: 1 / x),
    "Erf": unary(lambda x, a, b: erf(x)),
    "Sin": unary(lambda x, a, b: np.sin(x)),
    "Cos": unary(lambda x, a, b: np.cos(x)),
    "Tan": unary(lambda x, a, b: np.tan(x)),
    "Asin": unary(lambda x, a, b: np.arcsin(x)),
    "Acos": unary(lambda x, a, b: np.arccos(x)),
    "Atan": unary(lambda x, a, b: np.arctan(x)),
    "Sinh": unary(lambda x, a, b: np.sinh(x)),
    "Cosh": unary(lambda x, a, b: np.cosh(x)),
    "Asinh": unary(lambda x, a, b: np.arcsinh(x)),
    "Acosh": unary(lambda x, a, b: np.arccosh(x)),
    "Atanh": unary(lambda x, a, b: np.arctanh(x)),
    "Floor": unary(lambda x, a, b: np.floor(x)),
    "Ceil": unary(lambda x, a, b: np.ceil(x)),
    "Round": unary(lambda x, a, b: np.rint(x)),
}
LOGIC: dict[str, Card] = {
    **dict.fromkeys(("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "And", "Or", "Xor", "BitwiseAnd", "BitwiseOr",
                     "BitwiseXor", "BitShift"), TWO),
    **dict.fromkeys(("Not", "IsNaN", "IsInf", "BitwiseNot"), ONE),
    "Where": THREE,
}
TYPES: dict[str, Card] = {
    "Cast": ONE,
    "CastLike": ONE,                # input 1 has a type to say and nothing else
    "RoundFloat16": fused(lambda x, a, b: x.astype(np.float16)),
    "RoundBfloat16": fused(lambda x, a, b: bfloat16(x)),
}
