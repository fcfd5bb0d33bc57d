"""Values of sizes, axes, scales and pads that make no sense: errors that say so, raised where they are read, not by the last guard."""
from __future__ import annotations

import logging

import numpy as np
import onnx
import pytest
from graph_helper import model
from onnx import helper, numpy_helper

import fastcnn

pytestmark = pytest.mark.filterwarnings("ignore:.*no native kernel:RuntimeWarning")
F32, I64 = np.float32, np.int64
LOW, HIGH = -(1 << 63), (1 << 63) - 1
Case = tuple[str, dict[str, np.ndarray], dict]


def ints(*values: int) -> np.ndarray:
    return np.array(values, I64)


def ones(*shape: int) -> np.ndarray:
    return np.ones(shape, F32)


def resize(x: np.ndarray, scales: np.ndarray | None = None, sizes: np.ndarray | None = None, **attrs) -> Case:
    given = {"scales": scales} if scales is not None else {"sizes": sizes}
    return "Resize", {"x": x, "": None, **({} if scales is not None else {" ": None}), **given}, {"opset": 18, **attrs}


def one_hot(depth: float) -> Case:
    return "OneHot", {"x": ints(0, 1), "depth": np.array(depth, F32), "values": np.array([0, 1], F32)}, {}


def col2im(image: np.ndarray, block: np.ndarray) -> Case:
    return "Col2Im", {"x": ones(1, 4, 4), "image": image, "block": block}, {"opset": 18}


def transposed(**attrs) -> Case:
    return "ConvTranspose", {"x": ones(1, 1, 4, 4), "w": ones(1, 1, 2, 2)}, attrs


def filled(*sizes: int) -> Case:
    return "ConstantOfShape", {"x": ints(*sizes)}, {}


REFUSED: dict[str, tuple[Case, str]] = {
    "Resize of no axes": (resize(np.array(1, F32), sizes=ints()), "x has no axes"),
    "Resize of no axes, ratio kept": (resize(np.array(1, F32), sizes=ints(), keep_aspect_ratio_policy="not_larger"), "x has no axes"),
    "Resize of no axes, scaled": (resize(np.array(1, F32), scales=ones(0), mode="linear"), "x has no axes"),
    "depth NaN": (one_hot(np.nan), "input 1 is nan"),
    "depth inf": (one_hot(-np.inf), "input 1 is -inf"),
    "block of 0": (col2im(ints(4, 4), ints(0, 1)), r"block_shape=\[0, 1\]"),
    "blocks of -1": (col2im(ints(4, 4), ints(-1, -1)), r"block_shape=\[-1, -1\]"),
    "image of 0": (col2im(ints(0, 4), ints(1, 1)), r"image_shape=\[0, 4\]"),
    "image that is no list": (col2im(np.array(4), ints(1)), "has to be of one axis, it has 0"),
    "shape that is no list": (("ConstantOfShape", {"x": np.array(3)}, {}), "has to be of one axis, it has 0"),
    "shape that is a matrix": (("Reshape", {"x": ones(4), "shape": ints(2, 2)[None]}, {}), "has to be of one axis, it has 2"),
    "starts that are no list": (("Slice", {"x": ones(4), "starts": np.array(1), "ends": np.array(2)}, {}), "of one axis, it has 0"),
    "shape of 70 axes": (filled(*[1] * 70), "has 70 axes"),
    "empty shape of 65 axes": (filled(*[0] * 65), "has 65 axes"),
    "empty and enormous": (filled(1 << 62, 0), "has no elements, but"),
    "empty and beyond": (filled(1 << 62, 0, 1 << 62, 3), "has no elements, but"),
    "negative extent": (("Expand", {"x": ones(2, 1), "shape": ints(2, -1)}, {}), r"shape=\[2, -1\]"),
    "output_shape too short": (transposed(output_shape=[5]), r"output_shape=\[5\]"),
    "output_shape between": (transposed(output_shape=[1, 5, 5]), r"output_shape=\[1, 5, 5\]"),
    "strides too short": (transposed(strides=[2]), r"strides=.2"),
    "pads too short": (transposed(pads=[1, 1]), r"pads=\[1, 1\]"),
}


def written(case: Case, constants: bool, sizes_known: bool = True) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """The model, all inputs but x as initializers or fed, and what is fed."""
    kind, inputs, attrs = case
    given = {name: array for name, array in inputs.items() if array is not None}
    fed = {name: array for name, array in given.items() if name == "x" or not constants}
    attrs = dict(attrs)
    opset = attrs.pop("opset", 17)
    made = helper.make_node(kind, [name.strip() for name in inputs], ["y"], name="n", **attrs)
    types = {name: helper.np_dtype_to_tensor_dtype(array.dtype) for name, array in fed.items()}
    shapes = {name: list(array.shape) if sizes_known else [None] * array.ndim for name, array in fed.items()}
    return model([made], shapes, ["y"], {name: a for name, a in given.items() if name not in fed}, opset, types), fed


@pytest.fixture(autouse=True)
def nothing_unforeseen(caplog):
    with caplog.at_level(logging.ERROR, "fastcnn"):
        yield
    assert "unforeseen" not in caplog.text


@pytest.mark.parametrize("sizes_known", [True, False], ids=["sizes known", "sizes unknown"])
@pytest.mark.parametrize("constants", [True, False], ids=["constant", "fed"])
@pytest.mark.parametrize("what", REFUSED)
def test_values_without_meaning_are_refused_where_they_are_read(what, constants, sizes_known):
    case, message = REFUSED[what]
    proto, feeds = written(case, constants, sizes_known)
    with pytest.raises(fastcnn.FastCNNError, match=f"{case[0]} 'n': .*{message}|{case[0]} 'n' {message}"):
        fastcnn.load(proto, max_memory=1 << 28).run(None, feeds)


ANSWERED: dict[str, tuple[Case, np.ndarray]] = {
    **{f"Trilu k={k} upper={upper}": (("Trilu", {"x": ones(3, 4), "k": np.array(k)}, {"upper": upper}),
                                      ones(3, 4) * ((k < 0) == bool(upper))) for k in (LOW, -100, 100, HIGH) for upper in (0, 1)},
    "no sizes": (filled(), np.zeros((), F32)),
    "scales in a matrix": (resize(ones(2), scales=np.array([[2]], F32)), ones(4)),
    "one scale": (resize(ones(2), scales=np.array(2, F32)), ones(4)),
    "one size": (resize(ones(2), sizes=np.array(3)), ones(3)),
    "shape of Expand": (("Expand", {"x": ones(1), "shape": np.array(3)}, {}), ones(3)),
    "pads in a matrix": (("Pad", {"x": ones(2), "pads": ints(1, 1)[None]}, {}), np.array([0, 1, 1, 0], F32)),
    "axis in a list": (("CumSum", {"x": ones(3), "axis": ints(0)}, {"reverse": 1, "exclusive": 1}), np.array([2, 1, 0], F32)),
    "spatial output_shape": (transposed(output_shape=[1, 1, 5, 5]), None),
    "stride beyond the outputs": (transposed(strides=[2 ** 31 - 1, 2], output_shape=[10, 8]), np.zeros((1, 1, 10, 8), F32)),
    "strides beyond the outputs": (transposed(strides=[3, 2 ** 31 - 1], output_shape=[8, 10]), np.zeros((1, 1, 8, 10), F32)),
}


@pytest.mark.parametrize("constants", [True, False], ids=["constant", "fed"])
@pytest.mark.parametrize("what", ANSWERED)
def test_odd_values_that_have_a_meaning(what, constants):
    """onnxruntime answers these too."""
    case, expected = ANSWERED[what]
    proto, feeds = written(case, constants)
    (y,) = fastcnn.load(proto).run(None, feeds)
    assert y.shape == (1, 1, 5, 5) if expected is None else np.array_equal(y, expected)


def test_a_constant_of_several_values_fills_no_shape():
    proto = model([helper.make_node("ConstantOfShape", ["s"], ["y"], name="n", value=numpy_helper.from_array(ones(2)))],
                  {"x": [1]}, ["y"], {"s": ints(3)})
    with pytest.raises(fastcnn.FastCNNError, match="ConstantOfShape 'n'"):
        fastcnn.load(proto)


def test_a_window_of_elements_that_64_bits_cannot_count():
    """3 * 6148914691236517206 is 2 in 64 bits."""
    nodes = [helper.make_node("Transpose", ["x"], ["t"]), helper.make_node("MatMul", ["t", "w"], ["y"])]
    proto = model(nodes, {"x": [3, 6148914691236517206]}, ["y"], {"w": ones(1, 3, 2)})
    with pytest.raises(fastcnn.LimitError, match="input 'x'"):
        fastcnn.load(proto)


def test_batches_of_a_product_that_differ(caplog):
    """With weights on the left and moved elements on the right, as unshared convolutions have them."""
    nodes = [helper.make_node("Transpose", ["x"], ["t"]), helper.make_node("MatMul", ["w", "t"], ["y"], name="n")]
    proto = model(nodes, {"x": [2, 4, 3]}, ["y"], {"w": ones(2, 3, 4)})
    with pytest.raises(fastcnn.FastCNNError, match="MatMul 'n'"):
        fastcnn.load(proto)
    assert not caplog.records
