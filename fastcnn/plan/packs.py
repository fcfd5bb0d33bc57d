"""Packs: the packed weights of a model, by what they depend on, shared by all of its plans."""
from __future__ import annotations

from collections.abc import Hashable, Mapping
from types import MappingProxyType

import numpy as np

from fastcnn.ir.spec import Spec
from fastcnn.plan.pages import Pages


class Packs(dict[Hashable, np.ndarray]):
    """Those that plans made so far have asked for.

    stored  what a compiled file has: packs of it are taken where somebody says what they must be, and they are that
    specs   what was said so far: a compiled file may hold these
    """

    def __init__(self, stored: Mapping[Hashable, np.ndarray] = MappingProxyType({})):
        super().__init__()
        self.stored = stored
        self.specs: dict[Hashable, Spec] = {}
        self.pages = Pages()

    def takes(self, key: Hashable, spec: Spec | None) -> bool:
        """Whether a stored pack is what was asked for: then it is one of these from now on."""
        if spec is None:
            return False
        self.specs[key] = spec
        pack = self.stored.get(key)
        if pack is None or (pack.dtype, pack.shape) != (spec.dtype, spec.shape):
            return False
        self[key] = pack
        return True

    def has(self, key: Hashable) -> bool:
        """Whether nothing has to be packed for this key."""
        return key in self or key in self.stored
