"""Residuals added in place: where nobody reads them later, never where they are read again or handed out; the same bits."""
from __future__ import annotations

import numpy as np
import onnx
import pytest
from graph_helper import node
from onnx import TensorProto, helper, numpy_helper

import fastcnn
from fastcnn.plan import lowering
from fastcnn.plan.in_place import RESIDUAL_OF

RNG = np.random.default_rng(0)
X = RNG.standard_normal((1, 16, 12, 12), dtype=np.float32)
SIZES = {"a": 3, "b": 1, "c": 3, "p": 1, "d": 1}            # Conv -> kernel, all from 16 to 16 channels


def network(nodes: list[onnx.NodeProto], outputs: list[str]) -> onnx.ModelProto:
    used = {name for n in nodes for name in n.input}
    weights = [numpy_helper.from_array((RNG.standard_normal((16, 16, k, k)) / (4 * k)).astype(np.float32), name)
               for name, k in SIZES.items() if name in used]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    graph = helper.make_graph(nodes, "residual", [helper.make_tensor_value_info("x", TensorProto.FLOAT, X.shape)], values, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def conv(x: str, w: str, y: str) -> onnx.NodeProto:
    return node("Conv", [x, w], [y], pads=[SIZES[w] // 2] * 4)


def shared(net: fastcnn.Model) -> list[bool]:
    """Of every step with a residual, whether the output lies where the residual does."""
    plan = next(iter(net._default.plans.values()))
    steps = [(operands, RESIDUAL_OF.get(kind, len(operands))) for kind, operands, *_ in SEEN[id(plan.direct.program)]]
    return [operands[0] == operands[at] for operands, at in steps if at < len(operands) and operands[at] is not None]


SEEN: dict[int, list] = {}          # the steps of each program that was made


@pytest.fixture(autouse=True)
def recorded(monkeypatch):
    made = lowering._native.Program

    def program(steps, *rest):
        result = made(steps, *rest)
        SEEN[id(result)] = steps
        return result

    monkeypatch.setattr(lowering._native, "Program", program)
    yield
    SEEN.clear()


def check(nodes, outputs, wanted: list[bool], threads: int = 1) -> None:
    import onnxruntime

    model = network(nodes, outputs)
    net = fastcnn.load(model, threads=threads)
    expected = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, {"x": X})
    for _ in range(2):
        for got, want in zip(net.run(None, {"x": X}), expected, strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    assert shared(net) == wanted


CHAIN = [conv("x", "a", "r"), conv("r", "b", "m"), node("Relu", ["m"], ["mr"])]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("last", ["c", "d"])
def test_a_residual_that_dies_is_overwritten(last, threads, isa):
    """Winograd's or the direct kernel of 3x3, and a 1x1; the next convolution reads the sum."""
    nodes = [*CHAIN, conv("mr", last, "n"), node("Add", ["n", "r"], ["s"]), node("Relu", ["s"], ["t"]), conv("t", "p", "y")]
    check(nodes, ["y"], [True], threads)


def test_two_after_the_other_share_one_place():
    nodes = [*CHAIN, conv("mr", "c", "n"), node("Add", ["n", "r"], ["s"]), conv("s", "b", "m2"), conv("m2", "d", "n2"),
             node("Add", ["n2", "s"], ["s2"]), conv("s2", "p", "y")]
    check(nodes, ["y"], [True, True])


def test_a_residual_that_is_read_again_stays():
    nodes = [*CHAIN, conv("mr", "c", "n"), node("Add", ["n", "r"], ["s"]), conv("s", "p", "q"), node("Mul", ["q", "r"], ["y"])]
    check(nodes, ["y"], [False])


def test_a_residual_that_is_the_input_of_the_convolution_stays():
    check([conv("x", "a", "r"), conv("r", "c", "n"), node("Add", ["n", "r"], ["s"]), conv("s", "p", "y")], ["y"], [False])


def test_what_is_handed_out_lies_where_the_caller_sees_it(plan_for):
    """With other caches the step before may write planes for the caller, and what is added to is a copy of them in the arena."""
    plan_for()
    nodes = [*CHAIN, conv("mr", "c", "n"), node("Add", ["n", "r"], ["s"]), conv("s", "p", "y")]
    check(nodes, ["y", "r"], [False])
