"""Numbers, which have no axes, where operators ask for some: operands of axes are then empty, whether they are constant or computed."""
from __future__ import annotations

import logging
from itertools import combinations

import numpy as np
import onnx
import pytest
from onnx import helper
from single_node import expected_outputs, feeds_of, single_node

import fastcnn
from fastcnn.ir.errors import FastCNNError, ShapeError
from fastcnn.schema.vectors import OF_AXES

X, NOTHING = np.array(3, np.float32), np.zeros(0, np.int64)
OPERANDS = {"Pad": ("pads", None, "axes"), "Slice": ("starts", "ends", "axes", "steps"), "Tile": ("repeats",)}


def operands(kind: str) -> dict[str, np.ndarray | None]:
    """x and what has elements for its axes, none of them here."""
    names = OPERANDS.get(kind, ("axes",))
    return {"x": X, **{name or "left out": NOTHING if name else None for name in names}}


def test_every_operand_of_axes_is_tried() -> None:
    for kind, positions in OF_AXES.items():
        assert [i for i, array in enumerate(operands(kind).values()) if array is NOTHING] == list(positions)


@pytest.mark.parametrize("kind", OF_AXES)
def test_a_number_keeps_its_shape_before_operands_are_computed(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    inputs = operands(kind)
    given = [name for name, array in inputs.items() if array is NOTHING]
    for constant in (part for count in range(len(given) + 1) for part in combinations(given, count)):
        proto = single_node(kind, inputs, constant, opset=18)
        (y,) = fastcnn.load(proto, threads=1).run(None, feeds_of(proto, inputs))
        want = expected_outputs(proto, feeds_of(proto, inputs))[0] if kind.startswith("Reduce") else X      # it refuses the others
        assert y.shape == ()
        np.testing.assert_allclose(y, want, rtol=1e-6)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize("kind, i", [(kind, i) for kind, positions in OF_AXES.items() for i in positions])
def test_a_number_has_no_axis_to_name(kind: str, i: int, caplog: pytest.LogCaptureFixture) -> None:
    """Not even where only the run tells which."""
    inputs = operands(kind)
    name = list(inputs)[i]
    inputs[name] = np.zeros(2, np.int64)
    proto = single_node(kind, inputs, opset=18)
    with pytest.raises(ShapeError, match=rf"'node': input {i} \('{name}'\) has shape \[2\], not 0 elements"):
        fastcnn.load(proto, threads=1).run(None, feeds_of(proto, inputs))
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize("kind", ["LayerNormalization", "RMSNormalization"])
def test_no_axes_have_no_mean(kind: str) -> None:
    inputs = {"x": X, "scale": X}
    proto = single_node(kind, inputs, opset=23, axis=0)
    with pytest.raises(ShapeError, match=r"axes=\[0\] for rank 0"):
        fastcnn.load(proto, threads=1).run(None, feeds_of(proto, inputs))


@pytest.mark.parametrize("kind, dtype", [("Conv", np.float32), ("Conv", np.float64), ("ConvInteger", np.uint8),
                                         ("ConvTranspose", np.float32)])
@pytest.mark.parametrize("x", [(), (3,), (2, 3), (1, 2, 3, 4)], ids=str)
@pytest.mark.parametrize("w", [(), (3,), (2, 3)], ids=str)
def test_no_axes_have_no_window(kind: str, dtype: type, x: tuple[int, ...], w: tuple[int, ...], caplog: pytest.LogCaptureFixture) -> None:
    inputs = {"x": np.ones(x, dtype), "w": np.ones(w, dtype)}
    node = helper.make_node(kind, list(inputs), ["y"], name="node")
    fed = [helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape) for name, array in inputs.items()]
    graph = helper.make_graph([node], "test", fed, [onnx.ValueInfoProto(name="y")])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(FastCNNError, match="'node'"):
        fastcnn.load(proto, threads=1).run(None, inputs)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_nothing_declared_as_a_narrow_tensor() -> None:
    """What is computed as float32 is converted to what the file declares: not where there is nothing to convert."""
    graph = helper.make_graph([helper.make_node("Optional", [], ["y"], type=helper.make_tensor_type_proto(onnx.TensorProto.BFLOAT16, [2]))],
                              "test", [], [helper.make_tensor_value_info("y", onnx.TensorProto.BFLOAT16, [2])])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    assert fastcnn.load(proto, threads=1).run(None, {}) == [None]
