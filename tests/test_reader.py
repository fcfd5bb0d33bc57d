"""read(): what a model says arrives in the Graph."""
from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import onnx
import pytest
from graph_helper import floats, model, node, onnxruntime_run, ops
from onnx import TensorProto, helper, numpy_helper

from fastcnn.ir.errors import ModelError
from fastcnn.passes import run_passes
from fastcnn.reader import read
from fastcnn.reference import evaluate_graph

SIMPLE = model(
    [node("Conv", ["x", "w"], ["y"], kernel_shape=[3, 3])], {"x": ["n", 3, 8, None]}, ["y"], {"w": floats(4, 3, 3, 3)}
)


def test_read_from_path_bytes_and_proto(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(SIMPLE, path)
    data = SIMPLE.SerializeToString()
    for source in (path, str(path), data, bytearray(data), SIMPLE):
        graph = read(source)
        assert ops(graph) == ["Conv"]
        np.testing.assert_array_equal(graph.constants["w"], floats(4, 3, 3, 3))


def test_read_leaves_the_given_proto_alone() -> None:
    before = SIMPLE.SerializeToString()
    read(SIMPLE)
    assert SIMPLE.SerializeToString() == before


def test_inputs_have_onnxruntimes_types_and_shapes() -> None:
    info = read(SIMPLE).inputs[0]
    assert (info.name, info.type, info.shape) == ("x", "tensor(float)", ("n", 3, 8, None))


@pytest.mark.parametrize(
    "proto, text",
    [
        (helper.make_tensor_type_proto(TensorProto.FLOAT16, [1]), "tensor(float16)"),
        (helper.make_tensor_type_proto(TensorProto.BFLOAT16, [1]), "tensor(bfloat16)"),
        (helper.make_tensor_type_proto(TensorProto.DOUBLE, None), "tensor(double)"),
        (helper.make_tensor_type_proto(TensorProto.STRING, [1]), "tensor(string)"),
        (helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.INT64, None)), "seq(tensor(int64))"),
        (
            helper.make_optional_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, None)),
            "optional(tensor(float))",
        ),
        (
            helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, None)),
            "map(int64,tensor(float))",
        ),
    ],
)
def test_type_strings(proto: onnx.TypeProto, text: str) -> None:
    copy = model([node("Identity", ["x"], ["y"])], {"x": [1], "unread": [1]}, ["y"], opset=16)
    copy.graph.input[1].type.CopyFrom(proto)
    assert read(copy).inputs[1].type == text


def test_unknown_rank_is_none() -> None:
    copy = model([node("Relu", ["x"], ["y"])], {"x": []}, ["y"])
    copy.graph.input[0].type.CopyFrom(helper.make_tensor_type_proto(TensorProto.FLOAT, None))
    assert read(copy).inputs[0].shape is None


def test_initializers_that_are_inputs_are_constants() -> None:
    proto = model([node("Add", ["x", "k"], ["y"])], {"x": [3], "k": [3]}, ["y"], {"k": floats(3)})
    graph = read(proto)
    assert [i.name for i in graph.inputs] == ["x"] and graph.overridable == ["k"]


@pytest.mark.parametrize("attrs, dtype, value", [
    ({"value": numpy_helper.from_array(np.array([[1, 2]], np.int16))}, np.int16, [[1, 2]]),
    ({"value_float": 1.5}, np.float32, 1.5), ({"value_floats": [1.5, 2.5]}, np.float32, [1.5, 2.5]),
    ({"value_int": 3}, np.int64, 3), ({"value_ints": [3, 4]}, np.int64, [3, 4]),
    ({"value_string": "ab"}, object, "ab"), ({"value_strings": ["ab", "c"]}, object, ["ab", "c"]),
    ({"sparse_value": helper.make_sparse_tensor(numpy_helper.from_array(np.array([5.0, 6.0], np.float32)),
                                                numpy_helper.from_array(np.array([1, 3], np.int64)), [2, 2])},
     np.float32, [[0, 5], [0, 6]]),
], ids=lambda v: str(list(v)) if isinstance(v, dict) else "")
def test_constant_nodes_of_every_form(attrs: dict[str, object], dtype: type, value: object) -> None:
    graph = read(model([node("Constant", [], ["y"], **attrs), node("Relu", ["x"], ["z"])], {"x": [1]}, ["y", "z"]))
    assert ops(graph) == ["Relu"]
    assert graph.constants["y"].dtype == dtype and graph.constants["y"].tolist() == value


@pytest.mark.parametrize("indices", [[1, 3], [[0, 1], [1, 1]]], ids=["linear", "coordinates"])
def test_sparse_initializer(indices: list[object]) -> None:
    proto = model([node("Add", ["x", "s"], ["y"])], {"x": [2, 2]}, ["y"])
    values = numpy_helper.from_array(np.array([5, 6], np.float32), "s")
    proto.graph.sparse_initializer.append(
        helper.make_sparse_tensor(values, numpy_helper.from_array(np.array(indices, np.int64)), [2, 2]))
    assert read(proto).constants["s"].tolist() == [[0, 5], [0, 6]]


@pytest.mark.parametrize(
    "kind",
    [
        TensorProto.FLOAT,
        TensorProto.FLOAT16,
        TensorProto.BFLOAT16,
        TensorProto.DOUBLE,
        TensorProto.INT8,
        TensorProto.UINT16,
        TensorProto.INT64,
        TensorProto.BOOL,
        TensorProto.INT4,
        TensorProto.UINT4,
    ],
)
@pytest.mark.parametrize("raw", [False, True], ids=["fields", "raw"])
def test_initializer_keeps_its_type(kind: int, raw: bool) -> None:
    values = np.array([0, 1, 2, 3, 1], helper.tensor_dtype_to_np_dtype(kind))
    tensor = (
        numpy_helper.from_array(values, "k")
        if raw
        else helper.make_tensor("k", kind, [5], values.astype(float).tolist())
    )
    proto = model([node("Identity", ["k"], ["y"]), node("Relu", ["x"], ["z"])], {"x": [1]}, ["y", "z"], opset=21)
    proto.graph.initializer.append(tensor)
    array = read(proto).constants["k"]
    assert array.dtype == values.dtype and array.astype(float).tolist() == values.astype(float).tolist()


def test_unnamed_nodes_get_names() -> None:
    proto = model(
        [node("Relu", ["x"], ["a"]), node("Relu", ["a"], ["b"], name="Relu_0"), node("Abs", ["b"], ["y"])],
        {"x": [1]},
        ["y"],
    )
    assert [n.name for n in read(proto).nodes] == ["Relu_0_", "Relu_0", "Abs_2"]


def test_node_version_is_that_of_its_domain() -> None:
    proto = model(
        [node("Relu", ["x"], ["a"]), node("Gelu", ["a"], ["y"], domain="com.microsoft")], {"x": [1]}, ["y"], opset=15
    )
    assert [n.version for n in read(proto).nodes] == [15, 1]


def test_default_domain_under_both_names_and_twice() -> None:
    proto = model([node("Relu", ["x"], ["a"]), node("Relu", ["a"], ["y"], domain="ai.onnx")], {"x": [1]}, ["y"])
    del proto.opset_import[:]
    proto.opset_import.extend(
        [helper.make_opsetid("", 13), helper.make_opsetid("ai.onnx", 13), helper.make_opsetid("", 13)]
    )
    graph = read(proto)
    assert graph.opsets == {"": 13} and {n.domain for n in graph.nodes} == {""}


def test_metadata() -> None:
    proto = model([node("Relu", ["x"], ["y"])], {"x": [1]}, ["y"])
    proto.producer_name, proto.producer_version, proto.domain, proto.model_version, proto.doc_string = (
        "p",
        "1.2",
        "d",
        3,
        "text",
    )
    helper.set_model_props(proto, {"labels": "a,b"})
    metadata = read(proto).metadata
    expected = {
        "producer_name": "p",
        "producer_version": "1.2",
        "domain": "d",
        "model_version": 3,
        "doc_string": "text",
        "graph_name": "test",
        "custom_metadata_map": {"labels": "a,b"},
        "ir_version": 8,
    }
    assert {k: metadata[k] for k in expected} == expected


def test_shapes_are_inferred() -> None:
    proto = model(
        [node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1]), node("Relu", ["a"], ["y"])],
        {"x": ["n", 3, "h", 8]},
        ["y"],
        {"w": floats(4, 3, 3, 3)},
    )
    graph = read(proto)
    assert graph.shapes["y"] == ("x.0", 4, "x.2", 8) and graph.types["y"] == "tensor(float)"


def test_one_symbol_in_two_places_is_two_sizes() -> None:
    shapes = read(model([node("Relu", ["x"], ["y"])], {"x": ["?", "?"]}, ["y"])).shapes
    assert shapes["y"][0] != shapes["y"][1]


def test_wrong_value_info_is_not_believed() -> None:
    proto = model([node("Relu", ["x"], ["a"]), node("Abs", ["a"], ["y"])], {"x": [2, 3]}, ["y"])
    proto.graph.value_info.append(helper.make_tensor_value_info("a", TensorProto.FLOAT, [7, 7]))
    assert read(proto).shapes["a"] == (2, 3)


def test_unsorted_nodes_are_sorted() -> None:
    proto = model([node("Abs", ["b"], ["y"]), node("Neg", ["a"], ["b"]), node("Relu", ["x"], ["a"])], {"x": [1]}, ["y"])
    assert ops(read(proto)) == ["Relu", "Neg", "Abs"]


def test_sorted_nodes_keep_their_order() -> None:
    proto = model(
        [
            node("Relu", ["x"], ["a"]),
            node("Neg", ["x"], ["b"]),
            node("Abs", ["a"], ["c"]),
            node("Add", ["b", "c"], ["y"]),
        ],
        {"x": [1]},
        ["y"],
    )
    assert ops(read(proto)) == ["Relu", "Neg", "Abs", "Add"]


def function_model(recursive: bool = False) -> onnx.ModelProto:
    twice = helper.make_function(
        "local", "Twice", ["a"], ["b"], [node("Add", ["a", "a"], ["b"])], [helper.make_opsetid("", 13)]
    )
    inner = "Four" if recursive else "Twice"
    four = helper.make_function(
        "local",
        "Four",
        ["a"],
        ["c"],
        [node("Twice", ["a"], ["t"], domain="local"), node(inner, ["t"], ["c"], domain="local")],
        [helper.make_opsetid("", 13), helper.make_opsetid("local", 1)],
    )
    proto = model(
        [node("Four", ["x"], ["a"], domain="local"), node("Add", ["a", "k"], ["y"])],
        {"x": [2]},
        ["y"],
        {"k": floats(2)},
    )
    proto.functions.extend([twice, four])
    return proto


def test_functions_are_inlined() -> None:
    graph = read(function_model())
    assert ops(graph) == ["Add", "Add", "Add"]
    x = floats(2, seed=5)
    np.testing.assert_allclose(evaluate_graph(graph, {"x": x})["y"], 4 * x + floats(2))


def test_function_that_calls_itself_is_refused() -> None:
    with pytest.raises(ModelError, match="local::Four calls itself"):
        read(function_model(recursive=True))


def loop_model() -> onnx.ModelProto:
    """Adds the outer value `step` to x `n` times, in a body that has a body of its own."""
    then = helper.make_graph(
        [node("Add", ["x_in", "step"], ["t"])], "then", [], [helper.make_tensor_value_info("t", 1, [2])]
    )
    other = helper.make_graph(
        [node("Identity", ["x_in"], ["e"])], "else", [], [helper.make_tensor_value_info("e", 1, [2])]
    )
    body = helper.make_graph(
        [node("If", ["flag"], ["x_out"], then_branch=then, else_branch=other), node("Identity", ["go"], ["go_out"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x_in", 1, [2]),
        ],
        [helper.make_tensor_value_info("go_out", TensorProto.BOOL, []), helper.make_tensor_value_info("x_out", 1, [2])],
    )
    return model([node("Relu", ["x"], ["step"]), node("Loop", ["n", "true", "x"], ["y"], body=body)], {"x": [2]}, ["y"],
                 {"n": np.int64(3), "true": np.array(True), "flag": np.array(True)})


def test_captures_are_found_in_nested_bodies() -> None:
    graph = read(loop_model())
    assert graph.nodes[1].captures == (("flag", "flag"), ("step", "step"))
    assert set(graph.nodes[1].reads) == {"n", "true", "x", "flag", "step"}


def test_control_flow_gives_onnxruntimes_numbers() -> None:
    feeds = {"x": np.array([1, -2], np.float32)}
    np.testing.assert_allclose(evaluate_graph(read(loop_model()), feeds)["y"], onnxruntime_run(loop_model(), feeds)[0])


def test_attributes_are_plain_python() -> None:
    proto = model(
        [node("Conv", ["x", "w"], ["y"], strides=[1, 1], auto_pad="VALID", group=1)],
        {"x": [1, 1, 3, 3]},
        ["y"],
        {"w": floats(1, 1, 2, 2)},
    )
    assert read(proto).nodes[0].attrs == {"strides": [1, 1], "auto_pad": "VALID", "group": 1}


@pytest.mark.parametrize("name", ["light_resnet50", "light_shufflenet", "light_inception_v2"])
def test_models_of_the_onnx_package(name: str) -> None:
    path = Path(onnx.__file__).parent / "backend/test/data/light" / f"{name}.onnx"
    graph = read(path)
    assert graph.nodes and all(n.outputs[0] in graph.shapes for n in graph.nodes)


def test_file_objects_are_no_model() -> None:
    with pytest.raises(ModelError, match="BytesIO"):
        read(io.BytesIO(SIMPLE.SerializeToString()))        # type: ignore[arg-type]


@pytest.mark.parametrize("nodes, constants", [
    ([node("MaxPool", ["x"], ["a"], kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 1], ceil_mode=1)], {}),
    ([node("Resize", ["x", "", "scales"], ["a"])], {"scales": np.array([1, 1, 1, 1.4], np.float32)}),
], ids=["windows in the padding", "float32 scales"])
def test_sizes_that_onnx_infers_wrong_are_unknown(
    nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray]
) -> None:
    proto = model([*nodes, node("Shape", ["a"], ["y"])], {"x": [1, 2, 7, 5]}, ["y"], constants)
    graph = run_passes(read(proto))
    x = floats(1, 2, 7, 5)
    assert evaluate_graph(graph, {"x": x})["y"].tolist() == onnxruntime_run(proto, {"x": x})[0].tolist()


def alike(*others: onnx.NodeProto) -> onnx.ModelProto:
    first = node("Conv", ["x", "w"], ["a"], kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    return model([first, *others], {"x": [1, 3, 8, 8]}, ["y"], {"w": floats(3, 3, 3, 3), "b": floats(3)})


def test_nodes_of_one_form_share_their_attributes() -> None:
    """Nobody changes attributes in place: equal objects are equal attributes for inference, which remembers by them."""
    nodes = read(alike(node("Conv", ["a", "w"], ["y"], kernel_shape=[3, 3], pads=[1, 1, 1, 1])).SerializeToString()).nodes
    assert nodes[0].attrs is nodes[1].attrs and nodes[0].name != nodes[1].name
    assert [n.inputs for n in nodes] == [("x", "w"), ("a", "w")]


@pytest.mark.parametrize("odd", [
    node("Conv", ["a", ""], ["y"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
    node("Conv", ["a"], ["y"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
    node("Conv", ["a", "w"], ["y", "z"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
    node("Conv", ["a", "w"], ["y"], kernel_shape=[3, 3], pads=[1, 1, 1, 1], group=0),
    node("Relu", ["a"], ["y"], pads=[1, 1, 1, 1]),
], ids=["omitted", "fewer", "outputs", "value", "operator"])
def test_a_node_of_another_form_is_checked_by_itself(odd: onnx.NodeProto) -> None:
    for source in (alike(odd), alike(odd).SerializeToString()):
        with pytest.raises(ModelError):
            read(source)


def test_nodes_of_one_form_without_names_are_named_apart() -> None:
    proto = alike(node("Conv", ["a", "w"], ["y"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]))
    for each in proto.graph.node:
        each.ClearField("name")
    assert len({n.name for n in read(proto.SerializeToString()).nodes}) == 2
