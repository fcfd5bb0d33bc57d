"""Types and shapes by our own rules: what onnx's inference says, where it says anything, and what a run makes."""
from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from graph_helper import floats, model, node
from onnx import ModelProto, TensorProto, helper, shape_inference
from onnx_cases import node_cases

import fastcnn
from fastcnn.inference.concrete import infer_outputs
from fastcnn.inference.infer import CONTROL_FLOW
from fastcnn.inference.rules import OTHERS, RULES
from fastcnn.inference.sizes import (
    LARGEST,
    Contents,
    Expression,
    divided,
    function,
    minus,
    plus,
    product,
    quotient,
    symbol,
    times,
)
from fastcnn.inference.types import infer_types
from fastcnn.ir.graph import Graph, Node, Shape
from fastcnn.ir.spec import Args, Capped, Spec
from fastcnn.onnx_proto.types import type_shape, type_string
from fastcnn.ops import OPS
from fastcnn.plan.bind import GENERATED
from fastcnn.reader import read

CORPUS = Path(__file__).parent.parent.parent / "shared"
pytestmark = pytest.mark.filterwarnings("ignore")                # of onnx's node tests, which divide by zero on purpose
LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
# Operators whose outputs nothing is known of before the run, but for types.
WITHOUT_SHAPE = {"Adagrad", "Adam", "ArrayFeatureExtractor", "Binarizer", "BitCast", "CausalConvWithState", "DFT", "FlexAttention",
                 "ImageDecoder", "LabelEncoder", "LinearAttention", "Momentum", "NegativeLogLikelihoodLoss", "OptionalGetElement",
                 "SoftmaxCrossEntropyLoss", "StringNormalizer", "StringSplit", "TfIdfVectorizer", "TreeEnsemble"}
# Nothing that runs asks for their types.
WITHOUT_TYPE = {"Adagrad", "Adam", "LabelEncoder", "LinearAttention", "Momentum", "SequenceMap"}


def by_onnx(proto: ModelProto) -> Iterator[tuple[str, str, Shape | None]]:
    """(value, type, shape) of all that onnx infers, without what the file claims."""
    bare = ModelProto()
    bare.CopyFrom(proto)
    del bare.graph.value_info[:]
    for info in bare.graph.output:
        info.type.tensor_type.ClearField("shape") if info.type.HasField("tensor_type") else None
    graph = shape_inference.infer_shapes(bare, data_prop=True).graph
    for info in (*graph.value_info, *graph.output):
        yield info.name, type_string(info.type), type_shape(info.type)


def less_known(graph: Graph, proto: ModelProto) -> list[str]:
    """What onnx knows and we do not, or otherwise."""
    producers, found = graph.producers(), []
    for name, kind, shape in by_onnx(proto):
        maker = producers.get(name)
        if maker is None:
            continue
        own, ours = graph.types.get(name, ""), graph.shapes.get(name)
        if kind != own and maker.op_type not in WITHOUT_TYPE:
            found.append(f"{maker.op_type} {name}: {own}, onnx says {kind}")
        if shape is None or (ours is None and maker.op_type in WITHOUT_SHAPE):
            continue
        if ours is None or len(ours) != len(shape) or any(isinstance(d, int) and d != n for d, n in zip(shape, ours)):
            found.append(f"{maker.op_type} {name}: {ours}, onnx says {shape}")
    return found


def known_models() -> list[Path]:
    return [*sorted(CORPUS.glob("corpus/*/model.onnx")), *sorted(CORPUS.glob("quantized/*/model.onnx")), *sorted(LIGHT.glob("*.onnx"))]


@pytest.mark.parametrize("path", known_models(), ids=lambda p: p.parent.name if p.stem == "model" else p.stem)
def test_what_onnx_knows_of_published_models_we_know(path: Path) -> None:
    assert not less_known(read(path), onnx.load(path, load_external_data=False))


# Where onnx believes what a body claims; the batches of Scan-8, of which we know the types.
EXCUSED = {"test_loop11", "test_scan_sum"}


def test_what_onnx_knows_of_its_node_tests_we_know() -> None:
    seen = set()
    for case in node_cases():
        try:
            graph = read(case.model)
        except fastcnn.FastCNNError:
            continue
        seen |= {n.op_type for n in graph.nodes}
        if case.name not in EXCUSED and not any(n.op_type == "Expand" and n.input(1) not in graph.constants for n in graph.nodes):
            assert not less_known(graph, case.model), case.name
    assert len(seen) > 150


def test_every_operator_with_a_kernel_has_a_rule() -> None:
    assert {op for domain, op in OPS if not domain} <= RULES.keys() | CONTROL_FLOW.keys()
    assert {key for key in OPS if key[0]} <= OTHERS.keys()


# ---- the same rule for numbers ----


def specs_of(case: object) -> Iterator[tuple[Node, Args, list[np.ndarray]]]:
    """Each node of a node test with what is known of its inputs when its model runs, and its outputs."""
    graph = read(case.model)                                     # type: ignore[attr-defined]
    names = [info.name for info in case.model.graph.input]       # type: ignore[attr-defined]
    for inputs, outputs in case.data_sets:                       # type: ignore[attr-defined]
        if len(graph.nodes) != 1 or not all(isinstance(x, np.ndarray) for x in inputs):
            continue
        values = {**graph.constants, **dict(zip(names, inputs))}
        made, = graph.nodes
        arrays = [values.get(v) for v in made.inputs]
        specs = tuple(None if x is None else Spec(x.dtype, x.shape) for x in arrays)
        yield made, Args(made, specs, tuple(arrays)), outputs


def test_bound_shapes_are_those_of_what_runs() -> None:
    """For each node test whose operator has a kernel: the specs that the rules find are the types and shapes of the outputs."""
    seen = set()
    for case in node_cases():
        try:
            sites = list(specs_of(case))
        except fastcnn.FastCNNError:
            continue
        for made, args, expected in sites:
            op = OPS.get((made.domain, made.op_type))
            if op is None or made.op_type in GENERATED or not op.native(args):
                continue
            capped = op.capped(args)
            for name, spec, array in zip(made.outputs, [capped] if capped is not None else infer_outputs(args), expected):
                assert spec is not None or not name, case.name
                if isinstance(spec, Capped):
                    assert spec.dtype == array.dtype and all(n >= m for n, m in zip(spec.shape, array.shape)), case.name
                elif name:
                    assert spec == Spec(array.dtype, array.shape), case.name
            seen.add(made.op_type)
    assert len(seen) > 110


ANY = ["n", 8, 6, 5]
# Nodes whose second input is a constant, and the sizes of x.
CASES: dict[str, tuple[Callable[[], onnx.NodeProto], list[int | str], np.ndarray]] = {
    "conv": (lambda: node("Conv", ["x", "w"], ["y"], strides=[2, 1], dilations=[1, 2], pads=[1, 0, 2, 3]), ANY, floats(7, 8, 3, 2)),
    "conv groups": (lambda: node("Conv", ["x", "w"], ["y"], group=4, auto_pad="VALID"), ANY, floats(4, 2, 3, 3)),
    "transposed": (lambda: node("ConvTranspose", ["x", "w"], ["y"], group=2, strides=[2, 3], output_padding=[1, 0]), ANY,
                   floats(8, 3, 3, 2)),
    "pool up": (lambda: node("MaxPool", ["x"], ["y"], kernel_shape=[3, 2], strides=[2, 2], ceil_mode=1), ANY, floats(1)),
    "average": (lambda: node("AveragePool", ["x"], ["y"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]), ANY, floats(1)),
    "add": (lambda: node("Add", ["x", "w"], ["y"]), ANY, floats(8, 1, 5)),
    "add rank": (lambda: node("Mul", ["x", "w"], ["y"]), [6, 5], floats(3, 1, 1)),
    "concat": (lambda: node("Concat", ["x", "w", "x"], ["y"], axis=-3), [2, 8, 6, 5], floats(2, 3, 6, 5)),
    "transpose": (lambda: node("Transpose", ["x"], ["y"], perm=[0, 2, 3, 1]), ANY, floats(1)),
    "reversed": (lambda: node("Transpose", ["x"], ["y"]), ANY, floats(1)),
    "mean": (lambda: node("ReduceMean", ["x"], ["y"], axes=[-1, 2], keepdims=0), ANY, floats(1)),
    "mean kept": (lambda: node("ReduceMax", ["x"], ["y"], axes=[2]), ANY, floats(1)),
    "mean of all": (lambda: node("ReduceMean", ["x"], ["y"]), ANY, floats(1)),
    "sum": (lambda: node("ReduceSum", ["x", "w"], ["y"]), ANY, np.array([1, -1])),
    "flatten": (lambda: node("Flatten", ["x"], ["y"], axis=1), ANY, floats(1)),
    "flatten all": (lambda: node("Flatten", ["x"], ["y"], axis=0), [2, 8, 3], floats(1)),
    "reshape": (lambda: node("Reshape", ["x", "w"], ["y"]), ANY, np.array([0, -1])),
    "reshape batch": (lambda: node("Reshape", ["x", "w"], ["y"]), ["n", 8, 1, 1], np.array([-1, 8])),
    "reshape numbers": (lambda: node("Reshape", ["x", "w"], ["y"]), [2, 8, 3], np.array([4, -1, 2])),
    "squeeze": (lambda: node("Squeeze", ["x", "w"], ["y"]), ["n", 8, 1, 1], np.array([2, -1])),
    "unsqueeze": (lambda: node("Unsqueeze", ["x", "w"], ["y"]), ["n", 8], np.array([-1, 0])),
    "gemm": (lambda: node("Gemm", ["x", "w"], ["y"], transB=1), ["n", 8], floats(5, 8)),
    "gemm columns": (lambda: node("Gemm", ["x", "w"], ["y"], transA=1), [8, 3], floats(8, 5)),
    "matmul": (lambda: node("MatMul", ["x", "w"], ["y"]), ["n", 7, 8], floats(8, 5)),
    "matmul stacks": (lambda: node("MatMul", ["x", "w"], ["y"]), [4, 7, 8], floats(3, 1, 8, 5)),
    "depth to space": (lambda: node("DepthToSpace", ["x"], ["y"], blocksize=2), ANY, floats(1)),
    "global": (lambda: node("GlobalMaxPool", ["x"], ["y"]), ANY, floats(1)),
    "slope": (lambda: node("PRelu", ["x", "w"], ["y"]), ANY, floats(8, 1, 1)),
}


@pytest.mark.parametrize("window", [{"kernel_shape": [2, 2], "strides": [2, 2], "pads": [1, 1, 1, 1]},
                                    {"kernel_shape": [1, 2], "strides": [4, 3]}], ids=["padded", "apart"])
def test_windows_that_would_start_after_the_last_element_do_not_count(window: dict[str, list[int]]) -> None:
    pool = node("MaxPool", ["x"], ["y"], ceil_mode=1, **window)
    graph = read(model([pool], {"x": [1, 3, 5, 6]}, ["y"]))
    assert graph.shapes["y"] == fastcnn.load(model([pool], {"x": [1, 3, 5, 6]}, ["y"]))(floats(1, 3, 5, 6)).shape


@pytest.mark.parametrize("case", CASES)
def test_rules_know_what_onnx_knows(case: str) -> None:
    made, sizes, w = CASES[case]
    proto = model([made()], {"x": sizes}, ["y"], {"w": w})
    graph = read(proto)
    assert not less_known(graph, proto)
    assert "y" in graph.shapes


CONTRADICTIONS = [
    (node("Add", ["x", "w"], ["y"]), [1, 2], floats(1, 3)),
    (node("Concat", ["x", "w"], ["y"], axis=5), [1, 3], floats(1, 3)),
    (node("Flatten", ["x"], ["y"], axis=3), [1, 3], floats(1, 3)),
    (node("MaxPool", ["x"], ["y"], kernel_shape=[2], strides=[0]), [1, 3, 9], floats(1)),
    (node("Reshape", ["x", "w"], ["y"]), [2, 3], np.array([4, -1])),
    (node("Gather", ["x", "w"], ["y"]), [2, 3], np.array([2])),
]


@pytest.mark.parametrize("made, sizes, w", CONTRADICTIONS, ids=lambda v: getattr(v, "op_type", None))
def test_of_what_contradicts_itself_only_the_type_is_known(made: onnx.NodeProto, sizes: list[int], w: np.ndarray) -> None:
    plain = Node(made.op_type, tuple(made.input), ("y",), {a.name: helper.get_attribute_value(a) for a in made.attribute}, version=13)
    graph = Graph([plain], [], [], {"w": w}, {"": 13}, metadata={})
    graph.inputs = [fastcnn.ir.graph.ValueInfo("x", "tensor(float)", tuple(sizes))]
    known = infer_types(graph)
    assert known.types["y"] == "tensor(float)" and "y" not in known.shapes


# Attributes and constants that crashed or hung the inference that they reached, and others of their kind.
HOSTILE = [
    ("LayerNormalization", {"axis": 2 ** 31}, []), ("LayerNormalization", {"axis": -(2 ** 63)}, []),
    ("GatherND", {"batch_dims": -7}, [np.array([[0]])]), ("GatherND", {"batch_dims": -(2 ** 31)}, [np.array([[0]])]),
    ("Slice", {}, [np.array([0]), np.array([2 ** 62]), np.array([0]), np.array([2 ** 40])]),
    ("Slice", {}, [np.array([0]), np.array([2 ** 62]), np.array([2 ** 62]), np.array([1])]),
    ("ConvTranspose", {"dilations": [2 ** 31, 1]}, [floats(3, 1, 3, 3)]),
    ("ConvTranspose", {"strides": [2 ** 40, 1]}, [floats(3, 1, 3, 3)]),
    ("MaxPool", {"kernel_shape": [2 ** 62, 1]}, []), ("AveragePool", {"kernel_shape": [2, 2], "strides": [2 ** 62, -1]}, []),
    ("Tile", {}, [np.array([2 ** 40] * 4)]), ("Expand", {}, [np.array([2 ** 62, 2 ** 62, 1, 3, 4, 4])]),
    ("Resize", {}, [np.zeros(0, np.float32), np.full(4, 1e30, np.float32)]), ("Resize", {"axes": [7]}, [np.zeros(0, np.float32)] * 2),
    ("TopK", {"axis": 2 ** 62}, [np.array([2 ** 62])]), ("OneHot", {"axis": -(2 ** 63)}, [np.array(2 ** 62), floats(2)]),
    ("Split", {"num_outputs": 2 ** 62}, []), ("DepthToSpace", {"blocksize": 0}, []), ("SpaceToDepth", {"blocksize": -(2 ** 40)}, []),
    ("Einsum", {"equation": "..." * 9999}, []), ("Einsum", {"equation": "a" * 9999 + "->a"}, []),
    ("Pad", {}, [np.array([2 ** 62] * 8)]), ("Reshape", {}, [np.array([2 ** 62, 2 ** 62, -1])]), ("Unsqueeze", {}, [np.array([2 ** 62])]),
    ("Range", {}, [np.array(2 ** 62), np.array(1)]), ("ReduceSum", {}, [np.array([2 ** 62])]), ("Trilu", {}, [np.array(2 ** 62)]),
    ("Col2Im", {}, [np.array([2 ** 62, 0]), np.array([0, 1])]), ("CenterCropPad", {}, [np.array([-1] * 4)]),
    ("AffineGrid", {}, [np.array([2 ** 62] * 5)]), ("GroupNormalization", {"num_groups": 0}, [floats(3), floats(3)]),
    ("LSTM", {"hidden_size": 2 ** 62}, [floats(1, 4, 3), floats(1, 4, 1)]),
    ("RoiAlign", {"output_height": -1}, [floats(1, 4), np.array([0])]),
]


@pytest.mark.parametrize("free", [False, True], ids=["fixed", "free"])
@pytest.mark.parametrize("op, attrs, constants", HOSTILE, ids=lambda v: v if isinstance(v, str) else None)
def test_hostile_attributes_are_survived(op: str, attrs: dict, constants: list[np.ndarray], free: bool) -> None:
    names = [f"c{k}" for k in range(len(constants))]
    made = Node(op, ("x", *names), ("y", "z"), attrs, "n", version=21)
    shape: Shape = ("n", 3, "h", "w") if free else (2, 3, 4, 4)
    graph = Graph([made], [fastcnn.ir.graph.ValueInfo("x", "tensor(float)", shape)], [], dict(zip(names, constants)), {"": 21})
    known = infer_types(graph)
    assert all(not isinstance(d, int) or 0 <= d <= LARGEST for shape in known.shapes.values() for d in shape)


def test_inference_never_imports_onnx() -> None:
    source = Path(fastcnn.__file__).parent / "inference"
    assert not [p.name for p in sorted(source.glob("*.py")) if re.search(r"^\s*(import onnx|from onnx )", p.read_text(), re.MULTILINE)]


# ---- control flow ----


def body(nodes: list[onnx.NodeProto], inputs: list[onnx.ValueInfoProto], outputs: list[str], constants: dict | None = None):
    proto = model(nodes, {}, outputs, constants).graph
    proto.input.extend(inputs)
    return proto


def scalar(name: str, kind: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, [])


@pytest.mark.parametrize("step, expected", [(node("Relu", ["s"], ["t"]), (2, 3)), (node("Concat", ["s", "x"], ["t"], axis=0), ("l.0", 3)),
                                            (node("Unsqueeze", ["s", "zero"], ["t"]), None)], ids=["kept", "grows", "rank"])
def test_what_a_loop_carries_is_known_where_rounds_do_not_change_it(step: onnx.NodeProto, expected: Shape | None) -> None:
    inside = body([step, node("Identity", ["c"], ["d"]), node("Shape", ["x"], ["size"])],
                  [scalar("i", TensorProto.INT64), scalar("c", TensorProto.BOOL), helper.make_tensor_value_info("s", 1, None)],
                  ["d", "t", "size"])
    proto = model([node("Loop", ["m", "", "x"], ["l", "rows"], body=inside)], {"x": [2, 3]}, ["l", "rows"],
                  {"m": np.array(4), "zero": np.array([0])})
    known = read(proto)
    assert known.shapes.get("l") == expected and known.shapes["rows"] == ("rows.0", 2)
    assert (known.types["l"], known.types["rows"]) == ("tensor(float)", "tensor(int64)")


def test_branches_have_their_common_sizes() -> None:
    branches = {name: body([node("Concat", ["x", "x"], ["t"], axis=axis)], [], ["t"])
                for axis, name in enumerate(("then_branch", "else_branch"))}
    proto = model([node("If", ["c"], ["y"], **branches)], {"x": [2, 3, "n"], "c": []}, ["y"], types={"c": TensorProto.BOOL})
    assert read(proto).shapes["y"] == ("y.0", "y.1", "x.2")


def test_symbols_of_one_body_mean_nothing_in_another() -> None:
    branches = {name: body([node("NonZero", [v], ["t"])], [], ["t"]) for v, name in (("x", "then_branch"), ("z", "else_branch"))}
    nodes = [node("If", ["c"], ["y"], **branches), node("NonZero", ["x"], ["t"])]
    proto = model(nodes, {"x": [2, 3], "z": [2, 3], "c": []}, ["y", "t"], types={"c": TensorProto.BOOL})
    assert read(proto).shapes["y"] == (2, "y.1")


def test_deeply_nested_loops_take_linear_time() -> None:
    inside = body([node("Relu", ["s"], ["t"]), node("Identity", ["c"], ["d"])],
                  [scalar("i", TensorProto.INT64), scalar("c", TensorProto.BOOL), helper.make_tensor_value_info("s", 1, None)], ["d", "t"])
    for _ in range(30):
        inside = body([node("Loop", ["i", "c", "s"], ["t"], body=inside), node("Identity", ["c"], ["d"])],
                      [scalar("i", TensorProto.INT64), scalar("c", TensorProto.BOOL), helper.make_tensor_value_info("s", 1, None)],
                      ["d", "t"])
    calls = 0

    def count(frame: object, event: str, _: object) -> None:
        nonlocal calls
        calls += event == "call"

    graph = read(model([node("Loop", ["m", "", "x"], ["y"], body=inside)], {"x": [2, 3]}, ["y"], {"m": np.array(4)}))
    sys.setprofile(count)
    try:
        infer_types(graph)
    finally:
        sys.setprofile(None)
    assert calls < 200_000


# ---- sizes ----


def test_sizes_add_up_in_one_spelling() -> None:
    a, b = symbol("a", 0), symbol("b", 1)
    assert plus(a, 0) == a and plus(plus(a, 4), -4) == a and plus(a, b) == plus(b, a) == "a.0+b.1"
    assert minus(plus(a, b), a) == b and times(a, 2) == plus(a, a) == "2*a.0"
    assert times(plus(a, 1), b) == plus(times(a, b), b) and product([a, 2, b, 3]) == "6*a.0*b.1"
    assert divided(times(a, 6), 3) == times(a, 2) and divided(plus(a, 1), 2) == "div(a.0+1,2)"
    assert quotient([a, 12, b], [4, b]) == times(a, 3) and quotient([a], [b]) is None and quotient([7], [2]) is None
    assert minus(a, a) == 0 and times(a, 0) == 0 and times(None, 0) == 0 and plus(None, 1) is None


def test_expressions_stay_short() -> None:
    size = symbol("a", 0)
    for k in range(100):
        grown = times(size, plus(size, k))
        if grown is None:
            break
        size = grown
    else:
        pytest.fail("grows without end")
    assert plus(LARGEST, 1) is None and times(LARGEST, 2) is None and function("f", "x" * 500) is None


@pytest.mark.parametrize("name", ["a+b", "div(a,2)", "a b", "'x'", "(", "a*2", "-a"])
def test_names_of_values_are_no_expressions(name: str) -> None:
    text = symbol(name, 0)
    assert text == f"{name!r}.0" and plus(text, 1) not in (plus(symbol("a", 0), 1), text)


def test_expressions_survive_pickling() -> None:
    import pickle
    size = plus(times(symbol("a", 0), 2), 1)
    again = pickle.loads(pickle.dumps(size))
    assert isinstance(again, Expression) and again == size and plus(again, -1) == times(symbol("a", 0), 2)


def test_contents_are_known_where_all_elements_are_numbers() -> None:
    np.testing.assert_array_equal(Contents((2, 3)).known, [2, 3])
    assert Contents((2,), True).known.shape == () and Contents((2, "x.0")).known is None and Contents((2, None)).known is None
