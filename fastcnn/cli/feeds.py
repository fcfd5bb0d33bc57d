"""Reads feeds named on the command line: files of arrays, images, seeded random numbers."""
from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastcnn.analysis.inputs import input_specs, random_arrays
from fastcnn.feeds import tensor_dtype
from fastcnn.ir.errors import InputError
from fastcnn.model import Model

ARRAYS = (".npy", ".npz", ".pb")
IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")


def random_feeds(model: Model, shapes: Mapping[str, Sequence[int]] | None = None) -> dict[str, np.ndarray]:
    """Random arrays of the types that the inputs declare: normal numbers, small integers."""
    inputs = model.get_inputs()
    return random_arrays(input_specs(inputs, {info.name: tensor_dtype(info.type) for info in inputs}, shapes))


def found_files(patterns: Sequence[str]) -> list[Path]:
    """The given files, the images in given folders and the matches of globs, each sorted. Raises InputError for missing ones."""
    found: list[Path] = []
    for pattern in patterns:
        path = Path(pattern)
        matches = [file for file in sorted(path.rglob("*")) if file.suffix.lower() in IMAGES] if path.is_dir() else (
            [path] if path.is_file() else [Path(match) for match in sorted(glob.glob(pattern, recursive=True))])
        if not matches:
            raise InputError(f"{pattern!r}: {'a folder without images' if path.is_dir() else 'no such file'}")
        found += matches
    return found


def read_array(path: Path) -> np.ndarray | dict[str, np.ndarray]:
    """.npy, .pb (an ONNX TensorProto), .npz by name. Raises InputError."""
    try:
        if path.suffix == ".pb":
            import onnx
            return onnx.numpy_helper.to_array(onnx.load_tensor(str(path)))
        loaded: Any = np.load(path, allow_pickle=False)
        return loaded if isinstance(loaded, np.ndarray) else dict(loaded)
    except OSError:
        raise
    except Exception as error:
        raise InputError(f"{str(path)!r} is no {path.suffix} file: {error}") from None


def named_feeds(options: Sequence[str], names: Sequence[str]) -> dict[str, Path]:
    """{input: file} of --input NAME=FILE options. Raises InputError."""
    found = {}
    for option in options:
        name, _, file = option.partition("=")
        if name not in names or not file:
            raise InputError(f"--input {option}: expected NAME=FILE with a name of {', '.join(names)}")
        if not Path(file).is_file():
            raise InputError(f"--input {option}: no such file")
        found[name] = Path(file)
    return found
