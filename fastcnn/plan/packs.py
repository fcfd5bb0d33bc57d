"""Packs: the packed weights of a model by key, shared by all of its plans."""
from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from fastcnn.ir.spec import Spec
from fastcnn.plan.pages import Pages

Values = Sequence["np.ndarray | None"]     # of a node's inputs, None where the run computes them
LEAST_LENT = 1 << 14        # bytes of a pack that is worth sharing; constants that are smaller are compared by what they hold


class Lender:
    """Packs that several models share whose nodes read the same constants: the same arrays, or small ones that hold the same."""

    def __init__(self) -> None:
        self.packs: dict[Hashable, tuple[Values, np.ndarray]] = {}

    def named(self, key: Hashable, values: Values) -> Hashable:
        """The key of a pack among all models; values: the constants that its node reads."""
        contents = (None if v is None else id(v) if v.nbytes >= LEAST_LENT else (v.dtype.str, v.shape, v.tobytes()) for v in values)
        return (key, *contents)

    def lent(self, key: Hashable, values: Values) -> np.ndarray | None:
        """A pack that another model has made."""
        found = self.packs.get(self.named(key, values))
        return None if found is None else found[1]

    def take(self, key: Hashable, values: Values, pack: np.ndarray) -> None:
        """Keeps a pack for others, and the constants, so that no other array gets the place of one."""
        if pack.nbytes >= LEAST_LENT:
            self.packs[self.named(key, values)] = (values, pack)


class Packs(dict[Hashable, np.ndarray]):
    """Key -> packed weights that plans have asked for.

    stored  packs of a compiled file, used where the caller gives a Spec and the pack has it
    specs   key -> Spec given so far: these packs can be written to a compiled file
    lender  shares packs with other models
    """

    def __init__(self, stored: Mapping[Hashable, np.ndarray] = MappingProxyType({}), lender: Lender | None = None):
        super().__init__()
        self.stored, self.lender = stored, lender
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

    def borrows(self, key: Hashable, inputs: Sequence[str], values: Values, constants: Mapping[str, np.ndarray]) -> bool:
        """Takes over what another model has packed for a node with these inputs; returns whether there was something."""
        lent = self.lender.lent(key, values) if self.lender is not None and _is_own(key, inputs, constants) else None
        if lent is not None:
            self[key] = lent
        return lent is not None

    def lends(self, key: Hashable, inputs: Sequence[str], values: Values, constants: Mapping[str, np.ndarray]) -> None:
        """Lets other models borrow a pack."""
        if self.lender is not None and _is_own(key, inputs, constants):
            self.lender.take(key, values, self[key])


def _is_own(key: Hashable, inputs: Sequence[str], constants: Mapping[str, np.ndarray]) -> bool:
    """Whether a key names no constants but those that the node reads."""
    if isinstance(key, tuple):
        return all(_is_own(part, inputs, constants) for part in key)
    return not isinstance(key, str) or key in inputs or key not in constants
