"""dataclass: a faster replacement of the standard library's decorator, for the sixty classes that a load imports.

dataclasses compiles up to six methods for each class at import, which takes 0.4 ms. Here all classes share their methods. __init__ is made
by the native module where make_with() has named it, else compiled when the first instance is made. Making a class takes a tenth of the
time, filling an instance a third.
"""
from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import MISSING, FrozenInstanceError, fields
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeVar, cast

if TYPE_CHECKING:
    import inspect

Record = TypeVar("Record")


class Maker(Protocol):
    """What the native module does for these classes; fastcnn_c/records.pxi says how."""

    RECORD_NEEDED: int
    RECORD_VALUE: int
    RECORD_FACTORY: int

    def record_init(self, names: tuple[str, ...], kinds: tuple[int, ...], values: tuple[Any, ...], places: int, asked: int, post: bool,
                    odd: Callable[..., None]) -> Callable[..., None]:
        """An __init__ that sets these attributes."""

    def record_changed(self, instance: Any, names: tuple[str, ...], changes: dict[str, Any]) -> Any:
        """A copy of an instance with some of these attributes changed."""


_makers: list[Maker] = []


def make_with(maker: Maker) -> None:
    """Sets the Maker. A module that may import the native module calls this once; this file may not import it."""
    _makers[:] = [maker]


def changed(instance: Record, names: tuple[str, ...], changes: dict[str, Any]) -> Record:
    """A copy of an instance that has these attributes and no others, some of them changed."""
    if _makers:
        made: Record = _makers[0].record_changed(instance, names, changes)
        return made
    made = object.__new__(type(instance))
    for name in names:
        object.__setattr__(made, name, changes[name] if name in changes else getattr(instance, name))
    return made


def replace(instance: Record, /, **changes: Any) -> Record:
    """dataclasses.replace for an instance of these classes, in a quarter of the time."""
    names = FIELDS.get(type(instance))
    if names is None or not _makers or not changes.keys() <= names.keys():
        return dataclasses.replace(instance, **changes)             # type: ignore[type-var]
    made: Any = changed(instance, tuple(names), changes)
    if hasattr(made, "__post_init__"):
        made.__post_init__()
    return cast(Record, made)


# Class -> its fields, all of which __init__ takes.
FIELDS: dict[type, dict[str, None]] = {}

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:
    def dataclass(cls: type | None = None, /, *, frozen: bool = False, init: bool = True, eq: bool = True) -> Any:
        """As dataclasses.dataclass with these options: fields(), replace(), asdict() and the rest work on it."""
        def decorate(cls: type) -> type:
            own = set(cls.__dict__)
            dataclasses.dataclass(init=False, repr=False, eq=False)(cls)
            methods = {"__repr__": _repr}
            if init:
                methods["__init__"] = _native_init(cls) if _makers else _late_init(cls)
                methods["__signature__"] = _Signature()
                if "__init__" not in own and all(field.init for field in fields(cls)):
                    FIELDS[cls] = dict.fromkeys(field.name for field in fields(cls))
            if eq:
                methods |= _comparison(cls, frozen)
            if frozen:
                methods |= {"__setattr__": _refuse, "__delattr__": _refuse}
            for name, method in methods.items():
                if name not in own:
                    setattr(cls, name, method)
            return cls

        return decorate if cls is None else decorate(cls)


def _late_init(cls: Any) -> Callable[..., None]:
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        cls.__init__ = _native_init(cls) if _makers else _compiled_init(cls)     # two threads at once both make it, and it is the same
        cls.__init__(self, *args, **kwargs)

    return __init__


def _native_init(cls: Any) -> Callable[..., None]:
    """An __init__ by the native module; one is compiled for arguments that it does not take, so that the error is Python's own."""
    native = _makers[0]
    ordered = sorted(fields(cls), key=lambda field: 2 * (not field.init) + bool(field.kw_only))
    kinds: list[int] = []
    values: list[Any] = []
    for field in ordered:
        if field.default_factory is not MISSING:
            kinds.append(native.RECORD_FACTORY)
            values.append(field.default_factory)
        else:
            kinds.append(native.RECORD_VALUE if field.default is not MISSING else native.RECORD_NEEDED)
            values.append(field.default)
    places = sum(field.init and not field.kw_only for field in ordered)
    return native.record_init(tuple(field.name for field in ordered), tuple(kinds), tuple(values), places,
                              sum(field.init for field in ordered), hasattr(cls, "__post_init__"),
                              lambda self, *args, **kwargs: _compiled_init(cls)(self, *args, **kwargs))


class _Signature:
    """The parameters of a class for inspect.signature(), made when they are asked for; not those of a subclass with its own __init__."""

    def __get__(self, instance: object, owner: Any) -> inspect.Signature:
        if "__signature__" not in owner.__dict__:
            raise AttributeError("__signature__")
        import inspect
        whole = inspect.signature(_compiled_init(owner))
        return whole.replace(parameters=list(whole.parameters.values())[1:])


def _compiled_init(cls: Any) -> Any:
    """Compiles an __init__ that writes to __dict__ directly."""
    own: dict[str, Any] = {"MISSING": MISSING}
    params, lines = ["self"], ["own = self.__dict__"]
    for field in sorted(fields(cls), key=lambda field: bool(field.kw_only)):
        value, default = field.name, f"default_{field.name}"
        if not field.init:
            if field.default_factory is not MISSING:
                own[default] = field.default_factory
                lines.append(f"own[{field.name!r}] = {default}()")
            elif field.default is not MISSING:
                own[default] = field.default
                lines.append(f"own[{field.name!r}] = {default}")
            continue
        if field.kw_only and "*" not in params:
            params.append("*")
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
    return own["__init__"]


def _comparison(cls: Any, frozen: bool) -> dict[str, Any]:
    """__eq__ of instances of one class by their compared fields; __hash__ for frozen classes only."""
    names = [field.name for field in fields(cls) if field.compare]
    values: Callable[[Any], Any] = attrgetter(*names) if len(names) > 1 else lambda self: tuple([getattr(self, name) for name in names])

    def __eq__(self: Any, other: object) -> Any:
        return values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented

    def __hash__(self: Any) -> int:
        return hash(values(self))

    return {"__eq__": __eq__, "__hash__": __hash__ if frozen else None}


def _repr(self: Any) -> str:
    shown = ", ".join(f"{field.name}={getattr(self, field.name)!r}" for field in fields(self) if field.repr)
    return f"{self.__class__.__qualname__}({shown})"


def _refuse(self: Any, name: str, *value: Any) -> NoReturn:
    raise FrozenInstanceError(f"cannot {'assign to' if value else 'delete'} field {name!r}")
