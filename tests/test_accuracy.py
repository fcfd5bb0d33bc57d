"""accuracy="strict": no Winograd, whichever way a convolution is reached, so that nothing touches an output that does not see it."""
from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

import fastcnn
from fastcnn.tune import tuner

RNG = np.random.default_rng(0)
STRICT = {"accuracy": "strict"}


@pytest.fixture(autouse=True)
def where_winograd_pays(on_pixels, plan_for):
    plan_for("ice_lake")


def network(*nodes: tuple[str, tuple[int, ...], dict], x: tuple[int, ...] = (1, 64, 28, 28), fed: bool = False) -> ModelProto:
    """Convolutions one after the other: (operator, shape of w, attributes), named c0, c1 ...; fed: weights may be given by the caller."""
    made = [helper.make_node(op, ["x" if k == 0 else f"y{k - 1}", f"w{k}"], [f"y{k}"], f"c{k}", **attrs)
            for k, (op, _, attrs) in enumerate(nodes)]
    weights = [numpy_helper.from_array(RNG.standard_normal(w, dtype=np.float32) / np.float32(np.prod(w[1:]) ** 0.5), f"w{k}")
               for k, (_, w, _) in enumerate(nodes)]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, x)]
    inputs += [helper.make_tensor_value_info(w.name, TensorProto.FLOAT, w.dims) for w in weights if fed]
    result = helper.make_tensor_value_info(f"y{len(nodes) - 1}", TensorProto.FLOAT, None)
    graph = helper.make_graph(made, "network", inputs, [result], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def square(**attrs: object) -> tuple[str, tuple[int, ...], dict]:
    return "Conv", (64, 64, 3, 3), {"pads": [1] * 4, **attrs}


KINDS = {
    "3x3": network(square()),
    "in groups": network(("Conv", (64, 32, 3, 3), {"group": 2, "pads": [1] * 4}), x=(1, 64, 40, 40)),
    "dilated": network(("Conv", (64, 64, 3, 3), {"pads": [2] * 4, "dilations": [2, 2]})),
    "one axis": network(("Conv", (64, 64, 5), {"pads": [2] * 2}), x=(1, 64, 400)),
    "transposed": network(("ConvTranspose", (64, 48, 4, 4), {"strides": [2, 2], "pads": [1] * 4})),
    "three axes": network(("Conv", (64, 64, 3, 3, 3), {"pads": [1] * 6}), x=(1, 64, 4, 28, 28)),
}


def algorithms(model: fastcnn.Model) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for choice in model.choices():
        found.setdefault(choice.node, set()).add(choice.algorithm.split()[0])
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_strict_computes_every_kind_directly(kind):
    fast, strict = fastcnn.load(KINDS[kind], threads=1), fastcnn.load(KINDS[kind], threads=1, **STRICT)
    assert "Winograd" in algorithms(fast)["c0"] and "Winograd" not in algorithms(strict)["c0"]
    x = RNG.standard_normal([dim.dim_value for dim in KINDS[kind].graph.input[0].type.tensor_type.shape.dim]).astype(np.float32)
    np.testing.assert_allclose(strict(x), fast(x), rtol=0, atol=2e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [np.nan, np.inf, 3e38, 65504.0])
def test_strict_keeps_one_value_to_the_outputs_that_see_it(kind, value):
    """To the bit: the others are what they are with an ordinary value in its place."""
    model = fastcnn.load(KINDS[kind], threads=1, **STRICT)
    x = RNG.standard_normal([dim.dim_value for dim in KINDS[kind].graph.input[0].type.tensor_type.shape.dim]).astype(np.float32)
    other, changed = x.copy(), x.copy()
    at = (0, 3, *(n // 2 for n in x.shape[2:]))
    other[at], changed[at] = 0.5, value
    was, ordinary, now = model(x), model(other), model(changed)
    unseen = was == ordinary
    assert unseen.any() and not unseen.all()
    np.testing.assert_array_equal(now[unseen], was[unseen])


def test_strict_for_one_node_alone():
    proto = network(square(), square(), square())
    model = fastcnn.load(proto, threads=1, accuracy={"c1": "strict", "c2": "fast"})
    assert algorithms(model) == {"c0": {"Winograd"}, "c1": {"GEMM"}, "c2": {"Winograd"}}


def test_names_of_nodes_live_through_what_passes_make_of_them():
    """Normalisation, residual and activation go into the node; a mapping must still find it."""
    w = RNG.standard_normal((64, 64, 3, 3), dtype=np.float32)
    values = {"w": w, **{name: np.ones(64, np.float32) for name in "sbmv"}}
    nodes = [helper.make_node("Conv", ["x", "w"], ["a"], "first", pads=[1] * 4),
             helper.make_node("BatchNormalization", ["a", "s", "b", "m", "v"], ["n"], "norm"),
             helper.make_node("Add", ["n", "x"], ["r"], "add"), helper.make_node("Relu", ["r"], ["z"], "relu"),
             helper.make_node("Pad", ["z", "pads"], ["p"], "pad"), helper.make_node("Conv", ["p", "w"], ["y"], "second")]
    values["pads"] = np.array([0, 0, 1, 1, 0, 0, 1, 1])
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 64, 28, 28))],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
                              [numpy_helper.from_array(value, name) for name, value in values.items()])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    assert algorithms(fastcnn.load(proto, threads=1)) == {"first": {"Winograd"}, "second": {"Winograd"}}
    for name, other in (("first", "second"), ("second", "first")):
        assert algorithms(fastcnn.load(proto, threads=1, accuracy={name: "strict"})) == {name: {"GEMM"}, other: {"Winograd"}}


def answers_on_pixels(file: Path) -> dict[str, dict]:
    """What tuning keeps, without what it found of the same layers on planes."""
    return {layer: answer for layer, answer in json.loads(file.read_text())["machines"].popitem()[1].items() if " planes" not in layer}


def test_strict_and_fast_keep_answers_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr(tuner, "promising", lambda listed, problem: listed)      # all are measured, whatever is predicted
    proto, file = network(square(), x=(1, 64, 14, 14)), tmp_path / "answers.json"
    fast = fastcnn.load(proto, threads=1, tune=file)
    kept = answers_on_pixels(file).keys()
    strict = fastcnn.load(proto, threads=1, tune=file, **STRICT)
    both = answers_on_pixels(file)
    assert len(both) == 2 and kept < both.keys()
    (layer, answer), = ((layer, both[layer]) for layer in both.keys() - kept)
    assert "strictTrue" in layer and not any("Winograd" in name for name in answer["seconds"])
    assert "Winograd" not in algorithms(strict)["c0"] and fast.choices()[0].source == strict.choices()[0].source == "tuned"


@pytest.mark.parametrize("accuracy", ["strict", {"c0": "strict"}], ids=str)
def test_pickled_models_stay_as_accurate(accuracy, tmp_path):
    proto = network(square())
    file = tmp_path / "model.onnx"
    file.write_bytes(proto.SerializeToString())
    for source in (proto, file):
        again = pickle.loads(pickle.dumps(fastcnn.load(source, threads=1, accuracy=accuracy)))
        assert algorithms(again) == {"c0": {"GEMM"}}


@pytest.mark.parametrize("options", [fastcnn.SessionOptions, onnxruntime.SessionOptions])
@pytest.mark.parametrize("entry", ["strict", '{"c0": "strict"}'])
def test_sessions_take_it_as_a_configuration_entry(options, entry):
    given = options()
    given.intra_op_num_threads = 1
    given.add_session_config_entry("fastcnn.accuracy", entry)
    session = fastcnn.InferenceSession(network(square()), given)
    assert algorithms(session) == algorithms(pickle.loads(pickle.dumps(session))) == {"c0": {"GEMM"}}


def test_models_fed_other_initializers_are_as_accurate():
    """What is fed becomes an input of a variant of the model; the other node keeps its level there."""
    model = fastcnn.load(network(square(), square(), fed=True), threads=1, **STRICT)
    x, w = RNG.standard_normal((1, 64, 28, 28), dtype=np.float32), RNG.standard_normal((64, 64, 3, 3), dtype=np.float32)
    model.run(None, {"x": x, "w0": w})
    variant, = model._variants.values()
    assert "Winograd" not in set().union(*algorithms(variant).values())


@pytest.mark.parametrize("accuracy, message", [("exact", "exact"), ({"c0": "exact"}, "exact"), ({"nowhere": "strict"}, "nowhere"), (3, "3"),
                                               (["c0"], "c0")], ids=str)
def test_accuracy_without_meaning_is_refused(accuracy, message):
    with pytest.raises(fastcnn.ConfigurationError, match=message):
        fastcnn.load(network(square()), accuracy=accuracy)


@pytest.mark.parametrize("entry", ["exact", "{c0", '{"nowhere": "strict"}'])
def test_entries_without_meaning_are_refused(entry):
    options = fastcnn.SessionOptions()
    options.add_session_config_entry("fastcnn.accuracy", entry)
    with pytest.raises(fastcnn.FastCNNError, match="accuracy"):
        fastcnn.InferenceSession(network(square()), options)
