"""Normalisations of floats that make the bytes themselves: where they do, and that the numbers are those of the floats between."""
from __future__ import annotations

import numpy as np
import pytest
from quantized_models import Quantised, rewritten


def normalised(q: Quantised, x: str, channels: int) -> str:
    numbers = [q.constant(v.astype(np.float32)) for v in (*q.rng.normal(size=(3, channels)), q.rng.uniform(0.5, 2, channels))]
    return q.op("BatchNormalization", x, *numbers)


@pytest.mark.parametrize("limited", ["", "Relu", "Clip"])
def test_a_normalisation_of_floats_makes_the_bytes(limited):
    q = Quantised()
    y = normalised(q, q.op("Tanh", "x"), 5)
    more = [q.constant(np.array(v, np.float32)) for v in (-0.4, 3.0)] if limited == "Clip" else []
    y = q.bytes(q.op(limited, y, *more) if limited else y, 0.05, 90)
    after = rewritten(q.model({"x": [2, 5, 4, 4]}, y), {"Tanh": 1, "QuantizeScaled": 1})
    limits = {"": (-np.inf, np.inf), "Relu": (0, np.inf), "Clip": (-0.4, 3.0)}[limited]
    np.testing.assert_allclose([after.nodes[1].attrs[k] for k in ("lo", "hi")], limits, rtol=1e-6)


def test_a_normalisation_that_something_else_reads_stays_one_of_floats():
    q = Quantised()
    y = normalised(q, q.op("Tanh", "x"), 5)
    rewritten(q.model({"x": [2, 5, 4, 4]}, q.bytes(y, 0.05, 90), q.op("Sigmoid", y)),
              {"Tanh": 1, "BatchNormalization": 1, "QuantizeBytes": 1, "Sigmoid": 1})
    q = Quantised()
    y = q.op("Sigmoid", normalised(q, q.op("Tanh", "x"), 5))
    rewritten(q.model({"x": [2, 5, 4, 4]}, q.bytes(y, 0.05, 90)), {"Tanh": 1, "BatchNormalization": 1, "QuantizeBytes": 1})
