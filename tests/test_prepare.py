"""Model.prepare: plans and packed weights before the first run, shared by the children that are forked after it."""
from __future__ import annotations

import gc
import os

import numpy as np
import pytest
from graph_helper import floats, model, node
from test_forks import in_child, needs_fork

import fastcnn

CONVS, CHANNELS = 4, 512


def network(x=("n", CHANNELS, "h", "w")):
    """Convolutions with 38 MB of weights."""
    weights = {f"w{k}": floats(CHANNELS, CHANNELS, 3, 3) / 64 for k in range(CONVS)}
    nodes = [node("Conv", [f"t{k}" if k else "x", f"w{k}"], [f"t{k + 1}" if k < CONVS - 1 else "y"], pads=[1] * 4) for k in range(CONVS)]
    return model(nodes, {"x": x}, ["y"], weights)


def weights_of(loaded):
    """Addresses of the packed weights, by what they depend on."""
    return {key: pack.ctypes.data for key, pack in loaded._packs.items()}


@pytest.mark.parametrize("shapes", [{"x": (1, CHANNELS, 7, 7)}, (1, CHANNELS, 7, 7)])
def test_prepare_packs_what_the_first_run_needs(shapes):
    loaded = fastcnn.load(network())
    assert not loaded._packs and not loaded.choices()
    assert loaded.prepare(shapes) is loaded
    packed, plans = weights_of(loaded), len(loaded._default.plans)
    assert len(packed) == CONVS and len(loaded.choices()) == CONVS
    loaded(floats(1, CHANNELS, 7, 7))
    assert weights_of(loaded) == packed and len(loaded._default.plans) == plans


def test_prepare_takes_the_shapes_that_summary_takes_where_none_are_said():
    loaded = fastcnn.load(model([node("Relu", ["x"], ["y"])], {"x": ("n", 3, "h", "w")}, ["y"])).prepare()
    assert list(loaded._default.plans) == [((1, 3, 224, 224),)]


def test_prepare_is_done_by_load_where_shapes_are_fixed():
    loaded = fastcnn.load(network((1, CHANNELS, 7, 7)))
    packed, plan = weights_of(loaded), list(loaded._default.plans.values())
    assert len(packed) == CONVS
    loaded.prepare()
    assert weights_of(loaded) == packed and list(loaded._default.plans.values()) == plan


@pytest.mark.parametrize("shapes, error", [
    ({"z": (1, 2, 3)}, fastcnn.InputError), ((1, 3, 7, 7), fastcnn.InputError), ((1, CHANNELS), fastcnn.InputError)])
def test_prepare_refuses_shapes_that_do_not_fit(shapes, error):
    loaded = fastcnn.load(network())
    with pytest.raises(error):
        loaded.prepare(shapes)
    assert loaded.prepare((1, CHANNELS, 5, 5)).choices()


def test_prepare_of_a_closed_model():
    loaded = fastcnn.load(network())
    loaded.close()
    with pytest.raises(fastcnn.FastCNNError, match="closed"):
        loaded.prepare()


def private_dirty():
    """Bytes that this process shares with nobody."""
    with open("/proc/self/smaps_rollup") as lines:
        return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Private_Dirty"))


@needs_fork
@pytest.mark.skipif(not os.path.exists("/proc/self/smaps_rollup"), reason="no /proc/self/smaps_rollup on this system")
@pytest.mark.parametrize("threads", [1, 2])
def test_prepare_shares_packed_weights_with_forked_children(threads):
    """What a child's run makes its own is less than a tenth of the weights.

    What a run copies, it copies in every child: one of four that copies less is the proof. Now and then the system makes pages of a child
    its own, as where it gathers them into a huge page.
    """
    loaded = fastcnn.load(network(), threads=threads).prepare((1, CHANNELS, 7, 7))
    x = floats(1, CHANNELS, 7, 7)
    held = sum(pack.nbytes for pack in loaded._packs.values())
    assert held > 30e6

    def runs_without_copies():
        gc.disable()            # a collection writes to every object that other tests have left
        before = private_dirty()
        assert np.isfinite(loaded(x)).all()
        return private_dirty() - before < held / 10

    found = {in_child(runs_without_copies) for _ in range(4)}
    assert 0 in found and found <= {0, 3}               # 3: ended well, copied more
