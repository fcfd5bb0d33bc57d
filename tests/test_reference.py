"""evaluate() and infer_outputs() on nodes with fused tails, other value kinds than tensors, other domains, and wrong ones."""
from __future__ import annotations

import gc
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from graph_helper import floats
from onnx import TensorProto, numpy_helper

from fastcnn.ir.errors import ExecutionError, ShapeError, UnsupportedOperatorError
from fastcnn.ir.graph import Activation, Node
from fastcnn.ir.spec import F32, Args, Spec
from fastcnn.operators.cards import FORMULAS
from fastcnn.operators.elementwise import ROUNDINGS
from fastcnn.reference import check_supported, evaluate, evaluator, infer_outputs


@pytest.mark.parametrize("name", sorted(FORMULAS))
def test_fused_activation_is_the_operator_of_that_name(name: str) -> None:
    x, w = floats(1, 3, 4, 4), floats(2, 3, 1, 1)
    parameters = {
        "LeakyRelu": {"alpha": 0.3},
        "Clip": {"min": -0.5, "max": 0.5},
        "HardSigmoid": {"alpha": 0.3, "beta": 0.4},
        "Elu": {"alpha": 0.7},
        "Selu": {"alpha": 1.1, "gamma": 0.9},
        "Swish": {"alpha": 0.7},
        "Celu": {"alpha": 0.7},
        "ThresholdedRelu": {"alpha": 0.4},
        "Shrink": {"lambd": 0.4, "bias": 0.2},
        "GeluTanh": {"approximate": "tanh"},
    }.get(name, {})
    alone = evaluate(Node("Conv", ("x", "w"), ("c",), version=20), [x, w])[0]
    op = "Gelu" if name == "GeluTanh" else name
    version = 6 if op == "Clip" else 24 if op == "Swish" else 20
    if name in ROUNDINGS.values():
        kind = {"RoundFloat16": TensorProto.FLOAT16, "RoundBfloat16": TensorProto.BFLOAT16}[name]
        narrow = evaluate(Node("Cast", ("c",), ("n",), {"to": kind}, version=19), [alone])
        after = evaluate(Node("Cast", ("n",), ("y",), {"to": TensorProto.FLOAT}, version=19), narrow)[0]
    else:
        after = evaluate(Node(op, ("c",), ("y",), parameters, version=version), [alone])[0]
    numbers = [v for v in parameters.values() if not isinstance(v, str)]
    fused = evaluate(Node("Conv", ("x", "w"), ("y",), version=20, activation=Activation(name, *numbers)), [x, w])[0]
    np.testing.assert_allclose(fused, after, rtol=1e-5, atol=1e-6)
    assert fused.dtype == np.float32


def test_fused_residual_slope_and_bias() -> None:
    x, w, residual = floats(1, 3, 4, 4), floats(2, 3, 1, 1), floats(1, 2, 4, 4)
    slope = np.array([0.1, 0.2], np.float32)
    alone = evaluate(Node("Conv", ("x", "w"), ("c",), version=13), [x, w])[0]
    got = evaluate(Node("Conv", ("x", "w", "", "r", "s"), ("y",), version=13), [x, w, None, residual, slope])[0]
    total = alone + residual
    np.testing.assert_allclose(got, np.where(total < 0, total * slope.reshape(2, 1, 1), total), rtol=1e-6)
    m, b = floats(3, 5), floats(5)
    got = evaluate(Node("MatMul", ("a", "m", "b"), ("y",), version=13), [floats(2, 3), m, b])[0]
    np.testing.assert_allclose(got, floats(2, 3) @ m + b, rtol=1e-5)


def args_of(node: Node, *shapes: tuple[int, ...] | None) -> Args:
    """Float inputs of these shapes, of which no values are known."""
    return Args(node, tuple(None if shape is None else Spec(F32, shape) for shape in shapes), (None,) * len(shapes))


def test_fused_node_has_the_types_of_the_plain_one() -> None:
    node = Node("Conv", ("x", "w", "", "r"), ("y",), {"pads": [1, 1, 1, 1]}, version=13, activation=Activation("Relu"))
    shapes = (2, 3, 5, 6), (4, 3, 3, 3), None, (2, 4, 5, 6)
    assert infer_outputs(args_of(node, *shapes)) == [Spec(F32, (2, 4, 5, 6))]
    with pytest.raises(ShapeError, match="input 3 is"):
        infer_outputs(args_of(node, *shapes[:3], (2, 4, 5, 5)))


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_narrow_floats_keep_their_type(dtype: Any) -> None:
    x, w = floats(1, 3, 8, 8).astype(dtype), floats(4, 3, 3, 3).astype(dtype)
    y = evaluate(Node("Conv", ("x", "w"), ("y",), version=22), [x, w])[0]
    exact = evaluate(Node("Conv", ("x", "w"), ("y",), version=22), [x.astype(np.float32), w.astype(np.float32)])[0]
    assert y.dtype == dtype
    np.testing.assert_allclose(y.astype(np.float32), exact, atol=0.1 if dtype is ml_dtypes.bfloat16 else 0.01)


def test_sequences_strings_and_optionals() -> None:
    a, b = floats(2), floats(3)
    sequence = evaluate(Node("SequenceConstruct", ("a", "b"), ("s",), version=13), [a, b])[0]
    np.testing.assert_array_equal(
        evaluate(Node("SequenceAt", ("s", "i"), ("y",), version=13), [sequence, np.array(1)])[0], b
    )
    joined = evaluate(
        Node("StringConcat", ("a", "b"), ("y",), version=20), [np.array(["a"], object), np.array(["b"], object)]
    )[0]
    assert joined.tolist() == ["ab"]
    assert evaluate(Node("OptionalHasElement", ("a",), ("y",), version=18), [None])[0].item() is False


def test_machine_learning_domain() -> None:
    y = evaluate(
        Node("Scaler", ("x",), ("y",), {"offset": [1.0], "scale": [2.0]}, domain="ai.onnx.ml", version=1),
        [np.array([[3.0]], np.float32)],
    )[0]
    assert y.tolist() == [[4.0]]


def test_operator_defined_as_a_function() -> None:
    y = evaluate(Node("MeanVarianceNormalization", ("x",), ("y",), version=13), [floats(2, 3, 4, 4)])[0]
    np.testing.assert_allclose(y.mean((0, 2, 3)), 0, atol=1e-5)


def test_unknown_operator_is_unsupported() -> None:
    node = Node("Magic", ("x",), ("y",), {}, "m", "my.domain", 1)
    for call in (lambda: check_supported(node, {}), lambda: evaluate(node, [floats(1)])):
        with pytest.raises(UnsupportedOperatorError, match=r"my\.domain::Magic 'm'"):
            call()


def test_failure_names_the_node() -> None:
    with pytest.raises(ExecutionError, match="Gather 'g'"):
        evaluate(Node("Gather", ("x", "i"), ("y",), {}, "g", version=13), [floats(3), np.array(7)])
    with pytest.raises(ExecutionError, match="Det 'd'"):
        evaluate(Node("Det", ("x",), ("y",), {}, "d", version=13), [floats(2, 3)])


def test_shapes_that_do_not_fit_name_the_node() -> None:
    with pytest.raises(ShapeError, match=r"MatMul 'm': a has 3 columns, b 4 rows \(inputs: float32\[2, 3\], float32\[4, 5\]\)"):
        infer_outputs(args_of(Node("MatMul", ("a", "b"), ("y",), {}, "m", version=13), (2, 3), (4, 5)))


def test_shape_that_depends_on_data_is_none_until_the_data_is_known() -> None:
    node = Node("Reshape", ("x", "s"), ("y",), version=13)
    specs, asked = (Spec(F32, (2, 6)), Spec(np.dtype(np.int64), (2,))), []
    assert infer_outputs(Args(node, specs, (None, None)), asked) == [None] and asked == ["s"]
    assert infer_outputs(Args(node, specs, (None, np.array([3, -1])))) == [Spec(F32, (3, 4))]


def test_evaluators_live_as_long_as_their_nodes() -> None:
    node = Node("Det", ("x",), ("y",), version=13)
    gc.collect()                    # nodes of earlier tests
    before = len(evaluator._kept)
    evaluate(node, [np.eye(2, dtype=np.float32)])
    evaluate(node, [np.eye(2, dtype=np.float32)])
    assert len(evaluator._kept) == before + 1
    del node
    gc.collect()
    assert len(evaluator._kept) == before


def test_tensor_attributes_reach_the_reference() -> None:
    value = numpy_helper.to_array(numpy_helper.from_array(np.array([7], np.int64)))
    assert evaluate(Node("ConstantOfShape", ("s",), ("y",), {"value": value}, version=9), [np.array([2])])[0].tolist() == [
        7,
        7,
    ]


def test_infer_outputs_runs_nothing_where_there_is_a_rule(monkeypatch):
    """Of operators of other domains: a run on zeros takes the time of a run."""
    from importlib import import_module

    from fastcnn.inference.rules import OTHERS
    module = import_module("fastcnn.reference.evaluate")
    monkeypatch.setattr(module, "infer_by_rules", lambda args, asked=None, memory=None: ["by a rule"])
    monkeypatch.setattr(module, "evaluate", lambda *args: pytest.fail("was run"))
    for domain, name in OTHERS:
        node = Node(name, ("x",), ("y",), {}, "n", domain)
        assert module.infer_outputs(Args(node, (Spec(F32, (1, 2)),), (None,))) == ["by a rule"]
