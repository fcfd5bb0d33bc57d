"""models: every network builds, is valid ONNX, counts what was published and runs; the two trained networks do what their README says."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from torchvision_import import torchvision_or_skip
from zoo_classifiers import REDUCED
from zoo_helper import check_published

import models
from models import __main__ as command
from models import data
from models.count import Count, count
from models.tasks import TASKS

TRAINED = Path(models.__file__).parent / "trained"
CLASSIC = [name for name in models.NETWORKS if name not in TASKS and name not in REDUCED]  # the others: test_zoo_*.py
SMALL = [name for name in CLASSIC if name not in ("alexnet", "vgg16")]

# Where ours differs from the figure published, and why
DIFFERS = {
    ("googlenet", "macs"): "the paper's table gives its first convolution 34 M instead of 118 M",
}


def session(model: onnx.ModelProto | Path, *, optimize: bool = True) -> Any:
    """An onnxruntime session on one thread; skips the test where onnxruntime is not installed."""
    onnxruntime = pytest.importorskip("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    if not optimize:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    source = str(model) if isinstance(model, Path) else model.SerializeToString()
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module", params=CLASSIC)
def built(request: pytest.FixtureRequest) -> Iterator[tuple[str, onnx.ModelProto]]:
    """(name, model) with a symbolic batch; one at a time, VGG-16 alone is 553 MB."""
    yield request.param, models.build(request.param, batch="N")


def test_model_passes_checker(built: tuple[str, onnx.ModelProto]) -> None:
    onnx.checker.check_model(built[1], full_check=True)


def test_model_counts_as_published(built: tuple[str, onnx.ModelProto]) -> None:
    name, model = built
    check_published(name, count(model), DIFFERS)


def test_model_runs_with_sane_outputs(built: tuple[str, onnx.ModelProto]) -> None:
    name, model = built
    builder = models.NETWORKS[name]
    x = np.random.default_rng(0).standard_normal((2, *builder.input), dtype=np.float32)
    y = session(model, optimize=False).run(["y"], {"x": x})[0]
    assert y.shape == (2, *builder.output)
    assert np.isfinite(y).all()
    assert 0.05 < y.std() < 10
    assert np.abs(y[0] - y[1]).max() > 0.01  # the output depends on the input


def test_count_convolution_by_hand() -> None:
    """LeNet-5, layer by layer: (weights + biases), (outputs x products)."""
    params = (25 * 6 + 6) + (150 * 16 + 16) + (400 * 120 + 120) + (120 * 84 + 84) + (84 * 10 + 10)
    macs = 28 * 28 * 6 * 25 + 10 * 10 * 16 * 150 + 120 * 400 + 120 * 84 + 84 * 10
    assert count(models.build("lenet5")) == Count(params, macs)


def test_count_batch_scales_macs_only() -> None:
    model = models.build("lenet5", batch="N")
    assert count(model, batch=3) == Count(count(model).params, 3 * count(model).macs)


def test_count_symbolic_height_is_refused() -> None:
    with pytest.raises(ValueError, match=r"low.*'H', 'W'"):
        count(onnx.load(TRAINED / "superres.onnx"))


@pytest.mark.parametrize("name", SMALL)
def test_build_same_seed_same_bytes(name: str) -> None:
    first = models.build(name, seed=3).SerializeToString(deterministic=True)
    assert first == models.build(name, seed=3).SerializeToString(deterministic=True)
    assert first != models.build(name, seed=4).SerializeToString(deterministic=True)


@pytest.mark.parametrize("opset", range(13, onnx.defs.onnx_opset_version() + 1))
@pytest.mark.parametrize("name", ["lenet5", "googlenet", "mobilenet_v2", "espcn"])
def test_build_every_opset(name: str, opset: int) -> None:
    model = models.build(name, opset=opset)
    assert model.opset_import[0].version == opset
    onnx.checker.check_model(model, full_check=True)


def test_build_fixed_batch() -> None:
    graph = models.build("lenet5", batch=4).graph
    assert [v.type.tensor_type.shape.dim[0].dim_value for v in (graph.input[0], graph.output[0])] == [4, 4]


def test_build_keeps_batch_normalization_with_random_statistics() -> None:
    model = models.build("resnet18")
    weights = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    nodes = [n for n in model.graph.node if n.op_type == "BatchNormalization"]
    assert len(nodes) == 20
    for node in nodes:
        assert all(weights[name].std() > 0 for name in node.input[1:])
        assert weights[node.input[4]].min() > 0


@pytest.mark.parametrize("arguments, message", [
    ({"name": "resnet99"}, "unknown network 'resnet99'"),
    ({"name": "lenet5", "opset": 12}, "opset 12 not supported"),
    ({"name": "lenet5", "state": {}}, "'conv1.weight'.* not in the state"),
    ({"name": "lenet5", "state": {"conv1.weight": np.zeros((6, 1, 3, 3))}}, r"shape \(6, 1, 3, 3\), the network needs \(6, 1, 5, 5\)"),
])
def test_build_refuses(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        models.build(**arguments)


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "squeezenet1_1", "mobilenet_v2", "densenet121"])
def test_build_with_torchvision_state_computes_the_same(name: str) -> None:
    torch = pytest.importorskip("torch")
    network = torchvision_or_skip().models.get_model(name, weights=None).eval()
    model = models.build(name, state={k: v.numpy() for k, v in network.state_dict().items()})
    x = np.random.default_rng(0).standard_normal((1, 3, 224, 224), dtype=np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(session(model).run(None, {"x": x})[0], expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_command_build_writes_a_valid_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "lenet.onnx"
    monkeypatch.setattr("sys.argv", ["models", "build", "lenet5", str(path), "--seed", "1", "--batch", "2"])
    command.main()
    assert onnx.load(path) == models.build("lenet5", seed=1, batch=2)


def test_command_list_prints_ours_beside_published(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(command, "NETWORKS", {"mobilenet_v2": models.NETWORKS["mobilenet_v2"]})
    monkeypatch.setattr("sys.argv", ["models", "list"])
    command.main()
    row = capsys.readouterr().out.splitlines()[1].split()
    assert row[:6] == ["mobilenet_v2", "3x224x224", "3,504,872", "3,504,872", "300,774,272", "301,000,000"]


@pytest.mark.parametrize("name", ["digits", "superres"])
def test_trained_file_is_small_and_valid(name: str) -> None:
    assert (TRAINED / f"{name}.onnx").stat().st_size < 1_000_000
    assert (TRAINED / f"{name}.npz").stat().st_size < 200_000
    onnx.checker.check_model(onnx.load(TRAINED / f"{name}.onnx"), full_check=True)


def test_trained_digits_gives_stored_probabilities() -> None:
    stored = np.load(TRAINED / "digits.npz")
    image = (stored["images"] / 16).astype(np.float32)
    probabilities = session(TRAINED / "digits.onnx").run(None, {"image": image})[0]
    np.testing.assert_allclose(probabilities, stored["probabilities"], rtol=1e-4, atol=1e-6)
    assert (probabilities.argmax(1) == stored["labels"]).all()


def test_trained_digits_held_out_accuracy() -> None:
    pytest.importorskip("sklearn")
    _, _, x, y = data.digits()
    probabilities = session(TRAINED / "digits.onnx").run(None, {"image": x})[0]
    assert (probabilities.argmax(1) == y).mean() >= 0.99


def test_trained_superres_gives_stored_patch() -> None:
    stored = np.load(TRAINED / "superres.npz")
    high = session(TRAINED / "superres.onnx").run(None, {"low": stored["low"]})[0]
    np.testing.assert_allclose(high, stored["high"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("file", [file for _, file in data.PHOTOGRAPHS["test"]])
def test_trained_superres_beats_bicubic_on_held_out_photographs(file: str) -> None:
    for module in ("sklearn", "skimage", "PIL"):
        pytest.importorskip(module)
    low, high = data.degrade(data.photographs("test")[file], 2)
    ours = session(TRAINED / "superres.onnx").run(None, {"low": low[None, None]})[0][0, 0]
    assert data.psnr(ours, high) >= data.psnr(data.enlarge(low, 2), high) + 0.5
