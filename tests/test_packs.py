"""Lender: packs that several models share, where their nodes read the same constants."""
from __future__ import annotations

import numpy as np
from test_quantize import Network

from fastcnn.convolve.accuracy import FP32
from fastcnn.model import Model
from fastcnn.plan.packs import LEAST_LENT, Lender
from fastcnn.reader import read


def test_a_pack_belongs_to_its_key_and_to_what_the_constants_are():
    lender, pack = Lender(), np.zeros(LEAST_LENT, np.int8)
    large, small = np.zeros(LEAST_LENT, np.int8), np.array([1.0, 2.0], np.float32)
    lender.take("key", (None, large, small), pack)
    assert lender.lent("key", (None, large, small.copy())) is pack, "small ones by what they hold"
    assert lender.lent("key", (None, large.copy(), small)) is None, "large ones by themselves"
    assert lender.lent("key", (None, large, small + 1)) is None and lender.lent("other", (None, large, small)) is None
    lender.take("little", (None, large), pack[:1])
    assert lender.lent("little", (None, large)) is None


def test_models_that_share_have_the_same_results():
    net = Network()
    graph = read(net.model(net.conv(net.conv("x", 64, 3), 64, 64), shape=[1, 3, 12, 12]))
    lender = Lender()
    first, second = (Model(graph, 1, FP32, lender=lender) for _ in range(2))
    shared = [pack for pack in second._packs.values() if any(pack is other for other in first._packs.values())]
    assert shared and all(pack.nbytes >= LEAST_LENT for pack in shared)
    x = np.random.default_rng(0).normal(size=(1, 3, 12, 12)).astype(np.float32)
    alone = Model(graph, 1, FP32)
    for model in (first, second):
        np.testing.assert_array_equal(model.run(None, {"x": x})[0], alone.run(None, {"x": x})[0])
