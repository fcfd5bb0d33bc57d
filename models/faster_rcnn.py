"""Faster R-CNN on VGG-16: Ren, He, Girshick, Sun, "Faster R-CNN: towards real-time object detection with region proposal networks",
NeurIPS 2015.

Input (1, 3, 600, 800), a Caffe-normalised image with its shorter side at 600; outputs boxes (n, 4), scores (n,), labels (n,).  The
authors' network for Pascal VOC (github.com/rbgirshick/py-faster-rcnn, VGG16 end to end): 137,078,239 parameters for 21
classes, whose 548,312,956 bytes the authors' file of 548,317,115 holds.  MACs are counted for 300 proposals.

Nine anchors a position; the best 6000 decoded anchors not narrower than 16 pixels, NonMaxSuppression at 0.7 down to 300 proposals,
MaxRoiPool 7x7, two linear layers, then boxes per class, NonMaxSuppression at 0.3 per class and the best 100 above 0.05: all in the
graph, so how many rows come out depends on the image.
"""
from __future__ import annotations

import numpy as np

from models.boxes import best, column, decode, suppress
from models.vgg_trunk import scaled, vgg_stage
from models.writer import Writer

CLASSES = 21
STRIDE = 16
RATIOS, SCALES = (0.5, 1.0, 2.0), (8, 16, 32)
BEFORE, PROPOSALS, DETECTIONS = 6000, 300, 100
SMALLEST = 16.0
ROI = 7


def anchors(height: int, width: int) -> np.ndarray:
    """(height * width * 9, 4) corners in pixels, position after position: 16 x 16 at three ratios, rounded, times three scales."""
    base = []
    for ratio in RATIOS:
        w = round(np.sqrt(STRIDE**2 / ratio))
        h = round(w * ratio)
        for scale in SCALES:
            half = np.array([w * scale, h * scale]) / 2
            base.append([*(7.5 - half), *(7.5 + half)])
    y, x = np.mgrid[:height, :width] * STRIDE
    shifts = np.stack([x, y, x, y], -1).reshape(-1, 1, 4)
    return (shifts + np.array(base)).reshape(-1, 4)


def _proposals(net: Writer, x: str, image: tuple[int, int], width: float) -> str:
    """(n, 4) proposed boxes, n <= 300."""
    grid = (image[0] // STRIDE, image[1] // STRIDE)
    boxes = anchors(*grid)
    x = net.relu(net.conv("rpn_conv/3x3", x, scaled(512, width), 3, pad=1))
    scores = net.node("Reshape", [net.conv("rpn_cls_score", x, 18, 1, gain=1.0), net.ints(1, 2, 9, -1)])
    scores = net.node("Softmax", [scores], axis=1)
    scores = net.node("Gather", [scores, net.constant("foreground", np.array(1, np.int64))], axis=1)
    scores = net.node("Reshape", [net.node("Transpose", [scores], perm=[0, 2, 1]), net.ints(-1)])
    deltas = net.node("Reshape", [net.conv("rpn_bbox_pred", x, 36, 1, gain=0.1), net.ints(9, 4, -1)])
    deltas = net.node("Reshape", [net.node("Transpose", [deltas], perm=[2, 0, 1]), net.ints(-1, 4)])
    decoded = decode(net, "proposals", deltas, boxes, (1.0, 1.0), image)
    first, last = net.nodes("Split", [decoded, net.ints(2, 2)], (0, 0), "proposals.corners", axis=1)
    size = net.node("Sub", [last, first])
    smaller = net.node("Min", [column(net, size, 0), column(net, size, 1)])
    scores = net.node("Where", [net.node("Less", [smaller, net.scalar(SMALLEST)]), net.scalar(-1.0), scores])
    top, order = net.nodes("TopK", [scores, net.ints(min(BEFORE, len(boxes)))], (0, 0), "rpn_top", axis=0)
    ordered = net.node("Gather", [decoded, order], axis=0)
    picked = suppress(net, "rpn_nms", net.node("Unsqueeze", [ordered, net.ints(0)]), net.node("Unsqueeze", [top, net.ints(0, 1)]),
                      iou=0.7, threshold=0.0, per_class=PROPOSALS)
    return net.node("Gather", [ordered, column(net, picked, 2)], axis=0)


def _per_class(net: Writer, rois: str, deltas: str, image: tuple[int, int], classes: int) -> str:
    """(1, n * classes, 4): the box that every class sees in every proposal."""
    first, last = net.nodes("Split", [rois, net.ints(2, 2)], (0, 0), "rois.corners", axis=1)
    size = net.node("Sub", [last, first])
    centre = net.node("Add", [first, net.node("Mul", [size, net.scalar(0.5)])])
    around = tuple(net.node("Unsqueeze", [v, net.ints(1)]) for v in (centre, size))
    deltas = net.node("Reshape", [deltas, net.ints(-1, classes, 4)])
    return decode(net, "detected", deltas, (around[0], around[1]), (10.0, 5.0), image)


def faster_rcnn_vgg16(net: Writer, x: str, width: float = 1.0, classes: int = CLASSES) -> None:
    """(1, 3, H, W) -> boxes, scores, labels; H and W multiples of 16 look at every pixel."""
    height, breadth = net.extents()
    for stage in range(4):
        x = net.max_pool(vgg_stage(net, x, stage, width=width), 2, 2)
    x = vgg_stage(net, x, 4, width=width)
    proposals = _proposals(net, x, (height, breadth), width)
    rois = net.node("Pad", [proposals, net.ints(0, 1, 0, 0)])  # the number of the image before every box
    c = net.channels[x]
    pooled = net.node("MaxRoiPool", [x, rois], c, pooled_shape=[ROI, ROI], spatial_scale=1 / STRIDE)
    y = net.flatten(pooled, c * ROI * ROI)
    y = net.dropout(net.relu(net.gemm("fc6", y, scaled(4096, width))), 0.5)
    y = net.dropout(net.relu(net.gemm("fc7", y, scaled(4096, width))), 0.5)
    scores = net.softmax(net.gemm("cls_score", y, classes, gain=1.0))
    boxes = _per_class(net, proposals, net.gemm("bbox_pred", y, 4 * classes, gain=1.0), (height, breadth), classes)
    objects = [net.ints(1), net.ints(classes), net.ints(0)]
    scores = net.node("Slice", [net.node("Transpose", [scores], perm=[1, 0]), *objects])
    boxes = net.node("Slice", [net.node("Transpose", [boxes], perm=[1, 0, 2]), *objects])
    # every class has boxes of its own: it is an image of its own to NonMaxSuppression
    picked = suppress(net, "nms", boxes, net.node("Unsqueeze", [scores, net.ints(1)]), iou=0.3, threshold=0.05, per_class=DETECTIONS)
    where = net.node("Gather", [picked, net.ints(0, 2)], axis=1)
    labels = net.node("Add", [column(net, picked, 0), net.ints(1)])
    best(net, net.node("GatherND", [scores, where]), net.node("GatherND", [boxes, where]), labels, DETECTIONS)
