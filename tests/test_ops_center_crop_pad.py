"""CenterCropPad and AffineGrid as models of one node, against onnx.reference."""
from __future__ import annotations

import numpy as np
import pytest
from single_node import check_native, feeds_of, single_node

import fastcnn

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("shape, axes", [((10, 7, 3), None), ((10, 3), [0, 1]), ((4, 12), [-1, 1]), ((21,), [1]), ((6, 9, 5), [2, 0, 1])])
@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.bool_])
@pytest.mark.parametrize("known", [False, True])
def test_center_crop_pad(shape, axes, dtype, known):
    x = (RNG.normal(size=(20, 8, 3)) * 9).astype(dtype)
    attrs = {} if axes is None else {"axes": axes}
    check_native("CenterCropPad", {"x": x, "shape": np.array(shape, np.int64)}, ["shape"] if known else [], opset=18, peer="onnx.reference",
                 **attrs)


def test_center_crop_pad_extents_that_do_not_fit_are_refused():
    given = {"x": np.zeros((4, 5), np.float32), "shape": np.array([3], np.int64)}
    with pytest.raises(fastcnn.FastCNNError):
        fastcnn.load(single_node("CenterCropPad", given, ["shape"], opset=18))


@pytest.mark.parametrize("size", [(2, 3, 5, 6), (1, 1, 1, 7), (2, 3, 4, 5, 6)])
@pytest.mark.parametrize("align_corners", [0, 1])
@pytest.mark.parametrize("known", [False, True])
def test_affine_grid(size, align_corners, known):
    axes = len(size) - 2
    theta = RNG.normal(size=(size[0], axes, axes + 1)).astype(np.float32)
    if 1 in size[2:] and align_corners:
        pytest.skip("one pixel has no corners: engines differ")
    check_native("AffineGrid", {"theta": theta, "size": np.array(size, np.int64)}, ["size"] if known else [], opset=20,
                 peer="onnx.reference", align_corners=align_corners)


def test_affine_grid_of_a_wrong_size_is_refused():
    given = {"theta": np.zeros((2, 2, 3), np.float32), "size": np.array([3, 1, 4, 4], np.int64)}
    with pytest.raises(fastcnn.FastCNNError):
        model = single_node("AffineGrid", given, opset=20)
        fastcnn.load(model).run(None, feeds_of(model, given))
