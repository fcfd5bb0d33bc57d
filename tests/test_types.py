"""Element types: networks in double, half and bfloat16 precision, integers below a byte, strings, sequences and optionals."""
from __future__ import annotations

import warnings
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import fastcnn

info, node = helper.make_tensor_value_info, helper.make_node


def network(dtype: Any) -> onnx.ModelProto:
    """Convolutions of three kinds, normalisation, activations, pooling, a matrix product, softmax; every weight of this type."""
    rng = np.random.default_rng(0)

    def weight(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(dtype)

    constants = {"w1": weight(8, 3, 3, 3), "b1": weight(8), "s": weight(8), "b": weight(8), "m": weight(8), "v": np.abs(weight(8)),
                 "w2": weight(8, 1, 3, 3), "wt": weight(8, 4, 2, 2), "g": weight(4, 5), "gb": weight(5), "one": np.array(1, dtype)}
    nodes = [node("Conv", ["x", "w1", "b1"], ["c1"], pads=[1] * 4), node("BatchNormalization", ["c1", "s", "b", "m", "v"], ["n1"]),
             node("Relu", ["n1"], ["r1"]), node("Conv", ["r1", "w2"], ["c2"], group=8, pads=[1] * 4, strides=[2, 2]),
             node("Sigmoid", ["c2"], ["sg"]), node("Mul", ["c2", "sg"], ["sw"]),
             node("ConvTranspose", ["sw", "wt"], ["t"], strides=[2, 2]),
             node("MaxPool", ["t"], ["p"], kernel_shape=[2, 2], strides=[2, 2]), node("Add", ["p", "one"], ["a"]),
             node("GlobalAveragePool", ["a"], ["ga"]), node("Flatten", ["ga"], ["f"]), node("Gemm", ["f", "g", "gb"], ["lg"]),
             node("Softmax", ["lg"], ["y"])]
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    graph = helper.make_graph(nodes, "net", [info("x", kind, ["N", 3, 8, 8])], [info(name, kind, None) for name in ("y", "t", "lg")],
                              [numpy_helper.from_array(array, name) for name, array in constants.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)


def in_double(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same weights and arithmetic in float64."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for tensor in copy.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), tensor.name))
    for value in (*copy.graph.input, *copy.graph.output):
        value.type.tensor_type.elem_type = TensorProto.DOUBLE
    return copy


@pytest.mark.parametrize("dtype, rtol, native", [(np.float64, 1e-11, False), (np.float32, 1e-6, True), (np.float16, 1e-3, True),
                                                 (ml_dtypes.bfloat16, 8e-3, True)], ids=["float64", "float32", "float16", "bfloat16"])
def test_network_in_each_precision(dtype, rtol, native):
    proto = network(dtype)
    x = np.random.default_rng(1).standard_normal((2, 3, 8, 8)).astype(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = fastcnn.load(proto)
        got = model.run(None, {"x": x})
    assert bool(model.fallback_nodes) != native
    for y, want in zip(got, ReferenceEvaluator(in_double(proto)).run(None, {"x": x.astype(np.float64)})):
        assert y.dtype == dtype and y.shape == want.shape
        assert np.abs(y.astype(np.float64) - want).max() <= rtol * np.abs(want).max()


def identity(input_type: onnx.TypeProto, operator: str = "Identity", output_type: onnx.TypeProto | None = None) -> onnx.ModelProto:
    graph = helper.make_graph([node(operator, ["x"], ["y"])], "g", [helper.make_value_info("x", input_type)],
                              [helper.make_value_info("y", output_type or input_type)])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 25)], ir_version=11)


def tensor(kind: int) -> onnx.TypeProto:
    return helper.make_tensor_type_proto(kind, ["n"])


TYPES = [np.bool_, np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64, np.float16, np.float32, np.float64,
         np.complex64, ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2, ml_dtypes.int4, ml_dtypes.uint4]


@pytest.mark.filterwarnings("ignore:.*no native kernel:RuntimeWarning")
@pytest.mark.parametrize("dtype", TYPES, ids=lambda t: np.dtype(t).name)
def test_every_element_type_goes_in_and_out(dtype):
    x = np.array([0, 1, 2]).astype(dtype)
    model = fastcnn.load(identity(tensor(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))))
    y = model(x)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, x)
    with pytest.raises(fastcnn.InputError, match="expected"):
        model(x.astype(np.float32 if dtype != np.float32 else np.float64))


@pytest.mark.filterwarnings("ignore:.*no native kernel:RuntimeWarning")
def test_strings_go_in_and_out():
    model = fastcnn.load(identity(tensor(TensorProto.STRING)))
    for x in (np.array(["a", "ü"]), np.array(["a", "ü"], object), ["a", "ü"]):
        assert model(x).tolist() == ["a", "ü"]


@pytest.mark.filterwarnings("ignore:.*no native kernel:RuntimeWarning")
def test_sequences_go_in_and_out():
    model = fastcnn.load(identity(helper.make_sequence_type_proto(tensor(TensorProto.FLOAT))))
    x = [np.zeros(2, np.float32), np.ones(3, np.float32)]
    for y in (model(x), model(tuple(x)), model([a.tolist() for a in x])):
        assert [a.tolist() for a in y] == [[0, 0], [1, 1, 1]] and y[0].dtype == np.float32
    with pytest.raises(fastcnn.InputError, match=r"'x': expected a list for seq\(tensor\(float\)\), got ndarray"):
        model(x[0])
    with pytest.raises(fastcnn.InputError, match=r"'x\[1\]': expected float32, got float64"):
        model([x[0], x[1].astype(np.float64)])


@pytest.mark.filterwarnings("ignore:.*no native kernel:RuntimeWarning")
def test_optionals_may_be_empty():
    held = helper.make_optional_type_proto(tensor(TensorProto.FLOAT))
    model = fastcnn.load(identity(held, "OptionalHasElement", helper.make_tensor_type_proto(TensorProto.BOOL, [])))
    assert model.run(None, {"x": np.ones(2, np.float32)})[0].item() is True
    assert model.run(None, {"x": None})[0].item() is False
