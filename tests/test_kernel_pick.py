"""The pick step against numpy's indexing, at every instruction set, and which orders of channels have a table."""
from __future__ import annotations

import numpy as np
import pytest
from step_helper import Guarded, run_step

from fastcnn import _native
from fastcnn.convolve.lane_tables import pick_table


def shuffled(channels: int, groups: int) -> np.ndarray:
    return np.arange(channels).reshape(groups, -1).T.ravel()


def runs(*pieces: tuple[int, int]) -> np.ndarray:
    return np.concatenate([np.arange(a, b) for a, b in pieces])


# channels of x, channels of y in their order
ORDERS = {
    "shuffle of 2": (116, shuffled(116, 2)),
    "first half of a shuffle": (232, shuffled(232, 2)[:116]),
    "ends, woven": (116, np.stack([np.arange(29), np.arange(87, 116)], 1).ravel()),
    "one vector": (16, np.arange(16)[::-1]),
    "fewer than a vector": (7, np.array([6, 0, 0, 3, 5])),
    "more than there are": (3, np.repeat(np.arange(3), 7)),
    "one channel": (17, np.array([16])),
    "the last": (33, np.arange(20, 33)),
    "two runs": (70, runs((3, 24), (37, 70))),
    "negative": (24, np.array([-1, -2, 0, 1])),
    "twice the same": (40, np.repeat(np.arange(20), 2)),
}


@pytest.mark.parametrize("gap", [0, 5])
@pytest.mark.parametrize("name", ORDERS)
def test_pick(name: str, gap: int, isa: str) -> None:
    channels, order = ORDERS[name]
    table = pick_table(order, channels)
    assert table is not None
    rng, pixels, n = np.random.default_rng(4), 131, order.size
    for threads in (1, 3):
        x = Guarded(rng.standard_normal(pixels * (channels + gap) - gap).astype(np.float32))
        y = Guarded(np.full(pixels * (n + gap) - gap, -9, np.float32), output=True)
        run_step("pick", [y, x, table], threads, ndim=1, shape=(pixels,), y_strides=(n + gap,), x_strides=(channels + gap,),
                 channels=channels, n=n)
        rows = lambda data, count: np.append(data, np.full(gap, -9, np.float32)).reshape(pixels, count + gap)  # noqa: E731
        expected = np.full((pixels, n + gap), -9, np.float32)
        expected[:, :n] = rows(x.array, channels)[:, order % channels]
        np.testing.assert_array_equal(rows(y.array, n), expected)


def test_pick_walks_rows_of_pixels(isa: str) -> None:
    x = np.random.default_rng(5).standard_normal((2, 3, 5, 32)).astype(np.float32)
    order = shuffled(32, 2)
    table = pick_table(order, 32)
    y = Guarded(np.zeros((2, 3, 4, 32), np.float32), output=True)
    run_step("pick", [y, x, table], ndim=3, shape=(2, 3, 4), y_strides=(384, 128, 32), x_strides=(480, 160, 32),
             channels=32, n=32)
    np.testing.assert_array_equal(y.array, x[:, :, :4][..., order])


def test_orders_without_a_table(isa: str) -> None:
    width = _native.vector_length()
    assert pick_table(np.arange(3), 0) is None and pick_table(None, 64) is None
    assert pick_table(np.zeros((2, 2), np.int64), 64) is None and pick_table(np.zeros(0, np.int64), 64) is None
    if width > 1:
        assert pick_table(np.arange(0, 4 * width, 4), 4 * width) is None
