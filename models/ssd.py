"""SSD300 on VGG-16: Liu et al., "SSD: single shot multibox detector", ECCV 2016.

Input (1, 3, 300, 300), normalised as torchvision's transform leaves it; outputs boxes (n, 4), scores (n,), labels (n,) of at most 200
detections.  Layers and weight names of torchvision's ssd300_vgg16: 35,641,826 parameters and 34.858 G MACs for 91 classes.  The 8732
default boxes are constants; softmax, decoding, NonMaxSuppression per class (overlap 0.45, score 0.01) and the choice of the best 200
are in the graph.  torchvision takes the best 400 of a class before suppression, here at most 200 of a class after it: the same unless
those 200 reach beyond the 400.
"""
from __future__ import annotations

from math import sqrt

import numpy as np

from models.boxes import best, column, decode, suppress
from models.vgg_trunk import scaled, torchvision_index, vgg_stage
from models.writer import Writer

CLASSES = 91
ASPECTS = ((2,), (2, 3), (2, 3), (2, 3), (2,), (2,))
SCALES = (0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05)
STEPS = (8, 16, 32, 64, 100, 300)
GRIDS = (38, 19, 10, 5, 3, 1)
SIZE = 300
OVERLAP, SCORE, DETECTIONS = 0.45, 0.01, 200
WEIGHTS = (10.0, 5.0)


def default_boxes() -> np.ndarray:
    """(8732, 4) corners in pixels, map after map, row after row: two squares, then w > h and w < h of every aspect ratio."""
    boxes = []
    for k, (grid, step) in enumerate(zip(GRIDS, STEPS)):
        sides = [(SCALES[k], SCALES[k]), (sqrt(SCALES[k] * SCALES[k + 1]),) * 2]
        for aspect in ASPECTS[k]:
            w, h = SCALES[k] * sqrt(aspect), SCALES[k] / sqrt(aspect)
            sides += [(w, h), (h, w)]
        half = np.clip(np.array(sides), 0, 1) * SIZE / 2
        middle = (np.arange(grid) + 0.5) * step
        centre = np.stack(np.meshgrid(middle, middle, indexing="xy"), -1).reshape(-1, 1, 2)
        boxes.append(np.concatenate([centre - half, centre + half], -1).reshape(-1, 4))
    return np.concatenate(boxes)


def _maps(net: Writer, x: str, width: float) -> list[str]:
    """The six maps that are looked at: 38, 19, 10, 5, 3, 1 pixels wide."""
    def stage(x: str, k: int, prefix: str, start: int) -> str:
        return vgg_stage(net, x, k, width=width, name=lambda s, i: f"backbone.{prefix}{torchvision_index(s, i) - start}")

    for k in range(3):
        x = net.max_pool(stage(x, k, "features.", 0), 2, 2, ceil=k == 2)
    x = stage(x, 3, "features.", 0)
    c = net.channels[x]
    unit = net.node("LpNormalization", [x], c, axis=1, p=2)
    scale = net.node("Reshape", [net.weight("backbone.scale_weight", (c,), 20.0, 2.0), net.ints(1, -1, 1, 1)], c)
    maps = [net.node("Mul", [unit, scale], c)]
    x = stage(net.max_pool(x, 2, 2), 4, "extra.0.", 23)
    x = net.max_pool(x, 3, 1, pad=1)
    x = net.relu(net.conv("backbone.extra.0.7.1", x, scaled(1024, width), 3, pad=6, dilation=6))
    maps.append(net.relu(net.conv("backbone.extra.0.7.3", x, scaled(1024, width), 1)))
    for k, (inner, oc, stride) in enumerate(((256, 512, 2), (128, 256, 2), (128, 256, 1), (128, 256, 1)), start=1):
        x = net.relu(net.conv(f"backbone.extra.{k}.0", maps[-1], scaled(inner, width), 1))
        maps.append(net.relu(net.conv(f"backbone.extra.{k}.2", x, scaled(oc, width), 3, stride=stride, pad=stride - 1)))
    return maps


def _head(net: Writer, name: str, maps: list[str], columns: int) -> str:
    """(1, 8732, columns): a 3x3 convolution on every map, its channels next to each other."""
    rows = []
    for k, x in enumerate(maps):
        anchors = 2 + 2 * len(ASPECTS[k])
        y = net.conv(f"head.{name}.module_list.{k}", x, anchors * columns, 3, pad=1, gain=1.0)
        y = net.node("Reshape", [y, net.ints(1, anchors, columns, -1)])
        rows.append(net.node("Reshape", [net.node("Transpose", [y], perm=[0, 3, 1, 2]), net.ints(1, -1, columns)]))
    return net.node("Concat", rows, axis=1)


def ssd300_vgg16(net: Writer, x: str, width: float = 1.0, raw: bool = False, classes: int = CLASSES) -> None:
    """(1, 3, 300, 300) -> boxes, scores, labels; with `raw` also what the two heads say: cls_logits and bbox_regression."""
    maps = _maps(net, x, width)
    logits, deltas = _head(net, "classification_head", maps, classes), _head(net, "regression_head", maps, 4)
    scores = net.node("Transpose", [net.node("Softmax", [logits], axis=-1)], perm=[0, 2, 1])
    objects = net.node("Slice", [scores, net.ints(1), net.ints(classes), net.ints(1)])
    boxes = decode(net, "decoded", deltas, default_boxes(), WEIGHTS, (SIZE, SIZE))
    picked = suppress(net, "nms", boxes, objects, iou=OVERLAP, threshold=SCORE, per_class=DETECTIONS)
    chosen = net.node("Gather", [net.node("Squeeze", [boxes, net.ints(0)]), column(net, picked, 2)], axis=0)
    labels = net.node("Add", [column(net, picked, 1), net.ints(1)])
    best(net, net.node("GatherND", [objects, picked]), chosen, labels, DETECTIONS)
    if raw:
        net.output(logits, "cls_logits", (1, "anchors", classes))
        net.output(deltas, "bbox_regression", (1, "anchors", 4))
