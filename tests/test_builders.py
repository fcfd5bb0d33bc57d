"""The networks of models/ through fastcnn: against onnxruntime, at several batches; the trained ones on their data."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from zoo_classifiers import REDUCED

import fastcnn
import models
from models import data
from models.tasks import TASKS

TRAINED = Path(models.__file__).parent / "trained"
LARGE = {"alexnet", "vgg16"}
CLASSIC = [name for name in models.NETWORKS if name not in TASKS and name not in REDUCED]  # the others: test_zoo_*.py
RTOL = 1e-4                     # of the largest output; the bar for whole networks

pytestmark = pytest.mark.filterwarnings("error:.*no native kernel")


def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def agree(y: np.ndarray, expected: np.ndarray) -> None:
    assert y.shape == expected.shape and y.dtype == expected.dtype
    error = float(np.abs(y - expected).max() / np.abs(expected).max())
    assert error <= RTOL, f"off by {error:.2e} of the largest value"


@pytest.mark.parametrize("name", CLASSIC)
def test_builder_agrees_with_onnxruntime(name):
    proto = models.build(name, seed=1, batch="N")
    reference = session(proto)
    rng = np.random.default_rng(0)
    with fastcnn.load(proto, threads=2) as model:
        for batch in (1,) if name in LARGE else (1, 2):
            x = rng.standard_normal((batch, *models.NETWORKS[name].input), dtype=np.float32)
            agree(model(x), reference.run(None, {"x": x})[0])
        assert not model.fallback_nodes


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "googlenet", "squeezenet1_1"])
def test_builder_on_one_thread_and_three_gives_the_same_bits(name):
    proto = models.build(name)
    x = np.random.default_rng(1).standard_normal((1, *models.NETWORKS[name].input), dtype=np.float32)
    one = fastcnn.load(proto, threads=1)(x)
    np.testing.assert_array_equal(fastcnn.load(proto, threads=3)(x), one)


@pytest.mark.parametrize("batch", [1, 3])
def test_builder_images_of_a_batch_do_not_mix(batch):
    model = fastcnn.load(models.build("resnet18", batch="N"))
    x = np.random.default_rng(2).standard_normal((batch, 3, 224, 224), dtype=np.float32)
    alone = np.concatenate([model(image[None]) for image in x])
    np.testing.assert_allclose(model(x), alone, rtol=0, atol=1e-5 * np.abs(alone).max())


@pytest.mark.parametrize("opset", range(13, onnx.defs.onnx_opset_version() + 1))
@pytest.mark.parametrize("name", ["lenet5", "squeezenet1_1"])
def test_builder_any_opset(name, opset):
    x = np.random.default_rng(3).standard_normal((1, *models.NETWORKS[name].input), dtype=np.float32)
    expected = fastcnn.load(models.build(name, opset=17))(x)
    np.testing.assert_array_equal(fastcnn.load(models.build(name, opset=opset))(x), expected)


# ---- the trained networks ----


def test_trained_digits_gives_stored_probabilities():
    stored = np.load(TRAINED / "digits.npz")
    probabilities = fastcnn.load(TRAINED / "digits.onnx")((stored["images"] / 16).astype(np.float32))
    np.testing.assert_allclose(probabilities, stored["probabilities"], rtol=1e-4, atol=1e-6)
    assert (probabilities.argmax(1) == stored["labels"]).all()


def test_trained_digits_held_out_accuracy():
    pytest.importorskip("sklearn")
    _, _, x, y = data.digits()
    model = fastcnn.load(TRAINED / "digits.onnx")
    together = model(x)
    assert (together.argmax(1) == y).mean() >= 0.99
    np.testing.assert_allclose(np.concatenate([model(image[None]) for image in x[:20]]), together[:20], rtol=1e-4,
                               atol=1e-6)


def test_trained_superres_gives_stored_patch():
    stored = np.load(TRAINED / "superres.npz")
    np.testing.assert_allclose(fastcnn.load(TRAINED / "superres.onnx")(stored["low"]), stored["high"], rtol=0,
                               atol=1e-5)


@pytest.mark.parametrize("file", [file for _, file in data.PHOTOGRAPHS["test"]])
def test_trained_superres_beats_bicubic_on_held_out_photographs(file):
    for module in ("sklearn", "skimage", "PIL"):
        pytest.importorskip(module)
    low, high = data.degrade(data.photographs("test")[file], 2)
    y = fastcnn.load(TRAINED / "superres.onnx")(low[None, None])[0, 0]
    assert data.psnr(y, high) >= data.psnr(data.enlarge(low, 2), high) + 0.5


@pytest.mark.parametrize("extent", [(1, 1), (2, 3), (7, 5), (16, 33), (64, 64)])
def test_trained_superres_any_extent(extent):
    low = np.random.default_rng(4).random((1, 1, *extent), dtype=np.float32)
    reference = onnxruntime.InferenceSession(str(TRAINED / "superres.onnx"), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(fastcnn.load(TRAINED / "superres.onnx")(low), reference.run(None, {"low": low})[0],
                               rtol=0, atol=1e-5)
