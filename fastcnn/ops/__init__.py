"""OPS: the operators with native kernels, (domain, ONNX name) -> Op. Everything else runs in the fallback."""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from fastcnn.operators.cards import DOMAINS, TABLE
from fastcnn.ops.base import Op


class Operators(Mapping[tuple[str, str], Op]):
    """(domain, name) -> Op, from the table OPERATORS of the module that the card names; imported when an operator is first asked for."""

    def __init__(self) -> None:
        self._module = {(DOMAINS.get(name, ""), name): module
                        for modules in TABLE.values() for module, cards in modules.items() for name in cards}
        self._found: dict[tuple[str, str], Op] = {}

    def __getitem__(self, key: tuple[str, str]) -> Op:
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = import_module(f"fastcnn.ops.{self._module[key]}").OPERATORS[key[1]]
        return found

    def get(self, key: tuple[str, str], default: Any = None) -> Any:
        found = self._found.get(key)
        return found if found is not None else self[key] if key in self._module else default

    def __contains__(self, key: object) -> bool:
        return key in self._module

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._module)

    def __len__(self) -> int:
        return len(self._module)


OPS = Operators()
