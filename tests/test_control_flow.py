"""If, Loop and Scan, by programs of their bodies and by the fallback, against onnxruntime: shapes, rounds, axes, captures, errors."""
from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

import fastcnn
from fastcnn.passes import run_passes
from fastcnn.reader import read
from fastcnn.reference import evaluate_graph

FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
info, node = helper.make_tensor_value_info, helper.make_node


def model_of(control: onnx.NodeProto, inputs, outputs, constants=(), opset=17) -> onnx.ModelProto:
    graph = helper.make_graph([control], "test", [info(*i) for i in inputs], [info(*o) for o in outputs],
                              [numpy_helper.from_array(np.asarray(a), name) for name, a in constants])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def check(model: onnx.ModelProto, feeds: dict[str, np.ndarray], native: bool = True) -> fastcnn.Model:
    """Programs and the fallback, before and after passes, agree with onnxruntime; nothing numeric is in the fallback."""
    expected = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, feeds)
    loaded = fastcnn.load(model)
    results = [loaded.run(None, feeds), loaded.run(None, feeds)]
    results += [list(evaluate_graph(graph, feeds).values()) for graph in (read(model), run_passes(read(model)))]
    for result in results:
        for got, want in zip(result, expected):
            assert got.shape == want.shape and got.dtype == want.dtype
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
    assert not native or loaded.fallback_nodes == []
    return loaded


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
    fed = [("c", BOOL, []), ("x", FLOAT, [2])]
    model = model_of(node("If", ["c"], ["y"], then_branch=body, else_branch=body), fed, [("y", FLOAT, None)])
    model.opset_import.append(helper.make_opsetid("some.where", 1))
    with pytest.raises(fastcnn.UnsupportedOperatorError, match="Nothing 'inner'"):
        fastcnn.load(model)


def body_of(nodes, inputs, outputs, constants=(), name="body") -> onnx.GraphProto:
    return helper.make_graph(nodes, name, [info(*i) for i in inputs], [info(*o) for o in outputs],
                             [numpy_helper.from_array(np.asarray(a), k) for k, a in constants])


COUNTERS, GO = [("k", INT64, []), ("go", BOOL, [])], ("go_out", BOOL, [])


def test_lstm_cell_in_a_loop_is_one_program_a_round():
    """What exporters write for a decoder: a step by its number, gates split, weights captured from around the body."""
    hidden, rng = 8, np.random.default_rng(2)
    body = body_of(
        [node("Gather", ["xs", "k"], ["x"], axis=0), node("MatMul", ["x", "w"], ["a"]), node("MatMul", ["h", "r"], ["b"]),
         node("Add", ["a", "b"], ["s"]), node("Add", ["s", "bias"], ["gates"]), node("Split", ["gates"], ["i", "f", "g", "o"], axis=1),
         node("Sigmoid", ["i"], ["i1"]), node("Sigmoid", ["f"], ["f1"]), node("Tanh", ["g"], ["g1"]), node("Sigmoid", ["o"], ["o1"]),
         node("Mul", ["f1", "c"], ["fc"]), node("Mul", ["i1", "g1"], ["ig"]), node("Add", ["fc", "ig"], ["c_out"]),
         node("Tanh", ["c_out"], ["t"]), node("Mul", ["o1", "t"], ["h_out"]), node("Identity", ["go"], ["go_out"]),
         node("Identity", ["h_out"], ["y"])],
        [*COUNTERS, ("h", FLOAT, [2, hidden]), ("c", FLOAT, [2, hidden])],
        [GO, ("h_out", FLOAT, [2, hidden]), ("c_out", FLOAT, [2, hidden]), ("y", FLOAT, [2, hidden])])
    weights = {"w": (5, 4 * hidden), "r": (hidden, 4 * hidden), "bias": (4 * hidden,)}
    model = model_of(node("Loop", ["rounds", "", "h0", "c0"], ["h", "c", "ys"], body=body),
                     [("xs", FLOAT, [6, 2, 5]), ("h0", FLOAT, [2, hidden]), ("c0", FLOAT, [2, hidden])],
                     [("h", FLOAT, None), ("c", FLOAT, None), ("ys", FLOAT, None)],
                     [("rounds", np.int64(6)), *((k, rng.standard_normal(v, dtype=np.float32)) for k, v in weights.items())])
    shapes = {"xs": (6, 2, 5), "h0": (2, hidden), "c0": (2, hidden)}
    loaded = check(model, {k: rng.standard_normal(v, dtype=np.float32) for k, v in shapes.items()})
    engine = loaded._default
    assert engine is not None and all(not plan.rest for plan in engine.plans.values()), "all shapes are known at load"
    flow, = engine.flows.values()
    plan, = flow.bodies["body"].engine.plans.values()
    assert plan.direct is not None, "the number of the round and the condition cost no step"


@settings(max_examples=40)
@given(rounds=st.integers(0, 4), limited=st.booleans(), bound=st.floats(-1, 20), passes_on=st.booleans(), width=st.integers(1, 3),
       capture=st.booleans(), nested=st.booleans())
def test_loops_of_all_kinds(rounds, limited, bound, passes_on, width, capture, nested):
    """for and while loops with a carried sum, a carried value that is handed on, nested branches and captured values or constants."""
    inner = [node("Add", ["x", "step"], ["x_out"])]
    if nested:
        branches = [body_of([node(kind, ["x", "step"], [f"{kind}_y"])], [], [(f"{kind}_y", FLOAT, [width])], name=kind)
                    for kind in ("Add", "Mul")]
        inner = [node("Less", ["total_in", "bound"], ["small"]), node("If", ["small"], ["x_out"], then_branch=branches[0],
                                                                       else_branch=branches[1])]
    go = [node("Identity", ["go"], ["go_out"])] if passes_on and limited else [node("Less", ["total", "bound"], ["go_out"])]
    body = body_of([*inner, node("ReduceSum", ["x_out"], ["total"], keepdims=0), node("Identity", ["k"], ["number"]), *go],
                   [*COUNTERS, ("x", FLOAT, [width]), ("total_in", FLOAT, []), ("kept", FLOAT, [2])],
                   [GO, ("x_out", FLOAT, [width]), ("total", FLOAT, []), ("kept", FLOAT, [2]), ("x", FLOAT, [width]),
                    ("number", INT64, [])])
    constants = [("bound", np.float32(bound)), ("limit", np.int64(rounds)), ("zero", np.float32(0))]
    fed = [("x0", FLOAT, [width]), ("k0", FLOAT, [2])]
    feeds = {"x0": np.linspace(0.5, 1, width, dtype=np.float32), "k0": np.ones(2, np.float32)}
    if capture:
        fed.append(("step", FLOAT, [width]))
        feeds["step"] = np.full(width, 1.5, np.float32)
    else:
        constants.append(("step", np.full(width, 1.5, np.float32)))
    model = model_of(node("Loop", ["limit" if limited else "", "", "x0", "zero", "k0"], ["x", "t", "k", "xs", "ks"], body=body), fed,
                     [("x", FLOAT, None), ("t", FLOAT, None), ("k", FLOAT, None), ("xs", FLOAT, None), ("ks", INT64, None)], constants)
    loaded = check(model, feeds)
    kept = loaded.run(["k"], feeds)[0]
    assert not np.shares_memory(kept, feeds["k0"]), "a result is the caller's own"


def test_loop_carried_shapes_may_change():
    body = body_of([node("Concat", ["x", "x"], ["x_out"], axis=0), node("Identity", ["go"], ["go_out"]), node("Shape", ["x"], ["size"])],
                   [*COUNTERS, ("x", FLOAT, [None, 2])], [GO, ("x_out", FLOAT, [None, 2]), ("size", INT64, [2])])
    model = model_of(node("Loop", ["rounds", "", "x0"], ["y", "sizes"], body=body), [("rounds", INT64, []), ("x0", FLOAT, [1, 2])],
                     [("y", FLOAT, [None, 2]), ("sizes", INT64, [None, 2])])
    for rounds in (3, 0, 4):
        check(model, {"rounds": np.array(rounds), "x0": np.ones((1, 2), np.float32)})


@pytest.mark.parametrize("opset", [7, 11, 13, 17])
def test_if_opsets_captures_and_shapes(opset):
    """Branches of different shapes; a branch that hands on a captured value; a condition of shape [1]."""
    then = body_of([node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1]), node("Relu", ["a"], ["y_then"])], [], [("y_then", FLOAT, None)],
                   name="then")
    other = body_of([node("Identity", ["x"], ["y_else"])], [], [("y_else", FLOAT, None)], name="else")
    weights = np.random.default_rng(0).standard_normal((3 if opset > 7 else 2, 2, 3, 3), dtype=np.float32)
    model = model_of(node("If", ["c"], ["y"], then_branch=then, else_branch=other), [("c", BOOL, [1]), ("x", FLOAT, [1, 2, 5, 5])],
                     [("y", FLOAT, None)], [("w", weights)], opset)
    x = np.random.default_rng(1).standard_normal((1, 2, 5, 5), dtype=np.float32)
    for taken in (True, False):
        y, = check(model, {"c": np.array([taken]), "x": x}).run(None, {"c": np.array([taken]), "x": x})
        assert not np.shares_memory(x, y)


def test_if_of_a_constant_is_its_branch():
    then = body_of([node("Add", ["x", "w"], ["t"]), node("Relu", ["t"], ["y"])], [], [("y", FLOAT, [2])],
                   [("w", np.float32([1, -5]))], "then")
    other = body_of([node("Neg", ["x"], ["n"])], [], [("n", FLOAT, [2])], name="else")
    for value, kinds in ((True, ["Add"]), (False, ["Neg"])):
        model = model_of(node("If", ["c"], ["z"], then_branch=then, else_branch=other), [("x", FLOAT, [2]), ("a", FLOAT, [2])],
                         [("z", FLOAT, [2])], [("c", np.array(value))])
        assert [n.op_type for n in run_passes(read(model)).nodes] == kinds
        check(model, {"x": np.float32([2, 3]), "a": np.zeros(2, np.float32)})


def test_shapes_after_a_branch_are_known_at_load():
    branches = [body_of([node(kind, ["x"], [kind])], [], [(kind, FLOAT, [1, 4])], name=kind) for kind in ("Relu", "Neg")]
    graph = helper.make_graph([node("If", ["c"], ["a"], then_branch=branches[0], else_branch=branches[1]),
                               node("MatMul", ["a", "w"], ["y"])], "test",
                              [info("c", BOOL, []), info("x", FLOAT, [1, 4])], [info("y", FLOAT, [1, 3])],
                              [numpy_helper.from_array(np.ones((5, 3), np.float32), "w")])
    with pytest.raises(fastcnn.FastCNNError, match="MatMul"):
        fastcnn.load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))


def test_half_precision_bodies_are_computed_in_float32():
    body = body_of([node("Mul", ["x", "w"], ["x_out"]), node("Identity", ["go"], ["go_out"])], [*COUNTERS, ("x", TensorProto.FLOAT16, [2])],
                   [GO, ("x_out", TensorProto.FLOAT16, [2])], [("w", np.float16([1.5, 2]))])
    model = model_of(node("Loop", ["rounds", "", "x0"], ["y"], body=body), [("x0", TensorProto.FLOAT16, [2])],
                     [("y", TensorProto.FLOAT16, [2])], [("rounds", np.int64(3))])
    loaded = fastcnn.load(model)
    np.testing.assert_array_equal(loaded.run(None, {"x0": np.float16([1, 2])})[0], np.float16([3.375, 16]))
    assert loaded.fallback_nodes == []


def test_errors_inside_bodies_name_their_nodes():
    body = body_of([node("Reshape", ["x", "shape"], ["x_out"], name="inner"), node("Identity", ["go"], ["go_out"])],
                   [*COUNTERS, ("x", FLOAT, [None])], [GO, ("x_out", FLOAT, [None])])
    model = model_of(node("Loop", ["rounds", "", "x0"], ["y"], body=body, name="outer"), [("x0", FLOAT, [None]), ("shape", INT64, [1])],
                     [("y", FLOAT, [None])], [("rounds", np.int64(3))])
    loaded = fastcnn.load(model)
    with pytest.raises(fastcnn.FastCNNError, match=r"Loop 'outer': .*Reshape 'inner'"):
        loaded.run(None, {"x0": np.ones(6, np.float32), "shape": np.array([5])})
    np.testing.assert_array_equal(loaded.run(None, {"x0": np.ones(6, np.float32), "shape": np.array([6])})[0], np.ones(6))


@pytest.mark.filterwarnings("ignore:.*no native kernel:RuntimeWarning")
def test_sequences_in_a_loop_fall_back_alone():
    body = body_of([node("Mul", ["x", "x"], ["square"]), node("SequenceInsert", ["s", "square"], ["s_out"], name="insert"),
                    node("Add", ["x", "one"], ["x_out"]), node("Identity", ["go"], ["go_out"])], [*COUNTERS, ("x", FLOAT, [2])],
                   [GO, ("x_out", FLOAT, [2])], [("one", np.float32(1))])
    kind = helper.make_tensor_sequence_value_info("s", FLOAT, None)
    body.input.append(kind)
    body.output.append(helper.make_tensor_sequence_value_info("s_out", FLOAT, None))
    graph = helper.make_graph(
        [node("SequenceEmpty", [], ["s0"], name="empty"), node("Loop", ["rounds", "", "x0", "s0"], ["x", "s"], body=body),
         node("ConcatFromSequence", ["s"], ["y"], axis=0, new_axis=1, name="join")], "test", [info("x0", FLOAT, [2])],
        [info("y", FLOAT, [None, 2])], [numpy_helper.from_array(np.int64(3), "rounds")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    loaded = check(model, {"x0": np.float32([1, 2])}, native=False)
    assert sorted(loaded.fallback_nodes) == ["empty", "insert", "join"]


@pytest.mark.parametrize("threads", [1, 2])
def test_a_native_step_that_fails_names_its_node(threads):
    body = body_of([node("Gather", ["xs", "k"], ["row"], axis=0, name="reader"), node("Add", ["x", "row"], ["x_out"], name="adder"),
                    node("Identity", ["go"], ["go_out"])], [*COUNTERS, ("x", FLOAT, [2])], [GO, ("x_out", FLOAT, [2])])
    model = model_of(node("Loop", ["rounds", "", "x0"], ["y"], body=body, name="outer"), [("rounds", INT64, []), ("x0", FLOAT, [2]),
                                                                                        ("xs", FLOAT, [3, 2])], [("y", FLOAT, [2])])
    feeds = {"x0": np.zeros(2, np.float32), "xs": np.ones((3, 2), np.float32)}
    with fastcnn.load(model, threads=threads) as loaded:
        with pytest.raises(fastcnn.ExecutionError, match=r"Loop 'outer': node 'reader': .*index"):
            loaded.run(None, {**feeds, "rounds": np.array(4)})
        np.testing.assert_array_equal(loaded.run(None, {**feeds, "rounds": np.array(3)})[0], [3, 3])


def wrong_loop(inputs: int, outputs: int) -> onnx.ModelProto:
    fed = [*COUNTERS, ("x", FLOAT, [2]), ("z", FLOAT, [2])]
    body = body_of([node("Identity", ["go"], ["go_out"]), node("Neg", ["x"], ["x_out"])], fed[:inputs],
                   [GO, ("x_out", FLOAT, [2])][:outputs])
    return model_of(node("Loop", ["rounds", "", "x"], ["y"], body=body, name="outer"), [("x", FLOAT, [2])], [("y", FLOAT, [2])],
                    [("rounds", np.int64(3))])


def wrong_scan(count: int) -> onnx.ModelProto:
    body = body_of([node("Neg", ["x"], ["y_out"])], [("x", FLOAT, [2])], [("y_out", FLOAT, [2])])
    scan = node("Scan", ["xs"], ["y"], body=body, name="outer", num_scan_inputs=count)
    return model_of(scan, [("xs", FLOAT, [3, 2])], [("y", FLOAT, [3, 2])])


@pytest.mark.parametrize("model, why", [(wrong_loop(2, 2), "2 inputs, the node gives it 3"), (wrong_loop(4, 2), "4 inputs"),
                                        (wrong_loop(3, 1), "too few"), (wrong_loop(3, 0), "too few"), (wrong_scan(0), "num_scan_inputs=0"),
                                        (wrong_scan(2), "num_scan_inputs=2"), (wrong_scan(-1), "num_scan_inputs=-1")])
def test_bodies_that_do_not_fit_are_refused_at_load(model, why):
    with pytest.raises(fastcnn.FastCNNError, match=f"'outer': .*{why}"):
        fastcnn.load(model)
