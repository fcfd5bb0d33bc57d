"""LSTM, GRU and RNN as models of one node, against onnxruntime."""
from __future__ import annotations

import itertools

import numpy as np
import pytest
from single_node import check_native, feeds_of, single_node

import fastcnn

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
WEIGHTS = ["w", "r", "b", "p"]


def inputs(kind, steps=5, n=3, i=7, h=19, directions=1, lens=None, states=False, bias=True, peepholes=False, seed=0):
    rng = np.random.default_rng(seed)
    gates = GATES[kind]

    def numbers(*shape):
        return (rng.normal(size=shape) / 2).astype(np.float32)

    found = {"x": numbers(steps, n, i), "w": numbers(directions, gates * h, i),
             "r": numbers(directions, gates * h, h) / np.float32(np.sqrt(h)),
             "b": numbers(directions, 2 * gates * h) if bias else None,
             "lens": None if lens is None else np.array(lens, np.int32),
             "h0": numbers(directions, n, h) if states else None}
    if kind == "LSTM":
        found["c0"] = numbers(directions, n, h) if states else None
        found["p"] = numbers(directions, 3 * h) if peepholes else None
    return found


def outputs_of(kind):
    return 3 if kind == "LSTM" else 2


def check(kind, h, given, direction="forward", **more):
    check_native(kind, given, [name for name in WEIGHTS if given.get(name) is not None], rtol=2e-5, opset=14,
                 outputs=outputs_of(kind), hidden_size=h, direction=direction, **more)


@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("states", [False, True])
@pytest.mark.parametrize("lens", [None, [5, 1, 3]])
def test_directions_states_and_lengths(kind, direction, states, lens):
    given = inputs(kind, directions=2 if direction == "bidirectional" else 1, states=states, lens=lens)
    check(kind, 19, given, direction)


@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize("h, n, i", [(1, 1, 1), (16, 1, 3), (17, 2, 5), (32, 15, 4), (48, 1, 96), (67, 13, 2), (130, 1, 8)])
def test_sizes(kind, h, n, i):
    for direction in ("forward", "bidirectional"):
        check(kind, h, inputs(kind, h=h, n=n, i=i, directions=1 + (direction != "forward")), direction)


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("linear", [0, 1])
@pytest.mark.parametrize("bias", [False, True])
def test_gru_linear_before_reset(direction, linear, bias):
    for lens, n in ((None, 3), ([2, 5, 4], 3), (None, 1)):
        check("GRU", 19, inputs("GRU", n=n, directions=1 + (direction == "bidirectional"), lens=lens, bias=bias, states=True), direction,
              linear_before_reset=linear)


def test_lstm_peepholes():
    for direction in ("forward", "bidirectional"):
        check("LSTM", 19, inputs("LSTM", directions=1 + (direction != "forward"), peepholes=True, states=True), direction)


@pytest.mark.parametrize("activation", ["Tanh", "Relu", "Sigmoid", "Softsign"])
def test_rnn_activations(activation):
    check("RNN", 19, inputs("RNN"), activations=[activation])


@pytest.mark.parametrize("kind", GATES)
def test_clip(kind):
    check(kind, 19, inputs(kind), clip=0.3)


@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize("lens", [None, [4, 5, 2]])
def test_batch_first(kind, lens):
    """onnxruntime lacks layout=1: the same numbers as layout 0 with the batch moved."""
    for direction in ("forward", "bidirectional"):
        given = inputs(kind, directions=1 + (direction != "forward"), states=True, lens=lens)
        attrs = {"hidden_size": 19, "direction": direction, "outputs": outputs_of(kind), "opset": 14}
        moved = {name: np.ascontiguousarray(v.swapaxes(0, 1)) if name in ("x", "h0", "c0") else v for name, v in given.items()}
        known = [name for name in WEIGHTS if given.get(name) is not None]
        plain = single_node(kind, given, known, **attrs)
        first = single_node(kind, moved, known, layout=1, **attrs)
        expected = fastcnn.load(plain).run(None, feeds_of(plain, given))
        model = fastcnn.load(first)
        got = model.run(None, feeds_of(first, moved))
        assert not model.fallback_nodes
        np.testing.assert_array_equal(got[0], expected[0].transpose(2, 0, 1, 3))
        for a, b in zip(got[1:], expected[1:]):
            np.testing.assert_array_equal(a, b.swapaxes(0, 1))


@pytest.mark.parametrize("kind, linear, n, directions", [(*kind, n, d) for kind, n, d in itertools.product(
    [("RNN", 0), ("LSTM", 0), ("GRU", 0), ("GRU", 1)], [1, 5], [1, 2])])
def test_same_bits_for_any_number_of_threads(kind, linear, n, directions):
    given = inputs(kind, steps=9, n=n, h=131, directions=directions)
    more = {"linear_before_reset": linear} if kind == "GRU" else {}
    model = single_node(kind, given, ["w", "r", "b"], opset=14, outputs=outputs_of(kind), hidden_size=131,
                        direction="bidirectional" if directions == 2 else "forward", **more)
    results = [fastcnn.load(model, threads=t).run(None, feeds_of(model, given)) for t in (1, 2, 3, 5)]
    for other in results[1:]:
        for a, b in zip(results[0], other):
            assert a.tobytes() == b.tobytes()


def test_some_outputs_omitted():
    given = inputs("LSTM")
    model = single_node("LSTM", given, ["w", "r", "b"], opset=14, outputs=3, hidden_size=19)
    whole = fastcnn.load(model).run(None, feeds_of(model, given))
    for kept in ([0], [1], [2], [0, 2]):
        part = single_node("LSTM", given, ["w", "r", "b"], opset=14, outputs=3, hidden_size=19)
        for k in range(3):
            if k not in kept:
                part.graph.node[0].output[k] = ""
        del part.graph.output[:]
        part.graph.output.extend(model.graph.output[k] for k in kept)
        with fastcnn.load(part) as loaded:
            for got, k in zip(loaded.run(None, feeds_of(part, given)), kept):
                np.testing.assert_array_equal(got, whole[k])
            assert not loaded.fallback_nodes


def test_length_past_the_end_is_refused():
    given = inputs("LSTM", lens=[5, 6, 1])
    model = single_node("LSTM", given, ["w", "r", "b"], opset=14, outputs=3, hidden_size=19)
    with pytest.raises(fastcnn.ir.errors.ExecutionError, match="outside"):
        fastcnn.load(model).run(None, feeds_of(model, given))


def test_shapes_that_contradict_each_other_are_refused():
    given = inputs("LSTM")
    given["r"] = given["r"][:, :, :-1]
    with pytest.raises(fastcnn.FastCNNError):
        fastcnn.load(single_node("LSTM", given, ["w", "r", "b"], opset=14, outputs=3, hidden_size=19))


ANY = {"RNN": ["Affine"], "GRU": ["HardSigmoid", "ScaledTanh"], "LSTM": ["HardSigmoid", "LeakyRelu", "Elu"]}
ALPHAS = {"RNN": [0.7], "GRU": [0.3, 0.9], "LSTM": [0.3, 0.2, 0.8]}
BETAS = {"RNN": [0.1], "GRU": [0.6, 0.7], "LSTM": [0.4]}


@pytest.mark.parametrize("kind, linear", [("RNN", 0), ("LSTM", 0), ("GRU", 0), ("GRU", 1)])
@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_any_activations(kind, linear, direction):
    d = 1 + (direction != "forward")
    more = {"linear_before_reset": 1} if linear else {}
    for h, lens in ((19, None), (33, [5, 2, 4])):
        given = inputs(kind, h=h, directions=d, states=True, lens=lens, peepholes=True)
        check(kind, h, given, direction, activations=ANY[kind] * d, activation_alpha=ALPHAS[kind] * d,
              activation_beta=BETAS[kind] * d, **more)
        check(kind, h, given, direction, activations=["Softsign", "Relu", "Softplus"][:len(ANY[kind])] * d, **more)
        check(kind, h, given, direction, clip=0.2, **more)


def test_directions_with_functions_of_their_own():
    check("RNN", 19, inputs("RNN", directions=2), "bidirectional", activations=["Relu", "Sigmoid"])
    check("LSTM", 19, inputs("LSTM", directions=2), "bidirectional",
          activations=["Sigmoid", "Tanh", "Tanh", "HardSigmoid", "Relu", "Softsign"])


def test_lstm_input_forget():
    """onnxruntime and the fallback agree here."""
    check("LSTM", 19, inputs("LSTM", peepholes=True, states=True), input_forget=1)


@pytest.mark.parametrize("kind, linear", [("RNN", 0), ("LSTM", 0), ("GRU", 0), ("GRU", 1)])
@pytest.mark.parametrize("known", [(), ("w",), ("r", "b"), ("w", "r", "p")])
def test_weights_that_the_run_computes(kind, linear, known):
    for h, direction in ((5, "forward"), (16, "forward"), (19, "bidirectional"), (83, "bidirectional")):
        d = 1 + (direction != "forward")
        given = inputs(kind, h=h, directions=d, states=True, peepholes=True)
        check_native(kind, given, [name for name in known if given.get(name) is not None], rtol=2e-5, opset=14, outputs=outputs_of(kind),
                     hidden_size=h, direction=direction, **({"linear_before_reset": 1} if linear else {}))


def test_unknown_activations_are_refused():
    with pytest.raises(fastcnn.FastCNNError, match="Cube"):
        model = single_node("RNN", inputs("RNN"), ["w", "r", "b"], opset=14, hidden_size=19, activations=["Cube"])
        fastcnn.load(model).run(None, feeds_of(model, inputs("RNN")))
