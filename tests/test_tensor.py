"""Views are strides: every view of fastcnn.ir.tensor against numpy's view of the same memory."""
from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fastcnn.ir import tensor as t

extents = st.lists(st.sampled_from([1, 2, 3, 4, 6]), min_size=1, max_size=4)


def as_numpy(view: t.Tensor, memory: np.ndarray) -> np.ndarray:
    """The array that a view shows."""
    strides = tuple(s * memory.itemsize for s in view.strides)
    return np.lib.stride_tricks.as_strided(memory[view.offset:], view.shape, strides)


@st.composite
def views(draw):
    """A tensor with permuted axes over a buffer of distinct values, and numpy's view of it."""
    shape = draw(extents)
    order = draw(st.permutations(range(len(shape))))
    memory = np.arange(int(np.prod(shape)), dtype=np.float32)
    dense = t.Tensor(t.Buffer(memory.dtype, memory.size, memory), tuple(shape), t.dense_strides(tuple(shape)))
    return dense.transpose(tuple(order)), memory


def divisors(n: int) -> list[int]:
    return [d for d in range(1, n + 1) if n % d == 0]


@given(views(), st.data())
def test_reshape_is_a_view_exactly_where_numpy_has_one(pair, data):
    view, memory = pair
    target, rest = [], view.size
    while rest > 1:
        target.append(data.draw(st.sampled_from(divisors(rest)[1:])))
        rest //= target[-1]
    target = tuple(target) or (1,)
    expected = as_numpy(view, memory)
    reshaped = view.reshape(target)
    copied = expected.reshape(target)
    assert (reshaped is not None) == np.shares_memory(copied, expected)
    if reshaped is not None:
        np.testing.assert_array_equal(as_numpy(reshaped, memory), copied)


@given(views(), st.data())
def test_slice_and_select_show_numpys_elements(pair, data):
    view, memory = pair
    axis = data.draw(st.integers(0, len(view.shape) - 1))
    start = data.draw(st.integers(0, view.shape[axis] - 1))
    step = data.draw(st.integers(1, 3))
    count = len(range(start, view.shape[axis], step))
    index = (slice(None),) * axis
    expected = as_numpy(view, memory)
    np.testing.assert_array_equal(as_numpy(view.slice(axis, start, count, step), memory), expected[(*index, slice(start, None, step))])
    np.testing.assert_array_equal(as_numpy(view.select(axis, start), memory), expected[(*index, start)])


@settings(max_examples=200)
@given(views(), views())
def test_walk_visits_the_same_pairs(first, second):
    a, memory = first
    b = t.Tensor(a.buffer, a.shape, t.strides_like(a.shape, a.strides))
    shape, (sa, sb) = t.walk(a.shape, a.strides, b.strides)
    assert np.prod(shape) == a.size
    flat_a = as_numpy(t.Tensor(a.buffer, shape, sa), memory).ravel()
    flat_b = as_numpy(t.Tensor(a.buffer, shape, sb), memory).ravel()
    pairs = set(zip(flat_a.tolist(), flat_b.tolist()))
    assert pairs == set(zip(as_numpy(a, memory).ravel().tolist(), as_numpy(b, memory).ravel().tolist()))


def test_walk_of_a_dense_tensor_is_one_run():
    strides = t.channels_last_strides((2, 24, 5, 7))
    assert t.walk((2, 24, 5, 7), strides, strides) == ((2 * 24 * 5 * 7,), ((1,), (1,)))


def test_walk_of_nothing_has_no_rows():
    assert t.walk((1 << 40, 0, 4), (0, 4, 1)) == ((0,), ((1,),))


def test_pitch_avoids_multiples_of_the_aliasing_distance():
    assert t.pitch(512) == 528 and t.pitch(1024) == 1040 and t.pitch(24) == 24
    assert t.channels_last_strides((1, 512, 7, 7)) == (49 * 528, 1, 7 * 528, 528)
    assert t.channels_last_strides((1, 512, 1, 1)) == (512, 1, 512, 512)      # one pixel: nothing to alias, and Flatten is a view


def test_channels_last_of_a_slice_of_a_wider_tensor():
    strides = t.channels_last_strides((1, 64, 8, 8))
    assert t.is_channels_last((1, 16, 8, 8), strides)
    assert not t.is_channels_last((1, 16, 8, 8), t.dense_strides((1, 16, 8, 8)))
    assert t.is_channels_last((1, 1, 8, 8), t.dense_strides((1, 1, 8, 8)))
    assert t.is_depth_inner((1, 16, 4, 8, 8), t.depth_inner_strides((1, 16, 4, 8, 8)))
