"""quick: frozen dataclasses that are made by the thousand while a model is planned."""
from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any, TypeVar

C = TypeVar("C", bound=type)


def quick(cls: C) -> C:
    """The frozen dataclass with an __init__ that fills its __dict__; its own sets one field at a time, three times as long."""
    own: dict[str, Any] = {"MISSING": MISSING}
    params, lines = ["self"], ["own = self.__dict__"]
    for field in sorted(fields(cls), key=lambda field: bool(field.kw_only)):            # type: ignore[arg-type]
        if field.kw_only and "*" not in params:
            params.append("*")
        value, default = field.name, f"default_{field.name}"
        if field.default_factory is not MISSING:
            own[default] = field.default_factory
            params.append(f"{field.name}=MISSING")
            value = f"{default}() if {field.name} is MISSING else {field.name}"
        elif field.default is not MISSING:
            own[default] = field.default
            params.append(f"{field.name}={default}")
        else:
            params.append(field.name)
        lines.append(f"own[{field.name!r}] = {value}")
    if hasattr(cls, "__post_init__"):
        lines.append("self.__post_init__()")
    body = "\n    ".join(lines)
    exec(f"def __init__({', '.join(params)}):\n    {body}\n", own)
    own["__init__"].__qualname__ = f"{cls.__qualname__}.__init__"
    cls.__init__ = own["__init__"]                                                     # type: ignore[misc]
    return cls
