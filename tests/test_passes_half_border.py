"""float16 at the border of models: one cast for an input or output, the same halves as numpy's, whatever else reads or makes them."""
from __future__ import annotations

import warnings

import numpy as np
import pytest
from graph_helper import model, node
from onnx import TensorProto, helper, numpy_helper

import fastcnn

FLOAT, HALF = TensorProto.FLOAT, TensorProto.FLOAT16
EVERY = np.arange(65536, dtype=np.uint16).view(np.float16)


def loaded(nodes, outputs: dict[str, int], constants=(), shape=("n",)) -> fastcnn.Model:
    """x is half; outputs by name, with their types."""
    values = [helper.make_tensor_value_info(name, kind, None) for name, kind in outputs.items()]
    graph = helper.make_graph(nodes, "half", [helper.make_tensor_value_info("x", HALF, shape)], values,
                              [numpy_helper.from_array(array, name) for name, array in constants])
    return fastcnn.load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9))


def steps(net: fastcnn.Model) -> list[str]:
    plan = next(iter(net._default.plans.values()))
    return [info.kind for stage in plan.stages for info in stage.steps]


def test_a_half_input_is_widened_by_one_step(isa):
    net = loaded([node("Cast", ["x"], ["y"], to=FLOAT)], {"y": FLOAT})
    np.testing.assert_array_equal(net.run(None, {"x": EVERY})[0], EVERY.astype(np.float32))
    assert steps(net) == ["cast"]


def test_a_half_output_is_rounded_by_one_step(isa):
    """Every half, what lies halfway between two, what is too large; no warning of overflow."""
    net = fastcnn.load(model([node("Cast", ["x"], ["y"], to=HALF)], {"x": ["n"]}, ["y"], opset=17, types={"x": FLOAT, "y": HALF}))
    wide = EVERY.astype(np.float32)
    finite = np.sort(wide[np.isfinite(wide)])
    for x in (wide, (finite[:-1] + finite[1:]) / 2, np.float32([65519, 65520, 1e30, -1e30, 1e-30]), finite[:0]):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            got, = net.run(None, {"x": x})
        with np.errstate(over="ignore"):
            np.testing.assert_array_equal(got, x.astype(np.float16))
        assert got.dtype == np.float16
    assert steps(net) == ["cast"]


GRID = EVERY[1000:1600].reshape(20, 30)


@pytest.mark.parametrize("x", [GRID[::2, ::3], GRID.T, GRID[:0]], ids=["strided", "transposed", "empty"])
def test_half_inputs_of_any_layout(x):
    net = loaded([node("Neg", ["x"], ["y"])], {"y": HALF}, shape=("n", "m"))
    y, = net.run(None, {"x": x})
    assert y.dtype == np.float16
    np.testing.assert_array_equal(y, -x)


def test_outputs_that_are_read_constant_inputs_or_rounded_twice():
    constant = np.float16([1, 2.5])
    nodes = [node("Neg", ["x"], ["y"]), node("Abs", ["y"], ["z"]), node("Add", ["z", "c"], ["s"]), node("Cast", ["s"], ["w"], to=FLOAT),
             node("Identity", ["x"], ["i"])]
    kinds = {"y": HALF, "z": HALF, "w": FLOAT, "c": HALF, "x": HALF, "i": HALF}
    net = loaded(nodes, kinds, [("c", constant)], shape=(2,))
    x = np.float16([-3, 0.1])
    y, z, w, c, same, i = net.run(None, {"x": x})
    for got, want in ((y, -x), (z, abs(x)), (w, abs(x).astype(np.float32) + constant), (c, constant), (same, x), (i, x)):
        assert got.dtype == want.dtype
        np.testing.assert_array_equal(got, want)
        assert not np.shares_memory(got, x)
    twice = net.run(["y", "y"], {"x": x})
    np.testing.assert_array_equal(twice, [-x, -x])
    out = np.empty(2, np.float16)
    assert net.run(["z"], {"x": x}, out=[out])[0] is out and (out == abs(x)).all()
