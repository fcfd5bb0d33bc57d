"""DeepPose: Toshev, Szegedy, "DeepPose: human pose estimation via deep neural networks", CVPR 2014.

Input (N, 3, 220, 220).  An AlexNet-like regressor of the positions of 14 joints (Leeds Sports): C(55x55x96) - LRN - P - C(27x27x256) -
LRN - P - C(13x13x384) - C(13x13x384) - C(13x13x256) - P - F(4096) - F(4096), kernels 11, 5, 3, 3, 3.  "About 40 million" parameters in the
paper; its layers give 58,396,060, of which the second linear layer of 4096 has 16.8 million.

deeppose           one stage: (N, 28), x and y of each joint, 0 the middle of the image and +-1/2 its edges
deeppose_cascade   two stages: a second regressor sees the image around every joint, as large as twice the torso found by the first, and
                   corrects that joint: (N, 14, 2), in the same unit.  The crops are RoiAlign's bilinear ones.
"""
from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper

from models.layers import alexnet_lrn, extents, flatten_maps
from models.writer import Writer

JOINTS = 14
LEFT_SHOULDER, RIGHT_HIP = 9, 2  # in the order of Leeds Sports; their distance is the diameter of the pose
SIGMA = 2.0                      # sub-image over diameter, as published for Leeds Sports


def _regressor(net: Writer, prefix: str, x: str, hidden: int) -> str:
    """(N, 3, H, W) -> (N, 28)."""
    x = alexnet_lrn(net, net.relu(net.conv(f"{prefix}conv1", x, 96, 11, stride=4, pad=4)))
    x = net.max_pool(x, 3, 2)
    x = alexnet_lrn(net, net.relu(net.conv(f"{prefix}conv2", x, 256, 5, pad=2)))
    x = net.max_pool(x, 3, 2)
    x = net.relu(net.conv(f"{prefix}conv3", x, 384, 3, pad=1))
    x = net.relu(net.conv(f"{prefix}conv4", x, 384, 3, pad=1))
    x = net.relu(net.conv(f"{prefix}conv5", x, 256, 3, pad=1))
    x = flatten_maps(net, net.max_pool(x, 3, 2))
    x = net.dropout(net.relu(net.gemm(f"{prefix}fc6", x, hidden)), 0.4)
    x = net.dropout(net.relu(net.gemm(f"{prefix}fc7", x, hidden)), 0.4)
    return net.gemm(f"{prefix}fc8", x, 2 * JOINTS, gain=0.1)


def deeppose(net: Writer, x: str, *, hidden: int = 4096) -> str:
    """(N, 3, 220, 220) -> (N, 28): x and y of each joint."""
    return _regressor(net, "", x, hidden)


def _joint(net: Writer, pose: str, index: int) -> str:
    """(N, 14, 2) -> (N, 1, 2): one joint of every pose."""
    return net.node("Gather", [pose, net.ints(index)], axis=1)


def _diameter(net: Writer, pose: str) -> str:
    """(N, 14, 2) -> (N, 1, 1): from left shoulder to right hip."""
    torso = net.node("Sub", [_joint(net, pose, LEFT_SHOULDER), _joint(net, pose, RIGHT_HIP)])
    squares = net.node("ReduceSum", [net.node("Mul", [torso, torso]), net.ints(2)], keepdims=1)
    return net.node("Sqrt", [squares])


def _crops(net: Writer, x: str, pose: str, side: str) -> str:
    """The image around every joint: (N, C, H, W), (N, 14, 2), (N, 1, 1) -> (14 N, C, H, W)."""
    height, width = extents(net, x)
    half = net.node("Mul", [side, net.scalar(0.5)])
    corners = [net.node("Sub", [pose, half]), net.node("Add", [pose, half])]
    boxes = net.node("Reshape", [net.node("Concat", corners, axis=2), net.ints(-1, 4)])
    joints = net.node("Slice", [net.node("Shape", [pose]), net.ints(0), net.ints(2)])
    ones = net.node("ConstantOfShape", [joints], value=helper.make_tensor("one", TensorProto.INT64, [1], [1]))
    images = net.node("CumSum", [ones, net.constant("image_axis", np.array(0))], exclusive=1)
    images = net.node("Reshape", [images, net.ints(-1)])
    return net.node("RoiAlign", [x, boxes, images], net.channels[x], output_height=height, output_width=width, sampling_ratio=1,
                    coordinate_transformation_mode="half_pixel")


def deeppose_cascade(net: Writer, x: str, *, hidden: int = 4096) -> str:
    """(N, 3, 220, 220) -> (N, 14, 2): the stage of `deeppose`, and one that corrects each joint."""
    height, width = extents(net, x)
    size = net.constant("image_size", np.array([width, height], np.float32))
    middle = net.constant("image_middle", np.array([width / 2, height / 2], np.float32))
    pairs = net.ints(-1, JOINTS, 2)
    first = net.node("Reshape", [_regressor(net, "stage1.", x, hidden), pairs])
    pose = net.node("Add", [net.node("Mul", [first, size]), middle])
    side = net.node("Mul", [_diameter(net, pose), net.scalar(SIGMA)])
    every = _regressor(net, "stage2.", _crops(net, x, pose, side), hidden)  # each crop gives all joints ...
    every = net.node("Reshape", [every, net.ints(-1, JOINTS, JOINTS, 2)])
    own = net.node("Mul", [every, net.constant("own_joint", np.eye(JOINTS, dtype=np.float32)[None, :, :, None])])
    own = net.node("ReduceSum", [own, net.ints(2)], keepdims=0)  # ... of which its own is taken
    pixels = net.node("Add", [pose, net.node("Mul", [own, side])])
    return net.node("Div", [net.node("Sub", [pixels, middle]), size])
