"""Counts multiply-accumulates as papers do: one per product in convolutions, matrix products and recurrent layers, nothing else."""
from __future__ import annotations

from collections.abc import Callable
from math import prod

from fastcnn.ir.spec import Spec
from fastcnn.ops.base import BoundNode

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
Rule = Callable[[BoundNode, Spec], int]


def macs(bound: BoundNode, output: Spec | None) -> int:
    """The multiply-accumulates of a node in one run. output: Spec of its first output."""
    rule = RULES.get(bound.op_type)
    return rule(bound, output) if rule is not None and output is not None else 0


def _convolution(weights: int) -> Rule:
    """Each output element takes ic / group * kh * kw products. weights: the position of the weights among the inputs."""
    return lambda b, y: y.size * prod(b.args.spec(weights).shape[1:])


def _transposed(b: BoundNode, y: Spec) -> int:
    """Each input element takes part in oc / group * kh * kw products."""
    return b.args.spec(0).size * prod(b.args.spec(1).shape[1:])


def _unshared(b: BoundNode, y: Spec) -> int:
    return y.shape[0] * b.args.spec(1).size


def _gemm(b: BoundNode, y: Spec) -> int:
    return y.size * b.args.spec(0).shape[0 if b.node.attrs.get("transA") else 1]


def _matmul(b: BoundNode, y: Spec) -> int:
    return y.size * b.args.spec(0).shape[-1] if b.args.spec(0).shape else 0


def _einsum(b: BoundNode, y: Spec) -> int:
    """One product for every combination of the letters."""
    equation = b.node.attrs.get("equation", "")
    equation = (equation.decode() if isinstance(equation, bytes) else equation).replace(" ", "").split("->")[0]
    if "." in equation:
        return 0
    terms = [(term, b.args.spec(k).shape) for k, term in enumerate(equation.split(","))]
    return prod({letter: extent for term, shape in terms for letter, extent in zip(term, shape)}.values())


def _recurrent(b: BoundNode, y: Spec) -> int:
    """x: (steps, batch, features); w: (directions, gates * hidden, features)."""
    steps, batch, features = b.args.spec(0).shape
    directions, rows, _ = b.args.spec(1).shape
    return steps * batch * directions * rows * (features + rows // GATES[b.op_type])


def _dynamic_lstm(b: BoundNode, y: Spec) -> int:
    """x: (steps, batch, features); w: (directions, features, gates * hidden)."""
    steps, batch, features = b.args.spec(0).shape
    directions, _, columns = b.args.spec(1).shape
    return steps * batch * directions * columns * (features + columns // GATES["LSTM"])


RULES: dict[str, Rule] = {
    **dict.fromkeys(("Conv", "DeformConv", "ConvInteger", "FusedConv", "QConv"), _convolution(1)),
    "QLinearConv": _convolution(3),
    **dict.fromkeys(("ConvTranspose", "QConvTranspose"), _transposed),
    "LocallyConnected": _unshared,
    "Gemm": _gemm,
    **dict.fromkeys(("MatMul", "MatMulInteger", "QLinearMatMul", "FusedMatMul", "QMatMul", "QBatchMatMul"), _matmul),
    "Einsum": _einsum,
    **dict.fromkeys(GATES, _recurrent),
    "DynamicQuantizeLSTM": _dynamic_lstm,
}
