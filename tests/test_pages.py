"""Packed weights and workspaces in huge pages: where they lie, and that nothing else changes."""
from __future__ import annotations

import os
from itertools import pairwise

import numpy as np
import pytest
from graph_helper import model
from onnx import helper

import fastcnn
from fastcnn import _native
from fastcnn.ir.spec import Spec
from fastcnn.plan import pages

RNG = np.random.default_rng(0)
pytestmark = pytest.mark.skipif(pages.ADVICE is None, reason="the system has no huge pages to ask for")


def address(array: np.ndarray) -> int:
    return array.ctypes.data


def test_arrays_follow_each_other_in_one_block():
    place, given = pages.Pages(), [np.arange(n, dtype=dtype) for n, dtype in ((300_000, np.float32), (7, np.int8), (1, np.float64))]
    placed = [place.placed(array) for array in given]
    for got, wanted in zip(placed, given, strict=True):
        assert got.dtype == wanted.dtype and got.flags.c_contiguous and got.flags.writeable
        np.testing.assert_array_equal(got, wanted)
        assert address(got) % pages.ALIGNMENT == 0
    assert address(placed[0]) % pages.HUGE == 0
    assert [address(b) - address(a) for a, b in pairwise(placed)] == [1_200_000, 64]
    assert place.placed(given[0].reshape(3, 100, 1000)).shape == (3, 100, 1000)


def test_small_models_and_what_numpy_asks_for_stay_where_they_are():
    place, small = pages.Pages(), np.ones(pages.LEAST_BYTES // 8 - 1, np.float32)
    assert place.placed(small) is small
    large, none = np.ones(pages.NUMPY_ASKS, np.uint8), np.ones(0, np.float32)
    assert place.placed(large) is large and place.placed(none) is none
    assert place.placed(small) is not small


def test_an_array_that_is_made_in_the_room_for_it_stays_there():
    place, spec = pages.Pages(), Spec(np.dtype(np.float32), (3, 100_000))
    made = place.room(spec)
    assert made is not None and address(place.placed(made, made)) == address(made)
    other = place.placed(np.ones(spec.shape, np.float32), place.room(spec))         # made elsewhere after all: copied
    assert address(other) - address(made) == 1_200_000 and (other == 1).all()
    assert pages.Pages().room(Spec(np.dtype(np.float32), (3, 100))) is None


def test_packing_refuses_room_of_another_size():
    w = RNG.random((4, 3, 1, 1), np.float32)
    out = np.empty_like(_native.pack_conv(w, 1, 1))
    assert _native.pack_conv(w, 1, 1, out) is out
    with pytest.raises(ValueError, match="floats of memory"):
        _native.pack_conv(w, 1, 1, out[1:])


def test_a_full_block_is_followed_by_another():
    place, array = pages.Pages(), np.ones(pages.NUMPY_ASKS - 1, np.uint8)
    placed = [place.placed(array) for _ in range(pages.BLOCK // pages.NUMPY_ASKS + 1)]
    assert [address(b) - address(a) for a, b in pairwise(placed[:-1])] == [pages.NUMPY_ASKS] * (len(placed) - 2)
    assert address(placed[-1]) % pages.HUGE == 0
    assert all(got.all() for got in placed)


def test_where_no_block_is_to_be_had_arrays_stay(monkeypatch):
    def none():
        raise OSError("no memory")

    monkeypatch.setattr(pages, "_block", none)
    array = np.ones(pages.LEAST_BYTES, np.uint8)
    assert pages.Pages().placed(array) is array


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_child_writes_to_memory_of_its_own():
    array = pages.Pages().placed(np.ones(pages.LEAST_BYTES, np.float32))
    child = os.fork()
    if not child:
        array[:] = 2
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert (array == 1).all()


def test_a_model_computes_the_same_in_either_pages(monkeypatch):
    nodes, constants = [], {f"w{k}": RNG.standard_normal((128, 128, 3, 3)).astype(np.float32) for k in range(2)}
    for k in range(2):
        nodes.append(helper.make_node("Conv", [f"v{k}", f"w{k}"], [f"v{k + 1}"], pads=[1] * 4))
    proto, x = model(nodes, {"v0": [1, 128, 60, 60]}, ["v2"], constants), RNG.standard_normal((1, 128, 60, 60)).astype(np.float32)
    loaded = fastcnn.load(proto, threads=1)
    got = loaded(x)
    engine = loaded._default
    assert any(address(pack) % pages.HUGE == 0 for pack in engine.planning.packs.values())
    if not _native.CHECKED:
        assert engine.workspaces.nbytes() % pages.HUGE == 0
    monkeypatch.setattr(pages, "ADVICE", None)
    np.testing.assert_array_equal(fastcnn.load(proto, threads=1)(x), got)
