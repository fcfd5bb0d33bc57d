"""Runs that share the CPUs: plans for the threads that they get, with the bits of any other plan."""
from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from graph_helper import model
from onnx import helper
from test_threads import NETS, build, needs_openmp, weights

import fastcnn
from fastcnn import _native
from fastcnn.ir.errors import LimitError
from fastcnn.machine.current import using
from fastcnn.machine.table import ROWS
from fastcnn.plan.executor import RUNS_BEFORE_NARROW, Engine

pytestmark = needs_openmp
Sharing = Callable[[int], None]


@pytest.fixture
def sharing(monkeypatch) -> Sharing:
    """sharing(n): from now on a run gets n threads at most."""
    return lambda share: monkeypatch.setattr(_native, "next_share", lambda threads: min(threads, share))


def narrow_engine(loaded: fastcnn.Model, level: int) -> Engine:
    assert loaded._default is not None
    return loaded._default.narrower[level]


@pytest.mark.parametrize("name", NETS)
def test_every_share_gives_the_same_bits(name, sharing):
    proto, feeds = build(name)
    want, = fastcnn.load(proto, threads=1).run(None, feeds)
    loaded = fastcnn.load(proto, threads=7)
    for share in (1, 2, 3, 5, 7):
        sharing(share)
        for _ in range(RUNS_BEFORE_NARROW + 1):
            np.testing.assert_array_equal(loaded.run(None, feeds)[0].view(np.int32), want.view(np.int32), err_msg=f"share {share}")
    assert sorted(loaded._default.narrower) == [1, 2, 4]
    assert all(len(engine.plans) == 1 for engine in loaded._default.narrower.values())


@pytest.mark.parametrize("shape", [(64, 64, 3, 3), (512, 512, 1, 1), (48, 64, 1, 1)])
def test_bfloat16_is_chosen_alike_for_any_number_of_threads(shape):
    w = weights(*shape)
    proto = model([helper.make_node("Conv", ["x", "w"], ["y"], pads=[shape[2] // 2] * 4)], {"x": [1, shape[1], 28, 28]}, ["y"], {"w": w})
    x = weights(1, shape[1], 28, 28)
    found = [fastcnn.load(proto, threads=threads, precision="bf16") for threads in (1, 2, 7, 16)]
    assert len({loaded.choices()[0].precision for loaded in found}) == 1
    want = found[0](x)
    for loaded in found[1:]:
        np.testing.assert_array_equal(loaded(x), want)


def block_model() -> tuple[fastcnn.Model, dict[str, np.ndarray]]:
    proto, feeds = build("block")
    return fastcnn.load(proto, threads=7), feeds


def test_a_share_has_the_plan_of_so_many_threads(sharing):
    """512 channels on a small map: on this machine Winograd's blocks, or who shares output channels, differ by the number of threads."""
    w = weights(512, 512, 3, 3)
    proto = model([helper.make_node("Conv", ["x", "w"], ["y"], pads=[1] * 4)], {"x": [1, 512, 14, 14]}, ["y"], {"w": w})
    with using(ROWS["zen5"]):
        loaded, feeds = fastcnn.load(proto, threads=7), {"x": weights(1, 512, 14, 14)}
        sharing(1)
        for _ in range(RUNS_BEFORE_NARROW):
            loaded.run(None, feeds)
        narrow, alone = narrow_engine(loaded, 1).choices(), fastcnn.load(proto, threads=1).choices()
    assert [(row.algorithm, row.tile, row.blocking) for row in narrow] == [(row.algorithm, row.tile, row.blocking) for row in alone]
    assert [row.blocking for row in narrow] != [row.blocking for row in loaded.choices()]
    assert loaded.stats().plans == 1 and len(loaded.choices()) == 1


def test_a_shape_is_planned_for_a_share_when_it_was_run_so_some_times(sharing):
    loaded, feeds = block_model()
    sharing(1)
    for runs in range(1, 2 * RUNS_BEFORE_NARROW):
        loaded.run(None, feeds)
        assert len(narrow_engine(loaded, 1).plans) == (runs >= RUNS_BEFORE_NARROW)
    loaded.trim()
    assert not loaded._default.narrower
    loaded.run(None, feeds)
    assert not narrow_engine(loaded, 1).plans


def test_what_runs_alone_or_is_small_is_planned_once(sharing):
    loaded, feeds = block_model()
    for _ in range(2 * RUNS_BEFORE_NARROW):
        loaded.run(None, feeds)
    single = fastcnn.load(build("block")[0], threads=1)
    sharing(1)
    for _ in range(2 * RUNS_BEFORE_NARROW):
        single.run(None, feeds)
    assert not single._default.narrower


@pytest.mark.parametrize("how", ["tune", "precision"])
def test_tuned_plans_and_those_with_bfloat16_are_not_made_again(how, sharing, tmp_path):
    proto, feeds = build("block")
    loaded = fastcnn.load(proto, threads=2, **{how: tmp_path / "answers.json" if how == "tune" else "bf16"})
    sharing(1)
    for _ in range(2 * RUNS_BEFORE_NARROW):
        loaded.run(None, feeds)
    assert not loaded._default.narrower


def test_a_share_whose_plan_takes_too_much_memory_runs_as_before(sharing, monkeypatch):
    loaded, feeds = block_model()
    want, = loaded.run(None, feeds)

    def refuse(*args: object) -> None:
        raise LimitError("too much")

    monkeypatch.setattr("fastcnn.plan.executor.make_plan", refuse)
    sharing(1)
    for _ in range(2 * RUNS_BEFORE_NARROW):
        np.testing.assert_array_equal(loaded.run(None, feeds)[0], want)
    assert not narrow_engine(loaded, 1).plans
