"""fastcnn.backend: onnx's own backend test suite, and the calls its base class names."""
from __future__ import annotations

import re
import signal
from collections.abc import Iterator, Sequence

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx.backend.test.loader import load_model_tests
from onnx.backend.test.runner import Runner

import fastcnn
import fastcnn.backend

pytestmark = pytest.mark.filterwarnings("ignore")

# Case -> why it is left out. Everything else has to pass.
EXCLUDED = {
    r"^test_bernoulli": "random draws: expected is what another generator drew",
    r"^test_resize_downsample_scales_(linear|cubic)_align_corners_cpu":
        "expected counts a fraction of a pixel as length_resized; the standard's text, onnxruntime and PyTorch count whole ones",
    r"^test_gradient_of_": "training: gradients are not computed",
    r"^test_loop16_seq_none_cpu": "the runner itself fails: it takes len() of a scalar inside a sequence",
}
# The runner's other kinds: real models, which test_light_models runs, and PyTorch's of opset 6, which test_opsets_before_7 runs.
KINDS = ("NodeModel", "SimpleModel")
CASE_SECONDS = 20


class Strict(fastcnn.backend.FastCNNBackend):
    """The runner would skip what the backend calls incompatible; here it has to run."""

    @classmethod
    def is_compatible(cls, model: object, device: str = "CPU", **kwargs: object) -> bool:
        return True


class Widening(Runner):
    """Older runners compare with numpy's tolerances, which know nothing of types that are not numpy's own: floats of 4, 8 and 16 bits."""

    @classmethod
    def assert_similar_outputs(cls, ref_outputs: Sequence, outputs: Sequence, rtol: float, atol: float, **where: str | None) -> None:
        kinds = [getattr(v, "dtype", None) for v in ref_outputs]
        assert [getattr(v, "dtype", None) for v in outputs] == kinds
        rtol = max(rtol, 2 ** -6) if "bfloat16" in map(str, kinds) else rtol           # as newer runners
        super().assert_similar_outputs(*([_wide(v) for v in values] for values in (ref_outputs, outputs)), rtol, atol, **where)


def _wide(value: object) -> object:
    foreign = isinstance(value, np.ndarray) and value.dtype.isbuiltin == 2
    return value.astype(np.float32) if foreign and value.dtype.name.startswith(("float", "bfloat")) else value


def suite() -> dict[str, type]:
    runner = Widening(Strict, __name__)
    for pattern in EXCLUDED:
        runner.exclude(pattern)
    found = {name: case for name, case in runner.test_cases.items() if name.removeprefix("OnnxBackend").removesuffix("Test") in KINDS}
    assert len(found) == len(KINDS)
    for case in found.values():
        for name in [name for name in vars(case) if name.endswith("_cuda")]:
            delattr(case, name)
    return found


globals().update(suite())


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    def late(*_: object) -> None:
        raise TimeoutError(f"more than {CASE_SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(CASE_SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def test_backend_exclusions_match_a_case():
    names = [f"{case.name}_cpu" for kind in ("node", "simple") for case in load_model_tests(kind=kind)]
    for pattern in EXCLUDED:
        assert any(re.search(pattern, name) for name in names), pattern


def relu_model() -> onnx.ModelProto:
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "relu", [helper.make_tensor_value_info("x", 1, ["n"])],
                              [helper.make_tensor_value_info("y", 1, ["n"])])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


X = np.array([-1, 2], np.float32)


@pytest.mark.parametrize("inputs", [[X], (X,), X, {"x": X}], ids=["list", "tuple", "array", "mapping"])
def test_backend_prepare_and_run(inputs):
    outputs = fastcnn.backend.prepare(relu_model(), "CPU").run(inputs)
    np.testing.assert_array_equal(outputs[0], [0, 2])
    np.testing.assert_array_equal(outputs["y"], [0, 2])
    np.testing.assert_array_equal(fastcnn.backend.run_model(relu_model().SerializeToString(), inputs)[0], [0, 2])


def test_backend_prepare_takes_a_model_and_options():
    with fastcnn.load(relu_model()) as model:
        assert fastcnn.backend.prepare(model).model is model
    assert fastcnn.backend.prepare(relu_model(), threads=1, unknown=2).model.threads == 1


def test_backend_run_refuses_too_many_inputs():
    with pytest.raises(fastcnn.InputError, match="2 inputs given, the model has 1"):
        fastcnn.backend.prepare(relu_model()).run([X, X])


def test_backend_run_node():
    node = helper.make_node("Clip", ["x", "", "high"], ["y"])
    y, = fastcnn.backend.run_node(node, [X, np.float32(1)])
    np.testing.assert_array_equal(y, [-1, 1])
    y, = fastcnn.backend.run_node(helper.make_node("Softmax", ["x"], ["y"]), [np.zeros((2, 2, 2), np.float32)], opset_version=11,
                                  outputs_info=[(np.dtype(np.float32), (2, 2, 2))])
    np.testing.assert_array_equal(y, np.full((2, 2, 2), 0.25))


def test_backend_devices():
    assert fastcnn.backend.supports_device("CPU") and fastcnn.backend.supports_device("CPU:0")
    assert not fastcnn.backend.supports_device("CUDA") and not fastcnn.backend.supports_device("nothing")
    with pytest.raises(fastcnn.ConfigurationError, match="'CUDA'"):
        fastcnn.backend.prepare(relu_model(), "CUDA")


def test_backend_is_compatible():
    assert fastcnn.backend.is_compatible(relu_model())
    bad = relu_model()
    bad.graph.node[0].op_type = "Nothing"
    assert not fastcnn.backend.is_compatible(bad)
