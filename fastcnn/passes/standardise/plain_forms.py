"""Rewrites rare forms of operators, for which there are no kernels, into common operators."""
from __future__ import annotations

import numpy as np

from fastcnn.expansion import Expansion, Rule, expand_nodes, type_of
from fastcnn.ir.graph import Graph
from fastcnn.onnx_proto.types import ELEMENT_NUMBERS

TIME_FIRST = [1, 0, 2]
TRAINING_MODE = 14       # the version of BatchNormalization that has it
# Types that Max and Min are native for, and Relu and Clip are not.
TYPED = frozenset({"tensor(double)", "tensor(int8)", "tensor(int16)", "tensor(int32)", "tensor(int64)", "tensor(uint8)", "tensor(uint32)",
                   "tensor(uint64)"})


def plain_forms(graph: Graph) -> bool:
    """Rewrites the nodes of PLAIN_FORMS."""
    return expand_nodes(graph, PLAIN_FORMS)


def _gemm(e: Expansion) -> tuple[str, ...] | None:
    """alpha A' B' + beta C where B is computed, or all are doubles: a MatMul; where C is no constant row: an Add after it."""
    c = e.value(2)
    row = not e.input(2) or (c is not None and (c.size == 1 or c.shape[-1] == c.size))
    floats = type_of(e.graph, e.input(0)) == "tensor(float)"
    if (e.value(1) is not None and row and floats) or not (floats or type_of(e.graph, e.input(0)) == "tensor(double)"):
        return None
    alpha, beta = e.attr("alpha", 1.0), e.attr("beta", 1.0)
    if e.value(1) is not None and floats:
        y = e.add("Gemm", e.input(0), e.input(1), **{k: v for k, v in e.node.attrs.items() if k != "beta"})
    else:
        a, b = (e.add("Transpose", e.input(i), perm=[1, 0]) if e.attr(f"trans{'AB'[i]}", 0) else e.input(i) for i in range(2))
        y = e.add("MatMul", a, b)
        y = e.add("Mul", y, e.constant(alpha)) if alpha != 1 else y
    if not e.input(2):
        return y,
    return e.add("Add", y, e.add("Mul", e.input(2), e.constant(beta)) if beta != 1 else e.input(2)),


def _layer_norm(e: Expansion) -> tuple[str, ...] | None:
    """The outputs Mean and InvStdDev by reductions of their own."""
    rank = e.rank(0)
    if rank is None or not any(e.node.outputs[1:]) or type_of(e.graph, e.input(0)) != "tensor(float)":
        return None
    axes = list(range(e.attr("axis", -1) % rank, rank))
    mean = _mean(e, e.input(0), axes)
    centred = e.add("Sub", e.input(0), mean)
    variance = _mean(e, e.add("Mul", centred, centred), axes)
    deviation = e.add("Sqrt", e.add("Add", variance, e.constant(e.attr("epsilon", 1e-5))))
    y = e.add("LayerNormalization", *e.node.inputs, version=e.node.version, **e.node.attrs)
    return y, mean, e.add("Reciprocal", deviation)


def _mean(e: Expansion, x: str, axes: list[int], keepdims: int = 1) -> str:
    if e.opset < 18:
        return e.add("ReduceMean", x, axes=axes, keepdims=keepdims)
    return e.add("ReduceMean", x, e.constant(axes, np.int64), keepdims=keepdims)


def _batch_norm(e: Expansion) -> tuple[str, ...] | None:
    """(x - mean) * (scale / sqrt(var + epsilon)) + bias where any of these is computed."""
    rank = e.rank(0)
    if e.node.version < TRAINING_MODE and any(e.node.outputs[1:]) and rank is not None and e.attr("spatial", 1):
        return _trained(e, rank)
    computed = any(e.value(i) is None for i in range(1, 5))
    if not computed or rank is None or rank < 2 or any(e.node.outputs[1:]) or e.attr("training_mode", 0) or not e.attr("spatial", 1):
        return None
    if type_of(e.graph, e.input(0)) != "tensor(float)":
        return None
    shape = e.constant([-1, *[1] * (rank - 2)], np.int64)
    scale, bias, mean, var = (e.add("Reshape", e.input(i), shape) for i in range(1, 5))
    factor = e.add("Div", scale, e.add("Sqrt", e.add("Add", var, e.constant(e.attr("epsilon", 1e-5)))))
    return e.add("Add", e.add("Mul", e.add("Sub", e.input(0), mean), factor), bias),


def _trained(e: Expansion, rank: int) -> tuple[str, ...]:
    """Statistics among the outputs, before there was training_mode: the last two are the batch's own mean and variance."""
    attrs = {name: value for name, value in e.node.attrs.items() if name != "spatial"}
    y = e.add("BatchNormalization", *e.node.inputs, version=TRAINING_MODE, outputs=3, training_mode=1, **attrs)
    results = y, f"{y}.1", f"{y}.2"
    if not any(e.node.outputs[3:]):
        return results
    axes = [0, *range(2, rank)]
    centred = e.add("Sub", e.input(0), _mean(e, e.input(0), axes))
    return *results, _mean(e, e.input(0), axes, keepdims=0), _mean(e, e.add("Mul", centred, centred), axes, keepdims=0)


def _max_pool(e: Expansion) -> tuple[str, ...] | None:
    """MaxPool of 8-bit integers: in float32, which holds them exactly. Unsigned ones have a kernel over one and two axes."""
    kind = type_of(e.graph, e.input(0))
    if kind not in ("tensor(int8)", "tensor(uint8)") or (kind == "tensor(uint8)" and e.rank(0) in (3, 4) and not any(e.node.outputs[1:])):
        return None
    wide = e.add("Cast", e.input(0), to=ELEMENT_NUMBERS["float"])
    y = e.add("MaxPool", wide, version=e.node.version, outputs=len(e.node.outputs), **e.node.attrs)
    return e.add("Cast", y, to=ELEMENT_NUMBERS[kind[7:-1]]), *(f"{y}.{k}" for k in range(1, len(e.node.outputs)))


def _global_average(e: Expansion) -> tuple[str, ...] | None:
    """GlobalAveragePool of doubles: the mean over the spatial axes."""
    rank = e.rank(0)
    if rank is None or rank < 3 or type_of(e.graph, e.input(0)) != "tensor(double)":
        return None
    return _mean(e, e.input(0), list(range(2, rank))),


def _relu(e: Expansion) -> tuple[str, ...] | None:
    """Relu of doubles and integers: the larger of x and 0."""
    kind = type_of(e.graph, e.input(0))
    return (e.add("Max", e.input(0), e.constant(0)),) if kind in TYPED else None


def _clip(e: Expansion) -> tuple[str, ...] | None:
    """Clip of doubles and integers: the larger of x and min, the smaller of that and max."""
    if type_of(e.graph, e.input(0)) not in TYPED:
        return None
    y = e.input(0)
    for i, (name, op_type) in enumerate((("min", "Max"), ("max", "Min")), start=1):
        limit = e.input(i) or (e.constant(e.attr(name)) if e.attr(name) is not None else "")
        y = e.add(op_type, y, limit) if limit else y
    return y,


def _dropout(e: Expansion) -> tuple[str, ...] | None:
    """Outside training: x, and a mask of nothing but True."""
    training = e.value(2)
    if not any(e.node.outputs[1:]) or e.node.version < 12 or (e.input(2) and (training is None or training.any())):
        return None
    return e.input(0), e.add("Expand", e.constant(True, np.bool_), e.add("Shape", e.input(0)))


def _is_inf(e: Expansion) -> tuple[str, ...] | None:
    """IsInf of one sign only."""
    if e.attr("detect_negative", 1) == e.attr("detect_positive", 1) or type_of(e.graph, e.input(0)) != "tensor(float)":
        return None
    sign = e.add("Less" if e.attr("detect_negative", 1) else "Greater", e.input(0), e.constant(0.0))
    return e.add("And", e.add("IsInf", e.input(0)), sign),


def _recurrent(e: Expansion) -> tuple[str, ...] | None:
    """layout=1, the batch first: transpositions around layout=0."""
    if not e.attr("layout", 0):
        return None
    inputs = [e.add("Transpose", v, perm=TIME_FIRST) if v and i in (0, 5, 6) else v for i, v in enumerate(e.node.inputs)]
    attrs = {name: value for name, value in e.node.attrs.items() if name != "layout"}
    y = e.add(e.node.op_type, *inputs, outputs=len(e.node.outputs), **attrs)
    states = (e.add("Transpose", f"{y}.{k}", perm=TIME_FIRST) for k in range(1, len(e.node.outputs)))
    return e.add("Transpose", y, perm=[2, 0, 1, 3]), *states


PLAIN_FORMS: dict[tuple[str, str], Rule] = {
    ("", "BatchNormalization"): _batch_norm,
    ("", "Clip"): _clip,
    ("", "Dropout"): _dropout,
    ("", "GRU"): _recurrent,
    ("", "Gemm"): _gemm,
    ("", "GlobalAveragePool"): _global_average,
    ("", "IsInf"): _is_inf,
    ("", "LSTM"): _recurrent,
    ("", "LayerNormalization"): _layer_norm,
    ("", "MaxPool"): _max_pool,
    ("", "RNN"): _recurrent,
    ("", "Relu"): _relu,
}
