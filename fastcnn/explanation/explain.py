"""fastcnn.explain(): finds what the layers of a network respond to on given images."""
from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastcnn.analysis.answers import is_scores
from fastcnn.analysis.records import Layer
from fastcnn.explanation.cam import Ending, ending
from fastcnn.explanation.evidence import Evidence, occlusion
from fastcnn.explanation.filters import first_filters
from fastcnn.explanation.found import Detected, Detector, Found
from fastcnn.explanation.page import save
from fastcnn.explanation.patches import PATCHES, Strongest, checked_channels, cut_all
from fastcnn.ir.errors import InputError
from fastcnn.loading import load
from fastcnn.model import Model
from fastcnn.preprocess import Preprocess, image_input

CHANNELS, LAYERS, SHOWN = 16, 4, 4          # channels of a layer, layers and images that are looked at by default
BATCH = 16


class Explanation(Found):
    """The result of explain(); save() writes it as pictures and a page."""

    def save(self, folder: str | os.PathLike[str], labels: Sequence[str] | None = None) -> list[Path]:
        """index.html and a PNG for everything on it. labels: names of the classes. Needs Pillow."""
        return save(self, Path(folder), labels)


def explain(model: Model | str | os.PathLike[str], images: Sequence[Any], *, layers: Sequence[str] | None = None,
            channels: Sequence[int] | None = None, classes: Sequence[int] | None = None, patches: int = PATCHES, shown: int = SHOWN,
            preprocess: Preprocess | None = None, batch: int = BATCH, advance: Callable[[int], None] = lambda count: None) -> Explanation:
    """Finds the patches that channels respond to, the first filters, feature maps of the first image, and evidence for classes.

    images      paths, PIL images or arrays (H, W) or (H, W, C) of uint8; opened one by one, and again where a patch is cut
    layers      names of layers or of the file's nodes; by default four convolutions from the first to the last
    channels    of each layer; by default the first 16          patches     of a channel; one an image, more where there are few images
    classes     whose evidence is asked for; by default that of the highest score         shown   images whose evidence is looked at
    preprocess  by default Preprocess.guess(model)              batch       images in a call
    advance     called with the number of images that were looked at: first all of them, then those whose evidence is
    Evidence is there where the only output is scores of classes. Memory depends on batch, layers and channels, not on the number of images.
    Raises InputError for layers, channels and classes that are not there, and where the model has other inputs than one image.
    """
    net = model if isinstance(model, Model) else load(model)
    if not images:
        raise InputError("no images to explain the model with")
    how = preprocess or Preprocess.guess(net)
    info = image_input(net.get_inputs())[0]
    name, batch = info.name, info.shape[0] if info.shape and isinstance(info.shape[0], int) else batch
    others = [info.name for info in net.get_inputs() if info.name != name]
    if others:
        raise InputError(f"explain() feeds one image; the model wants {', '.join(others)} too")
    count = batch if info.shape and isinstance(info.shape[0], int) else 1
    shape = (count, how.channels, *how.size) if how.layout == "NCHW" else (count, *how.size, how.channels)
    chosen = _chosen(net, net.summary({name: shape}).layers, layers)
    per_image = -(-patches // len(images))
    tables = []
    for layer in chosen:
        count = (layer.shape or ())[1]
        tables.append(Strongest(checked_channels(channels, count, CHANNELS, layer.name), patches, _apart(layer), per_image))
    values, maps = [layer.output for layer in chosen], list[np.ndarray]()
    for first in range(0, len(images), batch):
        some = images[first:first + batch]
        outputs = _run(net, values, name, how, some, batch)
        for table, y in zip(tables, outputs):
            table.add(y, first)
        maps = maps or [np.array(y[0, table.channels]) for table, y in zip(tables, outputs)]
        advance(len(some))
    parts = [(table, layer.fields, (layer.shape or ())[2:]) for table, layer in zip(tables, chosen)]
    found = cut_all(parts, images, how.pixels)
    detected = tuple(Detected(layer.name, layer.op_type, layer.fields,
                              tuple(Detector(channel, tuple(some)) for channel, some in zip(table.channels, strongest)),
                              seen if seen.ndim == 3 else None)
                     for layer, table, strongest, seen in zip(chosen, tables, found, maps))
    return Explanation(net._graph.name, len(images), how, how.pixels(images[0]), detected, first_filters(net._graph, name),
                       tuple(_evidence(net, name, how, images[:shown], classes, batch, advance)))


def _run(net: Model, values: Sequence[str] | None, name: str, how: Preprocess, images: Sequence[Any], batch: int) -> list[Any]:
    """Values for some images; where the model has a fixed batch, the last image fills it up."""
    fixed = isinstance((image_input(net.get_inputs())[0].shape or ("N",))[0], int)
    padded = [*images, *[images[-1]] * (batch - len(images) if fixed else 0)]
    return [y[:len(images)] for y in net.run(values, {name: how.batch(padded)})]


def _chosen(net: Model, layers: Sequence[Layer], names: Sequence[str] | None) -> list[Layer]:
    """The layers asked for, or some convolutions. Raises InputError."""
    known = {value for node in net._graph.nodes for value in node.outputs}
    usable = [layer for layer in layers if layer.output in known and layer.shape is not None and len(layer.shape) in (2, 4)]
    if names is None:
        convolutions = [layer for layer in usable if "Conv" in layer.op_type and len(layer.shape or ()) == 4]
        if not convolutions:
            raise InputError("the model has no convolution to look at; name layers")
        steps = min(LAYERS, len(convolutions))
        return [convolutions[round(k * (len(convolutions) - 1) / max(steps - 1, 1))] for k in range(steps)]
    by_name = {name: layer for layer in reversed(usable) for name in (*layer.nodes, layer.output, layer.name)}
    missing = [name for name in names if name not in by_name]
    if missing:
        names = ", ".join(layer.name for layer in usable)
        raise InputError(f"no layer {missing[0]!r} whose output is a map or a vector; there are {names}")
    return [by_name[name] for name in names]


def _apart(layer: Layer) -> int:
    """Units that lie farther apart than this see less than half of each other's pixels."""
    steps = [field.size / field.stride / 2 for field in layer.fields if field.size is not None]
    return max(int(max(steps, default=0.0)), 1)


def _evidence(net: Model, name: str, how: Preprocess, images: Sequence[Any], classes: Sequence[int] | None, batch: int,
              advance: Callable[[int], None]) -> list[Evidence]:
    outputs = net.get_outputs()
    if len(outputs) != 1 or not images:
        return []
    first = how.pixels(images[0])
    y = _run(net, None, name, how, [first], batch)[0]
    if not isinstance(y, np.ndarray) or not is_scores(y):
        return []
    if classes and not all(0 <= k < y.shape[1] for k in classes):
        raise InputError(f"classes {list(classes)}: the model has 0 to {y.shape[1] - 1}")

    def scores(some: Sequence[np.ndarray]) -> np.ndarray:
        return _run(net, None, name, how, some, batch)[0].reshape(len(some), -1)

    last, found = ending(net._graph, outputs[0].name), []
    for k, image in enumerate(images):
        pixels = first if k == 0 else how.pixels(image)
        full = scores([pixels])[0]
        source = f"image {k}" if isinstance(image, np.ndarray) else str(image)
        for class_ in classes or [int(full.argmax())]:
            covered = occlusion(pixels, class_, scores, batch)
            found.append(Evidence(source, class_, float(full[class_]), pixels, covered, _cam(net, name, how, pixels, last, class_, batch)))
        advance(1)
    return found


def _cam(net: Model, name: str, how: Preprocess, pixels: np.ndarray, last: Ending | None, class_: int,
         batch: int) -> np.ndarray | None:
    if last is None:
        return None
    maps = _run(net, [last.map], name, how, [pixels], batch)[0]
    return last.evidence(maps[0], class_) if maps.ndim == 4 else None
