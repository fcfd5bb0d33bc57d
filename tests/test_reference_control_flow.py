"""If, Loop and Scan of the fallback: scan outputs of any rank, no rounds at all, axes and directions, operators corrected inside bodies."""
from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import fastcnn

pytestmark = pytest.mark.filterwarnings("ignore:.*no native kernel:RuntimeWarning")
FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
info, node = helper.make_tensor_value_info, helper.make_node


def model_of(control: onnx.NodeProto, inputs, outputs, constants=(), opset=17) -> onnx.ModelProto:
    graph = helper.make_graph([control], "test", [info(*i) for i in inputs], [info(*o) for o in outputs],
                              [numpy_helper.from_array(np.asarray(a), name) for name, a in constants])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def check(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> None:
    expected = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, feeds)
    for got, want in zip(fastcnn.load(model).run(None, feeds), expected):
        assert got.shape == want.shape and got.dtype == want.dtype
        np.testing.assert_allclose(got, want, rtol=1e-6)


def loop(shape: list[int]) -> onnx.NodeProto:
    """carried = carried * 2 + outer, and what it was before as a scan output."""
    body = helper.make_graph([node("Identity", ["go"], ["go_out"]), node("Add", ["x", "x"], ["twice"]),
                              node("Add", ["twice", "outer"], ["x_out"]), node("Identity", ["x"], ["before"])], "body",
                             [info("k", INT64, []), info("go", BOOL, []), info("x", FLOAT, shape)],
                             [info("go_out", BOOL, []), info("x_out", FLOAT, shape), info("before", FLOAT, shape)])
    return node("Loop", ["rounds", "", "x0"], ["y", "ys"], body=body)


@pytest.mark.parametrize("rounds", [0, 1, 4])
@pytest.mark.parametrize("shape", [[], [1], [3], [2, 3]], ids=str)
def test_loop_stacks_scan_outputs(shape, rounds):
    model = model_of(loop(shape), [("rounds", INT64, []), ("x0", FLOAT, shape)],
                     [("y", FLOAT, shape), ("ys", FLOAT, [None, *shape])], [("outer", np.float32(0.5))])
    check(model, {"rounds": np.array(rounds), "x0": np.ones(shape, np.float32)})


@pytest.mark.parametrize("axes, backward", [((0, 0), (0, 0)), ((1, 0), (0, 1)), ((1, 1), (1, 1))], ids=str)
def test_scan_axes_and_directions(axes, backward):
    body = helper.make_graph([node("Add", ["s", "a"], ["t"]), node("Mul", ["t", "b"], ["y"])], "body",
                             [info("s", FLOAT, [3]), info("a", FLOAT, [3]), info("b", FLOAT, [3])],
                             [info("t", FLOAT, [3]), info("y", FLOAT, [3])])
    scan = node("Scan", ["s0", "as", "bs"], ["s", "ys"], body=body, num_scan_inputs=2, scan_input_axes=list(axes),
                scan_input_directions=list(backward), scan_output_axes=[axes[0]], scan_output_directions=[backward[1]])
    rng, shapes = np.random.default_rng(0), [[4, 3] if axis == 0 else [3, 4] for axis in axes]
    model = model_of(scan, [("s0", FLOAT, [3]), ("as", FLOAT, shapes[0]), ("bs", FLOAT, shapes[1])],
                     [("s", FLOAT, [3]), ("ys", FLOAT, shapes[0])])
    check(model, {name: rng.standard_normal(shape, dtype=np.float32) for name, shape in zip(("s0", "as", "bs"), ([3], *shapes))})


@pytest.mark.parametrize("backward", [0, 1])
def test_scan_8_batches_and_lengths(backward):
    body = helper.make_graph([node("Add", ["s", "a"], ["t"]), node("Identity", ["t"], ["y"])], "body",
                             [info("s", FLOAT, [2]), info("a", FLOAT, [2])], [info("t", FLOAT, [2]), info("y", FLOAT, [2])])
    scan = node("Scan", ["lengths", "s0", "as"], ["s", "ys"], body=body, num_scan_inputs=1, directions=[backward])
    model = model_of(scan, [("lengths", INT64, [2]), ("s0", FLOAT, [2, 2]), ("as", FLOAT, [2, 3, 2])],
                     [("s", FLOAT, [2, 2]), ("ys", FLOAT, [2, 3, 2])], opset=8)
    check(model, {"lengths": np.array([3, 2]), "s0": np.zeros((2, 2), np.float32),
                  "as": np.arange(12, dtype=np.float32).reshape(2, 3, 2)})


@pytest.mark.parametrize("taken", [True, False])
def test_if_corrects_operators_of_old_opsets_inside(taken):
    branches = [helper.make_graph([node(kind, ["x"], ["y_" + kind], axis=1)], kind, [], [info("y_" + kind, FLOAT, [2, 3, 4])])
                for kind in ("Softmax", "LogSoftmax")]
    model = model_of(node("If", ["c"], ["y"], then_branch=branches[0], else_branch=branches[1]),
                     [("c", BOOL, []), ("x", FLOAT, [2, 3, 4])], [("y", FLOAT, [2, 3, 4])], opset=11)
    check(model, {"c": np.array(taken), "x": np.random.default_rng(1).standard_normal((2, 3, 4), dtype=np.float32)})


def test_unknown_operator_in_a_body_is_refused_at_load():
    body = helper.make_graph([node("Nothing", ["x"], ["z"], domain="some.where", name="inner")], "body", [], [info("z", FLOAT, None)])
    model = model_of(node("If", ["c"], ["y"], then_branch=body, else_branch=body), [("c", BOOL, []), ("x", FLOAT, [2])],
                     [("y", FLOAT, None)])
    model.opset_import.append(helper.make_opsetid("some.where", 1))
    with pytest.raises(fastcnn.UnsupportedOperatorError, match="Nothing 'inner'"):
        fastcnn.load(model)
