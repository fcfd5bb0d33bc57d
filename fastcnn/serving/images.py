"""A JPEG or PNG as the only input of an image model."""
from __future__ import annotations

import io
from typing import Any

import numpy as np

from fastcnn.ir.errors import InputError
from fastcnn.model import Model
from fastcnn.preprocess import Preprocess, image_input
from fastcnn.serving.errors import RequestError

FORMATS = {"image/jpeg": "JPEG", "image/png": "PNG"}
MOST_PIXELS = 50_000_000            # of a decoded image: a small file can claim any size


def preprocess_of(model: Model) -> Preprocess | None:
    """The Preprocess of an image model; None where the model has other inputs than one image."""
    try:
        image_input(model.get_inputs())
        return Preprocess.guess(model) if len(model.get_inputs()) == 1 else None
    except InputError:
        return None


def feeds_of(body: memoryview, media_type: str, model: Model, how: Preprocess | None) -> dict[str, np.ndarray]:
    """Raises RequestError."""
    if how is None:
        raise RequestError(415, "the model's inputs are not one image: send tensors")
    return {model.get_inputs()[0].name: how(_opened(body, FORMATS[media_type]))}


def _opened(body: memoryview, kind: str) -> Any:
    """A PIL image, decoded: of this format alone, and of no more pixels than allowed."""
    try:
        from PIL import Image
    except ImportError:
        raise RequestError(415, "this server has no Pillow to decode images") from None
    try:
        image = Image.open(io.BytesIO(body), formats=[kind])
        if image.width * image.height > MOST_PIXELS:
            raise RequestError(413, f"the image has {image.width} x {image.height} pixels, at most {MOST_PIXELS} are allowed")
        image.load()
    except RequestError:
        raise
    except Exception as error:              # Pillow raises whatever its decoders meet
        raise RequestError(400, f"the body is no {kind} image: {type(error).__name__}") from None
    return image
