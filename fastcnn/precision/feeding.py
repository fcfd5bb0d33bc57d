"""Feeding: calibration data, in any form that callers may pass, as an iterable of feeds."""
from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from fastcnn.ir.errors import ConfigurationError
from fastcnn.ir.graph import ValueInfo
from fastcnn.precision.calibrate import Feeds


class Feeding:
    """An iterable of feeds, {input: array}, or of arrays for a model with one input; one array is a batch that is fed image by image.

    what  the argument's name, for errors. Raises ConfigurationError for what is none of these.
    """

    def __init__(self, data: Any, inputs: Sequence[ValueInfo], what: str = "data"):
        self.data, self.inputs, self.what = data, inputs, what
        if isinstance(data, np.ndarray) and data.ndim:
            self.data = [data[k:k + 1] for k in range(len(data))]
        elif isinstance(data, (str, bytes, Mapping)) or not isinstance(data, Iterable):
            raise ConfigurationError(f"{what}: expected an iterable of feeds, {{input: array}}, got {type(data).__name__}")

    def __iter__(self) -> Iterator[Feeds]:
        for feeds in self.data:
            if isinstance(feeds, Mapping):
                yield feeds
            elif len(self.inputs) == 1:
                yield {self.inputs[0].name: feeds}
            else:
                raise ConfigurationError(f"{self.what}: feeds of a model with {len(self.inputs)} inputs are {{input: array}}, "
                                         f"not {type(feeds).__name__}")

    @property
    def total(self) -> int | None:
        """The number of feeds, None where the data does not say."""
        return len(self.data) if hasattr(self.data, "__len__") else None
