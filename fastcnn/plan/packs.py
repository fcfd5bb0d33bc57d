"""Packs: the packed weights of a model by key, shared by all of its plans."""
from __future__ import annotations

from collections.abc import Hashable, Mapping
from types import MappingProxyType

import numpy as np

from fastcnn.ir.spec import Spec
from fastcnn.plan.pages import Pages


class Packs(dict[Hashable, np.ndarray]):
    """Key -> packed weights that plans have asked for.

    stored  packs of a compiled file, used where the caller gives a Spec and the pack has it
    specs   key -> Spec given so far: these packs can be written to a compiled file
    """

    def __init__(self, stored: Mapping[Hashable, np.ndarray] = MappingProxyType({})):
        super().__init__()
        self.stored = stored
        self.specs: dict[Hashable, Spec] = {}
        self.pages = Pages()

    def takes(self, key: Hashable, spec: Spec | None) -> bool:
        """Takes over a stored pack if it has the Spec; returns whether it did."""
        if spec is None:
            return False
        self.specs[key] = spec
        pack = self.stored.get(key)
        if pack is None or (pack.dtype, pack.shape) != (spec.dtype, spec.shape):
            return False
        self[key] = pack
        return True

    def has(self, key: Hashable) -> bool:
        """Whether the pack of this key exists already."""
        return key in self or key in self.stored
