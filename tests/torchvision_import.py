"""torchvision for the tests that compare with its modules, also where its compiled operators do not load."""
from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest


def torchvision_or_skip() -> ModuleType:
    """The module torchvision; skips the test where it or torch is missing.

    Built for another torch its operators (nms, roi_align, ...) do not register and importing it fails; its networks need none of them, so
    what it says about those operators is passed over.
    """
    torch = pytest.importorskip("torch")
    pytest.importorskip("PIL")
    register = torch.library.register_fake

    def register_what_exists(name: str, *args: Any, **options: Any) -> Callable[[Any], Any]:
        def decorate(function: Any) -> Any:
            try:
                return register(name, *args, **options)(function)
            except RuntimeError:
                return function
        return decorate

    torch.library.register_fake = register_what_exists
    try:
        return pytest.importorskip("torchvision", exc_type=(ImportError, RuntimeError))
    finally:
        torch.library.register_fake = register
