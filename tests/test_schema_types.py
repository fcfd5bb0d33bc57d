"""Element types through operators: the table is what onnx's schemas say, and what does not fit it is refused when a model is loaded."""
from __future__ import annotations

import itertools

import numpy as np
import onnx
import pytest
from graph_helper import model
from onnx import TensorProto, helper, numpy_helper

import fastcnn
from fastcnn.ops import OPS
from fastcnn.reader import read
from fastcnn.schema.element_types import ELEMENT_TYPES, LETTERS, NEWEST_TYPED
from fastcnn.schema.typing import Typing, _of_schema, typing_of

node = helper.make_node
NAMES = {"float": np.float32, "double": np.float64, "float16": np.float16, "int8": np.int8, "int32": np.int32, "int64": np.int64,
         "uint8": np.uint8, "bool": np.bool_, "string": np.object_}


# ---- the table ----


def widened(typing: Typing) -> tuple:
    """With sequences and optionals of whatever ONNX lists as just these words, as the table has them."""
    def short(kind: str) -> str:
        return kind if kind.startswith("tensor(") else kind.partition("(")[0]
    return typing.inputs, typing.outputs, {name: set(map(short, kinds)) for name, kinds in typing.allowed.items()}


def renamed(typing: Typing) -> Typing:
    """onnx's typing with "=" and a letter for what is one type and no variable."""
    letters = {f"tensor({name})": f"={letter}" for letter, name in LETTERS.items()}
    def name(v: str) -> str:
        return letters.get(v, v)
    used = {*typing.inputs, *typing.outputs}
    return Typing(tuple(map(name, typing.inputs)), tuple(map(name, typing.outputs)),
                  {name(v): kinds for v, kinds in typing.allowed.items() if v in used}, typing.mixed)


NEWEST = min(NEWEST_TYPED, onnx.defs.onnx_opset_version())


@pytest.mark.parametrize("op_type", sorted(ELEMENT_TYPES))
def test_table_is_what_the_schemas_say(op_type):
    for version in range(1, NEWEST + 1):
        wanted, got = _of_schema(op_type, version, ""), typing_of(op_type, version, "")
        if wanted is None or onnx.defs.get_schema(op_type, version).deprecated:
            continue                            # the reader says that there is no such operator
        assert got is not None
        assert widened(got) == widened(renamed(wanted)), f"{op_type} at opset {version}"
        fixed = {i for i, v in enumerate(got.inputs) if v.startswith("=")}
        assert got.mixed - fixed == wanted.mixed - fixed


def test_every_native_operator_is_in_the_table():
    assert {name for domain, name in OPS if not domain} <= ELEMENT_TYPES.keys()


def test_operators_outside_of_the_table_are_looked_up():
    typing = typing_of("StringNormalizer", 17, "")
    assert typing is not None and typing.allowed[typing.inputs[0]] == {"tensor(string)"}
    assert typing_of("NoSuch", 17, "") is None


# ---- what a model may not do ----

MIXED = [
    ("Concat", ["a", "x"], {"axis": 0}, {}),
    ("Add", ["x", "a"], {}, {}),
    ("Where", ["c", "x", "a"], {}, {"c": np.ones((2, 3), bool)}),
    ("ScatterND", ["x", "i", "a"], {}, {"i": np.array([[0], [1]])}),
    ("ScatterElements", ["x", "i", "a"], {}, {"i": np.zeros((2, 3), np.int64)}),
    ("Pad", ["x", "p", "s"], {}, {"p": np.array([0, 0, 1, 1]), "s": np.array(7)}),
    ("Clip", ["x", "s"], {}, {"s": np.array(0)}),
    ("MatMul", ["x", "t"], {}, {"t": np.ones((3, 2), np.int64)}),
    ("Gemm", ["x", "w", "s"], {}, {"w": np.ones((3, 2), np.float32), "s": np.array(0)}),
    ("Max", ["x", "x", "a"], {}, {}),
    ("Einsum", ["x", "a"], {"equation": "ab,ab->a"}, {}),
    ("PRelu", ["x", "s"], {}, {"s": np.array(1)}),
    ("Equal", ["x", "a"], {}, {}),
    ("Range", ["s", "s", "f"], {}, {"s": np.array(1), "f": np.array(1, np.float32)}),
]


@pytest.mark.parametrize("op_type, inputs, attrs, constants", MIXED, ids=[m[0] for m in MIXED])
@pytest.mark.parametrize("fed", [True, False], ids=["fed", "constant"])
def test_mixed_types_are_refused(op_type, inputs, attrs, constants, fed):
    """Operands of one type variable have one type: integers are not read as the bits of floats, nor the other way round."""
    if not fed:
        constants = {**constants, "a": np.ones((2, 3), np.int64)}
    given = {"x": [2, 3], **({"a": [2, 3]} if fed else {})}
    proto = model([node(op_type, inputs, ["y"], name="n", **attrs)], given, ["y"], constants, 17, {"a": TensorProto.INT64})
    with pytest.raises(fastcnn.ModelError, match=rf"{op_type} 'n': input \d .*of one type with input \d|{op_type} 'n': input \d .*takes"):
        fastcnn.load(proto)


@pytest.mark.parametrize("op_type, kind, attrs", [
    ("Conv", "int32", {}), ("MaxPool", "bool", {"kernel_shape": [1, 1]}), ("Relu", "string", {}), ("Softmax", "int64", {}),
    ("LSTM", "int8", {"hidden_size": 1}), ("Not", "float", {}), ("BitwiseAnd", "float", {}), ("Resize", "int64", {})])
def test_types_that_an_operator_does_not_take_are_refused(op_type, kind, attrs):
    number = helper.np_dtype_to_tensor_dtype(np.dtype(NAMES[kind]))
    extra = {"Conv": ["x"], "LSTM": ["x", "x"], "BitwiseAnd": ["x"], "Resize": ["x"]}.get(op_type, [])
    proto = model([node(op_type, ["x", *extra], ["y"], name="n", **attrs)], {"x": [1, 1, 1, 1]}, ["y"], opset=18, types={"x": number})
    with pytest.raises(fastcnn.ModelError, match=rf"{op_type} 'n': input \d \('x'\) is tensor\({kind}\)"):
        fastcnn.load(proto)


def test_types_are_checked_inside_bodies_and_functions():
    bad = [node("Concat", ["x", "k"], ["z"], name="inner", axis=0)]
    body = helper.make_graph(bad, "body", [], [onnx.ValueInfoProto(name="z")], [numpy_helper.from_array(np.array([1]), "k")])
    proto = model([node("If", ["c"], ["y"], then_branch=body, else_branch=body)], {"x": [1], "c": []}, ["y"], types={"c": TensorProto.BOOL})
    with pytest.raises(fastcnn.ModelError, match="Concat 'inner'"):
        fastcnn.load(proto)
    function = helper.make_function("local", "F", ["x"], ["z"], [node("Cast", ["x"], ["k"], to=7), *bad], [helper.make_opsetid("", 17)])
    proto = model([node("F", ["x"], ["y"], domain="local")], {"x": [1]}, ["y"], opset=17)
    proto.functions.append(function)
    with pytest.raises(fastcnn.ModelError, match=r"Concat .*of one type"):
        fastcnn.load(proto)


@pytest.mark.parametrize("declared", [TensorProto.INT64, TensorProto.FLOAT16, TensorProto.STRING])
def test_output_declared_as_another_type_is_refused(declared):
    proto = model([node("Relu", ["x"], ["y"])], {"x": [2]}, ["y"])
    proto.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", declared, [2]))
    with pytest.raises(fastcnn.ModelError, match=r"output 'y': declared as .* makes is tensor\(float\)"):
        fastcnn.load(proto)


def test_float_output_computed_as_half_is_refused():
    proto = model([node("Relu", ["x"], ["y"])], {"x": [2]}, ["y"], types={"x": TensorProto.FLOAT16})
    proto.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, [2]))
    with pytest.raises(fastcnn.ModelError, match=r"declared as tensor\(float\), what the graph makes is tensor\(float16\)"):
        fastcnn.load(proto)


@pytest.mark.parametrize("shape", [[2, 2], [7], [0], None])
def test_claims_about_inner_values_are_not_trusted(shape):
    proto = model([node("Relu", ["x"], ["v"]), node("Neg", ["v"], ["y"])], {"x": [2, 3]}, ["y"])
    proto.graph.value_info.append(helper.make_tensor_value_info("v", TensorProto.INT64, shape))
    x = np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(fastcnn.load(proto).run(None, {"x": x})[0], -x)


def test_loop_state_of_changing_type_is_refused():
    body = helper.make_graph([node("Identity", ["go"], ["on"]), node("Cast", ["a"], ["b"], to=7)], "body",
                             [helper.make_tensor_value_info(n, t, []) for n, t in (("i", 7), ("go", 9), ("a", 1))],
                             [onnx.ValueInfoProto(name=n) for n in ("on", "b")])
    proto = model([node("Loop", ["n", "", "x"], ["y"], body=body, name="l")], {"x": []}, ["y"], {"n": np.array(2)})
    with pytest.raises(fastcnn.ModelError, match=r"Loop 'l': state 0 begins as tensor\(float\), the body makes it tensor\(int64\)"):
        fastcnn.load(proto)


@pytest.mark.parametrize("to", [0, 99, -1, 1 << 40])
def test_cast_to_no_type_is_refused(to):
    with pytest.raises(fastcnn.ModelError, match=f"Cast 'n': to={to} is no element type"):
        fastcnn.load(model([node("Cast", ["x"], ["y"], to=to, name="n")], {"x": [2]}, ["y"]))


@pytest.mark.filterwarnings("ignore:.*no native kernel:RuntimeWarning")
@pytest.mark.parametrize("kind", ["int64", "int32", "double", "bool", "string"])
def test_types_that_only_the_run_tells(kind):
    """What comes out of a sequence of unknown elements is looked at when it is there."""
    then = [helper.make_graph([node("Cast", ["x"], ["z"], to=number)], "branch", [], [onnx.ValueInfoProto(name="z")])
            for number in (1, helper.np_dtype_to_tensor_dtype(np.dtype(NAMES[kind])))]
    nodes = [node("If", ["c"], ["v"], then_branch=then[0], else_branch=then[1]), node("Concat", ["v", "x"], ["y"], axis=0, name="n")]
    loaded = fastcnn.load(model(nodes, {"x": [2], "c": []}, ["y"], types={"c": TensorProto.BOOL}))
    x = np.ones(2, np.float32)
    assert loaded.run(None, {"x": x, "c": np.array(True)})[0].tolist() == [1, 1, 1, 1]
    with pytest.raises(fastcnn.ModelError, match=rf"Concat 'n': .*tensor\({kind}\)"):
        loaded.run(None, {"x": x, "c": np.array(False)})
    assert loaded.run(None, {"x": x, "c": np.array(True)})[0].tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("opset", [13, 17, 21])
@pytest.mark.parametrize("a, b", list(itertools.product(["float", "int64"], repeat=2)))
def test_types_that_fit_are_told_like_onnx_tells_them(opset, a, b):
    nodes = [node("Cast", ["x"], ["a"], to=helper.np_dtype_to_tensor_dtype(np.dtype(NAMES[a]))), node("Shape", ["a"], ["s"]),
             node("ConstantOfShape", ["s"], ["z"], value=numpy_helper.from_array(np.zeros(1, NAMES[b]))), node("ArgMax", ["z"], ["m"]),
             node("Equal", ["a", "a"], ["e"]), node("TopK", ["z", "k"], ["v", "w"]), node("CastLike", ["x", "z"], ["l"]),
             node("If", ["c"], ["i"], then_branch=helper.make_graph([node("Neg", ["a"], ["q"])], "b", [], [onnx.ValueInfoProto(name="q")]),
                  else_branch=helper.make_graph([node("Abs", ["a"], ["q"])], "b", [], [onnx.ValueInfoProto(name="q")]))]
    nodes = nodes if opset > 14 else [n for n in nodes if n.op_type != "CastLike"]
    names = [v for n in nodes for v in n.output]
    proto = model(nodes, {"x": [2, 3], "c": []}, names, {"k": np.array([1])}, opset, {"c": TensorProto.BOOL})
    inferred = onnx.shape_inference.infer_shapes(proto).graph
    numbers = {i.name: i.type.tensor_type.elem_type for i in (*inferred.output, *inferred.value_info)}
    wanted = {name: TensorProto.DataType.Name(number).lower() for name, number in numbers.items()}
    types = read(proto).types
    assert {name: types[name] for name in names} == {name: f"tensor({wanted[name]})" for name in names}
