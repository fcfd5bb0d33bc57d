"""get_outputs() of models that say little of their outputs: names, types and sizes are those that onnxruntime infers."""
from __future__ import annotations

import glob
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from graph_helper import floats, model, node
from onnx import ModelProto, TensorProto, helper

import fastcnn

CPU = ["CPUExecutionProvider"]
CORPUS = sorted(glob.glob(str(Path(__file__).parent.parent.parent / "shared" / "corpus" / "*" / "*.onnx")))
SYMBOLIC = {"x": ["N", 3, "H", 8]}
quiet = pytest.mark.filterwarnings("ignore:.*no native kernel:RuntimeWarning")


def described(proto: ModelProto | str) -> list[tuple[str, str, list[int | str | None]]]:
    return [(o.name, o.type, o.shape) for o in fastcnn.InferenceSession(proto).get_outputs()]


def by_onnxruntime(proto: ModelProto) -> list[tuple[str, str, list[int | str | None]]]:
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=CPU)
    return [(o.name, o.type, o.shape) for o in session.get_outputs()]


# Nodes, inputs, outputs, constants, types of inputs.
CASES = {
    "fixed": ([node("Conv", ["x", "w"], ["c"]), node("Flatten", ["c"], ["y"])], {"x": [1, 3, 8, 8]}, ["y"], {"w": floats(4, 3, 3, 3)}, {}),
    "symbolic": ([node("Conv", ["x", "w"], ["c"]), node("GlobalAveragePool", ["c"], ["g"]), node("Flatten", ["g"], ["y"])], SYMBOLIC,
                  ["y", "g"], {"w": floats(4, 3, 3, 3)}, {}),
    "kept symbols": ([node("Relu", ["x"], ["y"]), node("Shape", ["x"], ["s"])], SYMBOLIC, ["y", "s"], {}, {}),
    "shape arithmetic": ([node("Shape", ["x"], ["s"]), node("Gather", ["s", "zero"], ["n"]), node("Concat", ["n", "rest"], ["t"], axis=0),
                          node("Reshape", ["x", "t"], ["y"])],
                         {"x": [2, 3, 8, 8]}, ["y"], {"zero": np.array([0]), "rest": np.array([-1])}, {}),
    "other types": ([node("Greater", ["x", "x"], ["b"]), node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16),
                     node("ArgMax", ["x"], ["i"], axis=1)], SYMBOLIC, ["b", "h", "i"], {}, {}),
    "half": ([node("Relu", ["x"], ["y"])], SYMBOLIC, ["y"], {}, {"x": TensorProto.FLOAT16}),
    "sequence": ([node("SplitToSequence", ["x"], ["y"], axis=1)], {"x": [2, 4]}, ["y"], {}, {}),
    "unknown": ([node("NonZero", ["x"], ["y"])], {"x": [2, 4]}, ["y"], {}, {}),
}


@quiet
@pytest.mark.parametrize("case", CASES)
def test_outputs_without_types_are_described_as_by_onnxruntime(case):
    nodes, inputs, outputs, constants, types = CASES[case]
    proto = model(nodes, inputs, outputs, constants, types=types)
    assert described(proto) == by_onnxruntime(proto)


def test_results_of_outputs_without_types_have_the_inferred_type():
    proto = model([node("Relu", ["x"], ["y"])], {"x": [2]}, ["y"], types={"x": TensorProto.FLOAT16})
    y, = fastcnn.load(proto).run(None, {"x": np.float16([-1, 2])})
    assert y.dtype == np.float16


def test_inferred_sizes_complete_what_the_file_says():
    """A size that the file leaves open becomes a number, one that it names otherwise keeps its name, a wrong number gives way."""
    for said in (["batch", "classes"], [None, None], ["batch", 7], ["batch"], None):
        proto = model([node("Gemm", ["x", "w"], ["y"])], {"x": ["N", 3]}, ["y"], {"w": floats(3, 4)})
        proto.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, said))
        named = said is not None and len(said) == 2 and said[0] is not None
        assert described(proto) == [("y", "tensor(float)", ["batch" if named else "N", 4])]


def test_free_dimensions_given_numbers_reach_the_outputs():
    proto = model([node("Relu", ["x"], ["y"])], SYMBOLIC, ["y"])
    options = fastcnn.SessionOptions()
    options.add_free_dimension_override_by_name("H", 6)
    assert fastcnn.InferenceSession(proto, options).get_outputs()[0].shape == ["N", 3, 6, 8]


@quiet
@pytest.mark.skipif(not CORPUS, reason="the corpus of published models is not beside the clone")
@pytest.mark.parametrize("path", CORPUS, ids=lambda p: Path(p).parent.name)
def test_outputs_of_published_models_are_described_as_in_onnxruntime(path):
    """From the file, and without the types in it: each number that onnxruntime knows, or more."""
    proto = onnx.load(path)
    for output in proto.graph.output:
        output.ClearField("type")
    for ours, theirs in ((described(path), by_onnxruntime(onnx.load(path))), (described(proto), by_onnxruntime(proto))):
        assert [o[:2] for o in ours] == [o[:2] for o in theirs]
        for (name, _, shape), (_, _, expected) in zip(ours, theirs):
            assert len(shape) == len(expected) or expected == [], name        # [] is what it says of an unknown rank
            assert all(a == b or not isinstance(b, int) for a, b in zip(shape, expected)), (name, shape, expected)
