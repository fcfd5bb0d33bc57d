"""precision="auto": the knapsack, that the outputs keep within the bound, that what is measured decides."""
from __future__ import annotations

import itertools
import pickle

import numpy as np
import pytest
from test_quantize import SHAPE, Network, feeds, relative, residual

import fastcnn
from fastcnn.precision import auto, network
from fastcnn.precision.budget import Option, cheapest
from fastcnn.precision.errors import watch
from fastcnn.precision.prepare import prepared
from fastcnn.reader import read


@pytest.mark.parametrize("seed", range(8))
def test_cheapest_is_the_fastest_of_all_combinations_within_the_bound(seed):
    rng = np.random.default_rng(seed)
    others = [[Option(str(k), rng.uniform(0.1, 1), rng.integers(1, 400) / 1000) for k in range(2)] for _ in range(6)]
    layers = [[Option("fp32", 1.0, 0.0), *options] for options in others]
    found = cheapest(layers, 1.0)
    combinations = [(sum(layer[k].ms for layer, k in zip(layers, picks)), picks) for picks in itertools.product(range(3), repeat=6)
                    if sum(layer[k].square for layer, k in zip(layers, picks)) <= 1 + 1e-9]
    assert sum(layer[k].square for layer, k in zip(layers, found)) <= 1 + 1e-9
    assert sum(layer[k].ms for layer, k in zip(layers, found)) <= min(combinations)[0] + 0.02, "but for rounding to a thousandth"


def test_cheapest_takes_no_error_where_none_is_allowed_and_any_where_all_are():
    layers = [[Option("fp32", 2.0, 0.0), Option("int8", 1.0, 4.0)], [Option("fp32", 1.0, 0.0)]]
    assert cheapest(layers, 1e-6) == [0, 0] and cheapest(layers, 1e6) == [1, 0] and cheapest([], 1.0) == []


@pytest.fixture
def timed(monkeypatch):
    """Bytes take half of float32's time, whatever this machine is like; whole networks take what their layers do."""
    def layer_ms(self, fed):
        self.run((), fed)
        return {row.node: 0.5 if row.precision == "int8" else 1.0 for row in self.model.choices()}
    monkeypatch.setattr(network.Network, "layer_ms", layer_ms)
    monkeypatch.setattr(network.Network, "seconds", lambda self, fed: sum(layer_ms(self, fed).values()))
    if not fastcnn.cpu_info()["instruction_set"].startswith("avx512_"):
        pytest.skip("without dot products of bytes layers may be computed in floats")


@pytest.mark.parametrize("bound", [1e-6, 3e-3, 1e-2, 1.0])
def test_outputs_keep_within_the_bound_on_other_data_too(bound, timed):
    net = Network()
    proto = net.model(residual(net))
    model = fastcnn.load(proto, precision="auto", max_error=bound, calibration=feeds(12), threads=1)
    exact = fastcnn.load(proto, threads=1)
    assert all(relative(model.run(None, fed)[0], exact.run(None, fed)[0]) <= max(bound, 2e-6) for fed in feeds(12, seed=77))
    precisions = {row.node: row.precision for row in model.choices()}
    count = sum(precision == "int8" for precision in precisions.values())
    assert {1e-6: count == 0, 3e-3: 0 <= count < 7, 1e-2: 0 < count <= 7, 1.0: count == 7}[bound], precisions
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.run(None, feeds(1)[0])[0], model.run(None, feeds(1)[0])[0])
    assert {row.node: row.why for row in again.choices()} == {row.node: row.why for row in model.choices()}
    assert all("ms" in row.why for row in model.choices())


def test_what_is_not_faster_is_not_taken_however_exact(monkeypatch, timed):
    monkeypatch.setattr(network.Network, "seconds", lambda self, fed: 1.0 + sum(row.precision == "int8" for row in self.model.choices()))
    net = Network()
    model = fastcnn.load(net.model(residual(net)), precision="auto", max_error=1.0, calibration=feeds(4), threads=1)
    assert {row.precision for row in model.choices()} <= {"fp32", "bf16"}, "the whole was measured to be slower"


def test_the_way_of_calibration_with_the_smaller_error_is_taken(monkeypatch, timed):
    seen = []
    before = auto.Search.__init__
    monkeypatch.setattr(auto.Search, "__init__", lambda self, known, *rest: seen.append(known) or before(self, known, *rest))
    net = Network()
    fastcnn.load(net.model(residual(net)), precision="auto", max_error=0.5, calibration=feeds(4), threads=1)
    known = seen[0]
    other = auto.replace(known, options=auto.replace(known.options, method={"minmax": "mse", "mse": "minmax"}[known.options.method]))
    assert known.error(known.on_bytes(())[0]) <= other.error(other.on_bytes(())[0])


def test_what_layers_do_to_the_outputs_is_measured_where_the_fastest_goes_beyond_the_bound_alone(monkeypatch, timed):
    asked = []
    before = auto.Search.measure_harm
    monkeypatch.setattr(auto.Search, "measure_harm", lambda self: asked.append(self.bound) or before(self))
    net = Network()
    proto = net.model(residual(net))
    for bound in (1.0, 3e-3):
        fastcnn.load(proto, precision="auto", max_error=bound, calibration=feeds(4), threads=1)
    assert asked == [auto.MARGIN * 3e-3]


AUTO = {"precision": "auto", "calibration": feeds(1), "max_error": 0.1}


@pytest.mark.parametrize("options, words", [
    ({"precision": "auto"}, "wants calibration"), ({**AUTO, "max_error": None}, "max_error, a positive number: got None"),
    ({**AUTO, "max_error": 0}, "got 0"), ({**AUTO, "calibration": 3}, "got int"),
    ({**AUTO, "calibration": []}, "nothing to calibrate with"),
    ({"max_error": 0.1}, "are for precision='auto', not 'fp32'"), ({"precision": "bf16", "calibration": feeds(1)}, "not 'bf16'")], ids=str)
def test_options_without_meaning_are_refused(options, words):
    net = Network()
    proto = net.model(net.conv("x", 4, 3), shape=SHAPE)
    with pytest.raises(fastcnn.ConfigurationError, match=words):
        fastcnn.load(proto, **options)


def test_what_a_softmax_hides_of_errors_on_samples_that_are_told_surely_is_counted():
    """Its outputs are off by half of what its inputs are off by at most, as where two classes are alike."""
    net = Network()
    proto = net.model(net.op("Flatten", net.op("Softmax", net.op("Flatten", net.conv("x", 4, 3)), axis=1)))
    watched = watch(prepared(read(proto)))
    assert watched.inner == ("flatten_1",) and watched.before == ((0, 0.5),)
    sure = np.array([[30.0, 0.0, 0.0]], np.float32)
    p = np.exp(sure) / np.exp(sure).sum()
    off = sure + np.array([[-0.04, 0.04, 0.0]], np.float32)
    q = np.exp(off) / np.exp(off).sum()
    assert watched.error([[q]], [[p]]) < 1e-6
    assert watched.error([[q, off]], [[p, sure]]) == pytest.approx(0.02, rel=1e-3)
    assert watched.error([[q, off]], [[p, sure]], 0.5) == pytest.approx(0.01, rel=1e-3)
    alike = np.array([[3.0, 3.0, -9.0]])
    moved = alike + np.array([[-0.04, 0.04, 0.0]])
    found, exact = (np.exp(z) / np.exp(z).sum() for z in (moved, alike))
    assert np.abs(found - exact).max() == pytest.approx(0.02, rel=0.01), "no more than that, and as much where it is steepest"
