"""The nine networks inside the onnx package: as they are against stored outputs, with random weights against onnxruntime.

Their weights are ConstantOfShape nodes (one number a tensor), which hides wrong orders of channels; random ones do not.
"""
from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

import fastcnn

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
NAMES = sorted(path.stem for path in LIGHT.glob("*.onnx"))
ROUNDING = 2.0 ** -20           # of a softmax in float32, absolute: 8 units of 2^-23 at 1

pytestmark = [pytest.mark.skipif(not NAMES, reason=f"no models in {LIGHT}"),
              pytest.mark.filterwarnings("error:.*no native kernel")]


def test_light_models_are_nine():
    assert len(NAMES) == 9


def ramp(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """The input that the stored outputs belong to: 0 to 1 over all elements, as onnx.backend.test makes it."""
    given = {tensor.name for tensor in model.graph.initializer}
    feeds = {}
    for value in model.graph.input:
        if value.name not in given:
            shape = [d.dim_value for d in value.type.tensor_type.shape.dim]
            count = int(np.prod(shape))
            feeds[value.name] = (np.arange(count).reshape(shape) / count).astype(np.float32)
    return feeds


@pytest.mark.parametrize("name", NAMES)
def test_light_model_gives_the_stored_output(name):
    path = LIGHT / f"{name}.onnx"
    expected = numpy_helper.to_array(onnx.TensorProto.FromString((LIGHT / f"{name}_output_0.pb").read_bytes()))
    with fastcnn.load(path, threads=2) as model:
        y = model.run(None, ramp(onnx.load(path)))[0]
        assert not model.fallback_nodes
    np.testing.assert_allclose(y.reshape(expected.shape), expected, rtol=1e-3, atol=1e-7)


def with_random_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """ConstantOfShape nodes of weights replaced by seeded values that keep activations of order one.

    He's variance for convolutions and matrices, scales and variances around one.
    """
    rng = np.random.default_rng(0)
    shapes = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    used = {name: (node.op_type, k) for node in model.graph.node for k, name in enumerate(node.input)}
    nodes = []
    for node in model.graph.node:
        if node.op_type != "ConstantOfShape":
            nodes.append(node)
            continue
        name, shape = node.output[0], shapes[node.input[0]].tolist()
        model.graph.initializer.append(numpy_helper.from_array(weights(rng, shape, *used.get(name, ("", 0))), name))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def weights(rng: np.random.Generator, shape: list[int], reader: str, position: int) -> np.ndarray:
    """Values for input `position` of a node of type `reader`."""
    if reader == "BatchNormalization" and position in (1, 4):
        return rng.uniform(0.5, 1.5, shape).astype(np.float32)
    if reader in ("Conv", "Gemm") and position == 1:
        return (rng.random(shape, np.float32) - np.float32(0.5)) * np.float32((24 / np.prod(shape[1:])) ** 0.5)
    if reader in ("Unsqueeze", "Mul"):
        return rng.uniform(0.5, 1.5, shape).astype(np.float32)
    return (rng.standard_normal(shape) * 0.1).astype(np.float32)


@pytest.mark.parametrize("name", NAMES)
def test_light_model_with_random_weights_against_onnxruntime(name):
    proto = with_random_weights(onnx.load(LIGHT / f"{name}.onnx"))
    rng = np.random.default_rng(1)
    feeds = {key: rng.standard_normal(x.shape, dtype=np.float32) for key, x in ramp(proto).items()}
    logits = next((node.input[0] for node in proto.graph.node if node.op_type == "Softmax"), proto.graph.output[0].name)
    if logits != proto.graph.output[0].name:            # a softmax of large numbers hides what came before it
        proto.graph.output.append(onnx.helper.make_tensor_value_info(logits, onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    with fastcnn.load(proto, threads=1) as model:
        results = model.run(None, feeds)
        assert not model.fallback_nodes
    wanted = session.run(None, feeds)
    assert all(np.isfinite(expected).all() and expected.std() > 0 for expected in wanted)
    off = np.abs(results[-1] - wanted[-1]).max()            # of the logits, where a softmax follows them
    assert off <= 1e-4 * np.abs(wanted[-1]).max()
    if len(wanted) > 1:
        assert (np.abs(results[0] - wanted[0]) <= softmax_error(wanted[0], off)).all()


def softmax_error(probabilities: np.ndarray, off: float) -> np.ndarray:
    """How far probabilities may lie apart whose logits lie up to `off` apart: exp(l) moves by a factor of exp(off), and so does their sum.

    Besides, both have rounding errors of their own: of exp, of the sum, of the quotient.
    """
    return probabilities * np.expm1(2 * off) + ROUNDING
