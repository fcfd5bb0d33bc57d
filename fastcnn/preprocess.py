"""Preprocess: turns images into feeds of a network, with settings guessed from its graph or given by the caller."""
from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fastcnn.feeds import tensor_dtype
from fastcnn.ir.errors import ConfigurationError, InputError
from fastcnn.ir.graph import Dim, Graph, Node, ValueInfo

if TYPE_CHECKING:
    from fastcnn.model import Model

METADATA = "fastcnn.preprocess"                 # key of the model's metadata: these fields as JSON
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SIZE = 224                                      # of inputs that leave it open
LAYOUTS, COLOURS = ("NCHW", "NHWC"), ("RGB", "BGR", "L")
# Operators that a network with a normalisation of its own begins with.
NORMALISES = ("Sub", "Div", "Mul", "Add", "BatchNormalization", "QuantizeLinear", "ImageScaler")
PASSED = ("Transpose", "Cast", "Identity", "Pad", "Reshape", "Unsqueeze", "Squeeze")


@dataclass(frozen=True)
class Preprocess:
    """y = (scale * x - mean) / std of the pixels x (0 to 255), resized and cropped, in the network's layout and order of channels.

    size      (height, width) of the input
    crop      share of the resized image's shorter side that the centre crop keeps; None: the image is stretched to `size`
    scale     mean and std are in these units: 1/255 or 1
    mean, std a number a channel, in the network's order of channels; one number for all
    layout    "NCHW" or "NHWC"        colour  "RGB", "BGR" or "L" (grey)        dtype   of the input
    """

    size: tuple[int, int] = (SIZE, SIZE)
    crop: float | None = None
    scale: float = 1 / 255
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    layout: str = "NCHW"
    colour: str = "RGB"
    dtype: str = "float32"

    def __post_init__(self) -> None:
        for name in ("mean", "std", "size"):
            value = getattr(self, name)
            object.__setattr__(self, name, tuple(value) if isinstance(value, (list, tuple, np.ndarray)) else (value,))
        if len(self.size) == 1:
            object.__setattr__(self, "size", self.size * 2)
        if self.layout not in LAYOUTS or self.colour not in COLOURS:
            raise ConfigurationError(f"layout={self.layout!r}, colour={self.colour!r}: expected one of {', '.join(LAYOUTS)} and one of "
                                     f"{', '.join(COLOURS)}")
        if min(self.size) < 1 or (self.crop is not None and not 0 < self.crop <= 1) or 0 in self.std:
            raise ConfigurationError(f"size={self.size}, crop={self.crop}, std={self.std}: positive sizes, 0 < crop <= 1 and no 0 in std")
        for name in ("mean", "std"):
            if len(getattr(self, name)) not in (1, self.channels):
                raise ConfigurationError(f"{name}={list(getattr(self, name))} for {self.channels} channels")

    @property
    def channels(self) -> int:
        return 1 if self.colour == "L" else 3

    @classmethod
    def guess(cls, model: Model, **known: Any) -> Preprocess:
        """The Preprocess for a model with one image input; fields in `known` are taken as given.

        The model's metadata decides (key "fastcnn.preprocess", JSON), then its input: layout and grey or colour by where 1 or 3 channels
        stand, the size by its extents, 224 where they are open. A network of floats that does not normalise by itself gets ImageNet's
        mean and std in colour, 0 to 1 in grey. Raises InputError where no input is an image.
        """
        graph = model._graph
        said = (model.metadata.get("custom_metadata_map") or {}).get(METADATA)
        guessed = cls(**_of_json(said)) if said else _guessed(graph)
        return replace(guessed, **{name: value for name, value in known.items() if value is not None})

    def __call__(self, image: Any) -> np.ndarray:
        """The feed of one image, (1, C, H, W) or (1, H, W, C): of a path, a PIL image, an array (H, W) or (H, W, C) of 0 to 255 in RGB."""
        x = self.pixels(image)
        if self.colour == "BGR":
            x = x[..., ::-1]
        if self.dtype != "uint8":
            x = (x * np.float32(self.scale) - np.asarray(self.mean, np.float32)) / np.asarray(self.std, np.float32)
        x = x.transpose(2, 0, 1) if self.layout == "NCHW" else x
        return np.ascontiguousarray(x[None], dtype=self.dtype)

    def batch(self, images: Sequence[Any]) -> np.ndarray:
        """The feeds of several images as one."""
        return np.concatenate([self(image) for image in images])

    def picture(self, y: np.ndarray) -> np.ndarray:
        """An output (C, H, W) or (H, W, C) of an image network as pixels 0 to 255 (H, W, C): the scale undone, no mean and no std."""
        y = y.transpose(1, 2, 0) if self.layout == "NCHW" else y
        pixels = np.clip(np.round(y.astype(np.float64) / (self.scale if self.dtype != "uint8" else 1.0)), 0, 255).astype(np.uint8)
        return pixels[..., ::-1] if self.colour == "BGR" and pixels.shape[-1] == 3 else pixels

    def folded(self, model: Model, any_size: bool = False) -> Model:
        """The model with uint8 images (N, H, W, C) in RGB as its input "image": conversion, normalisation and layout are part of it.

        any_size  images of any height and width, stretched to `size` by linear interpolation that averages where it shrinks
        What the planner can it takes into the first convolution, exactly at its borders too; results differ in rounding alone from those
        of run() on the feeds that this object makes. crop has no part in it. Raises InputError where no input is an image.
        """
        from fastcnn.model import Model as Loaded
        graph = _with_images(model._graph, self, any_size)
        return Loaded(graph, model.threads, model._precision, None, model._tune, model._max_memory, model._accuracy)

    def to_dict(self) -> dict[str, Any]:
        """For JSON, and for the model's metadata."""
        return asdict(self)

    def pixels(self, image: Any) -> np.ndarray:
        """An image resized and cropped, as the network sees it: (height, width, channels) uint8, RGB or grey."""
        if isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.shape == (*self.size, self.channels):
            return image
        picture = opened(image).convert("L" if self.colour == "L" else "RGB")
        height, width = self.size
        if self.crop is None:
            picture = picture.resize((width, height), resample=2)
        else:
            factor = max(height / picture.height, width / picture.width) / self.crop
            wide, high = max(round(picture.width * factor), width), max(round(picture.height * factor), height)
            left, top = (wide - width) // 2, (high - height) // 2
            picture = picture.resize((wide, high), resample=2).crop((left, top, left + width, top + height))
        pixels = np.asarray(picture)
        return pixels[..., None] if pixels.ndim == 2 else pixels


def opened(image: Any) -> Any:
    """A PIL image of a path, an array or a PIL image. Raises InputError."""
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise InputError("images need Pillow: pip install 'fastcnn[cli]'") from None
    if isinstance(image, (str, os.PathLike)):
        try:
            return Image.open(image)
        except UnidentifiedImageError:
            raise InputError(f"{os.fspath(image)!r} is no image that Pillow knows") from None
    if isinstance(image, np.ndarray):
        grey = image.ndim == 3 and image.shape[2] == 1
        return Image.fromarray((image[..., 0] if grey else image).astype(np.uint8))
    return image


def _with_images(graph: Graph, how: Preprocess, any_size: bool) -> Graph:
    """The graph with nodes in front that compute its image input from pixels."""
    info, layout = image_input(graph.inputs)
    batch, version = (info.shape or (1,))[0], graph.opsets.get("", 1)
    pixels = graph.fresh_name("image")
    chain: list[tuple[str, list[np.ndarray | None], dict[str, Any]]] = []
    if how.dtype != "uint8" or any_size:
        chain.append(("Cast", [], {"to": 1}))
    if any_size:
        chain.append(("Resize", [None, None, np.array(how.size, np.int64)],
                      {"mode": "linear", "axes": [1, 2], "antialias": 1, "coordinate_transformation_mode": "half_pixel"}))
    if how.colour == "BGR":
        chain.append(("Gather", [np.array([2, 1, 0], np.int64)], {"axis": 3}))
    if how.dtype != "uint8":
        chain += [(op, [np.asarray(value, np.float32)], {}) for op, value in (("Mul", how.scale), ("Sub", how.mean), ("Div", how.std))]
        chain += [("Cast", [], {"to": 10})] if how.dtype == "float16" else []
    elif any_size:
        chain += [("Round", [], {}), ("Cast", [], {"to": 2})]
    chain += [("Transpose", [], {"perm": [0, 3, 1, 2]})] if layout == "NCHW" else []
    nodes, constants, value = list[Node](), dict(graph.constants), pixels
    for k, (op, arrays, attrs) in enumerate(chain or [("Identity", [], {})]):
        names = [f"{pixels}/preprocess/{op}_{k}_{i}" if array is not None else "" for i, array in enumerate(arrays)]
        constants.update((name, array) for name, array in zip(names, arrays) if array is not None)
        output = info.name if k == max(len(chain) - 1, 0) else f"{pixels}/preprocess/{k}"
        written = max(version, 18) if op == "Resize" else version
        nodes.append(Node(op, (value, *names), (output,), attrs, f"preprocess_{op}_{k}", "", written))
        value = output
    extents: tuple[Dim, ...] = ("height", "width") if any_size else how.size
    given = ValueInfo(pixels, "tensor(uint8)", (batch, *extents, how.channels))
    inputs = [given if other.name == info.name else other for other in graph.inputs]
    return replace(graph.forgetful(), nodes=[*nodes, *graph.nodes], inputs=inputs, constants=constants)


def _of_json(text: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
        if isinstance(found, dict) and found.keys() <= {field.name for field in fields(Preprocess)}:
            return found
    except ValueError:
        pass
    raise ConfigurationError(f"metadata {METADATA!r}: no JSON object of the fields of Preprocess: {text!r}")


def image_input(inputs: Sequence[ValueInfo]) -> tuple[ValueInfo, str]:
    """The input that is an image, and its layout. Raises InputError."""
    found = [(info, layout) for info in inputs for layout, axis in (("NCHW", 1), ("NHWC", 3))
             if info.shape is not None and len(info.shape) == 4 and info.shape[axis] in (1, 3)]
    if not found:
        raise InputError("no input of the model is an image: none has 1 or 3 channels")
    if len({info.name for info, _ in found}) > 1:
        raise InputError(f"several inputs may be images: {', '.join(sorted({info.name for info, _ in found}))}")
    return found[0]


def _guessed(graph: Graph) -> Preprocess:
    info, layout = image_input(graph.inputs)
    shape: Sequence[Dim] = info.shape or ()
    channels, extents = (shape[1], shape[2:]) if layout == "NCHW" else (shape[3], shape[1:3])
    dtype, colour = tensor_dtype(info.type) or np.dtype(np.float32), "L" if channels == 1 else "RGB"
    size = tuple(d if isinstance(d, int) else SIZE for d in extents)
    known = Preprocess((size[0], size[1]), layout=layout, colour=colour, dtype=str(dtype))
    if dtype.kind in "ui":
        return replace(known, scale=1.0)
    if _normalises(graph, info.name):
        return replace(known, scale=1.0)
    small = min(size) < 64 or colour == "L"
    return known if small else replace(known, crop=0.875, mean=IMAGENET_MEAN, std=IMAGENET_STD)


def _normalises(graph: Graph, name: str) -> bool:
    """Whether the network itself begins with a normalisation."""
    for _ in range(len(graph.nodes)):
        readers = graph.consumers().get(name, [])
        if len(readers) != 1:
            return False
        if readers[0].op_type not in PASSED:
            return readers[0].op_type in NORMALISES
        name = readers[0].outputs[0]
    return False
