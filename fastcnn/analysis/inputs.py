"""Concrete shapes for a model's inputs: those given by the caller, and defaults for other symbolic axes."""
from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fastcnn.ir.errors import InputError
from fastcnn.ir.graph import ValueInfo
from fastcnn.ir.spec import Spec

BATCH, EXTENT = 1, 224          # of a symbolic first axis; of the axes of an image
Shapes = Mapping[str, Sequence[int]]


def input_specs(inputs: Sequence[ValueInfo], dtypes: Mapping[str, np.dtype | None],
                shapes: Shapes | Sequence[int] | None = None, batch: int = BATCH) -> dict[str, Spec]:
    """The Spec of every input.

    shapes  by the name of the input, or one shape for the only input. Symbolic axes of the others: `batch` for the first, 224 for those of
            an image (N, 3, H, W) or (N, 1, H, W), 1 for any other that shares no name with a known one
    Raises InputError for names and shapes that do not fit.
    """
    given = _by_name(inputs, shapes)
    symbols: dict[str, int] = {}
    for info in inputs:
        for said, size in zip(info.shape or (), given.get(info.name, ())):
            if isinstance(said, str):
                symbols[said] = size
    specs = {}
    for info in inputs:
        dtype = dtypes.get(info.name)
        if dtype is None:
            raise InputError(f"input {info.name!r} is a {info.type}: only tensors have a shape")
        declared = info.shape
        if declared is None and info.name not in given:
            raise InputError(f"input {info.name!r} has no shape in the file: give one")
        shape = tuple(given.get(info.name) or _assumed(declared or (), symbols, batch))
        fits = declared is None or (len(shape) == len(declared) and all(not isinstance(d, int) or d == n for d, n in zip(declared, shape)))
        if not fits:
            raise InputError(f"input {info.name!r}: shape {list(shape)} does not fit {list(declared or ())}")
        specs[info.name] = Spec(np.dtype(dtype), shape)
    return specs


def random_arrays(specs: Mapping[str, Spec], seed: int = 0) -> dict[str, np.ndarray]:
    """Seeded arrays of these types and shapes: normal numbers, integers 0 and 1."""
    rng = np.random.default_rng(seed)
    return {name: (rng.standard_normal(spec.shape) if spec.dtype.kind in "fV" else rng.integers(0, 2, spec.shape)).astype(spec.dtype)
            for name, spec in specs.items()}


def _by_name(inputs: Sequence[ValueInfo], shapes: Shapes | Sequence[int] | None) -> dict[str, tuple[int, ...]]:
    names = [info.name for info in inputs]
    if shapes is None:
        return {}
    if not isinstance(shapes, Mapping):
        if len(names) != 1:
            raise InputError(f"one shape for {len(names)} inputs: name them ({', '.join(names)})")
        shapes = {names[0]: shapes}
    unknown = [name for name in shapes if name not in names]
    if unknown:
        raise InputError(f"no input named {unknown[0]!r}; the model has {', '.join(names)}")
    return {name: tuple(int(n) for n in shape) for name, shape in shapes.items()}


def _assumed(declared: Sequence[int | str | None], symbols: Mapping[str, int], batch: int) -> list[int]:
    """Extents for a declared shape."""
    image = len(declared) == 4 and (declared[1] in (1, 3) or declared[3] in (1, 3))
    channels = 1 if declared[1:2] and declared[1] in (1, 3) else 3
    free = [batch if axis == 0 else EXTENT if image and axis != channels else 1 for axis in range(len(declared))]
    return [d if isinstance(d, int) else symbols.get(d or "", size) for d, size in zip(declared, free)]
