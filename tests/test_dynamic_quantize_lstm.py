"""com.microsoft's DynamicQuantizeLSTM against onnxruntime: directions, weights of both signs, optional inputs."""
from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from quantized_models import SEVEN_BITS

import fastcnn
from fastcnn.reader.model_file import read
from fastcnn.reference.quantized_lstm import dynamic_quantize_lstm

STEPS, INPUTS, HIDDEN = 7, 9, 6
INPUT_NAMES = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P", "W_scale", "W_zero", "R_scale", "R_zero")


def network(direction: str, dtype: type, columns: bool, batch: int, optional: bool,
            weights: range | None = None, **attrs: object) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """columns: a scale and zero point for each column of the weights; optional: lengths, initial states and peepholes as well;
    weights: what they may be, by default all of the type."""
    rng = np.random.default_rng(0)
    directions, limits = 2 if direction == "bidirectional" else 1, np.iinfo(dtype)
    allowed = weights or range(limits.min, limits.max + 1)
    shape = (directions, 4 * HIDDEN) if columns else (directions,)

    def floats(*extents: int) -> np.ndarray:
        return (0.3 * rng.standard_normal(extents)).astype(np.float32)

    constants = {"B": floats(directions, 8 * HIDDEN)}
    for name, rows in (("W", INPUTS), ("R", HIDDEN)):
        constants[name] = rng.integers(allowed.start, allowed.stop, (directions, rows, 4 * HIDDEN)).astype(dtype)
        constants[f"{name}_scale"] = rng.uniform(0.002, 0.01, shape).astype(np.float32)
        constants[f"{name}_zero"] = np.zeros(shape, dtype) if columns else rng.integers(0, 100, shape).astype(dtype)
    if optional:
        constants |= {"initial_h": floats(directions, batch, HIDDEN), "initial_c": floats(directions, batch, HIDDEN),
                      "P": floats(directions, 3 * HIDDEN), "sequence_lens": rng.integers(2, STEPS + 1, batch).astype(np.int32)}
    names = [name if name == "X" or name in constants else "" for name in INPUT_NAMES]
    node = helper.make_node("DynamicQuantizeLSTM", names, ["Y", "Y_h", "Y_c"], domain="com.microsoft", hidden_size=HIDDEN,
                            direction=direction, **attrs)
    x = rng.standard_normal((STEPS, batch, INPUTS)).astype(np.float32)
    graph = helper.make_graph([node], "lstm", [helper.make_tensor_value_info("X", TensorProto.FLOAT, x.shape)],
                              [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in node.output],
                              [numpy_helper.from_array(value, name) for name, value in constants.items()])
    imports = [helper.make_opsetid("", 13), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8), {"X": x}


@pytest.mark.parametrize("optional", [False, True])
@pytest.mark.parametrize(("dtype", "columns"), [(np.int8, False), (np.int8, True), (np.uint8, False)])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("batch", [1, 3])
def test_like_onnxruntime(batch, direction, dtype, columns, optional):
    model, feeds = network(direction, dtype, columns, batch, optional, range(-SEVEN_BITS, SEVEN_BITS + 1) if dtype is np.int8 else None)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1            # with more, rows are quantised in as many parts
    wanted = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"]).run(None, feeds)
    results = fastcnn.load(model).run(None, feeds)
    # Where rows of a batch have ended, what onnxruntime's state of them holds counts for the range: steps of 1/255 of it are others.
    bound = 0.03 if optional and batch > 1 else 3e-4
    for got, want in zip(results, wanted):
        assert got.shape == want.shape and got.dtype == want.dtype
        assert np.abs(got - want).max() < bound
        assert np.abs(want).max() > 0.03


@pytest.mark.filterwarnings("error:.*fallback:RuntimeWarning")
@pytest.mark.parametrize("attrs", [{}, {"clip": 0.4}, {"activations": ["HardSigmoid", "Softsign", "Relu"]}, {"input_forget": 1}],
                         ids=lambda attrs: next(iter(attrs), "usual"))
@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_like_the_reference(attrs, dtype, isa):
    """At every instruction set and with threads that share directions; the fallback would warn."""
    model, feeds = network("forward", dtype, True, 3, True, **attrs)
    node = read(model).nodes[0]
    constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer} | feeds
    wanted = dynamic_quantize_lstm(node, [constants.get(name) for name in node.inputs])
    for threads in (1, 2):
        for got, want in zip(fastcnn.load(model, threads=threads).run(None, feeds), wanted):
            assert np.abs(got - want).max() < 2e-3              # a state at a tie between two bytes may go to either


def test_computed_weights_run_in_the_fallback():
    model, feeds = network("forward", np.int8, False, 1, False)
    moved = next(t for t in model.graph.initializer if t.name == "R")
    model.graph.initializer.remove(moved)
    model.graph.input.append(helper.make_tensor_value_info("R", moved.data_type, list(moved.dims)))
    with pytest.warns(RuntimeWarning, match="DynamicQuantizeLSTM"):
        results = fastcnn.load(model).run(None, feeds | {"R": numpy_helper.to_array(moved)})
    original, _ = network("forward", np.int8, False, 1, False)
    for got, want in zip(results, fastcnn.load(original).run(None, feeds)):
        np.testing.assert_allclose(got, want, atol=2e-3)
