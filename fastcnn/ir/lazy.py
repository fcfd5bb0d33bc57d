"""lazy: an attribute computed at first use. As functools.cached_property, but without the lock that it takes before CPython 3.12."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")


class lazy(Generic[T]):
    """Decorator of a method: its result is kept as an attribute. Two threads may both compute it, so the results must be equal."""

    def __init__(self, make: Callable[[Any], T]) -> None:
        self.make, self.name, self.__doc__ = make, make.__name__, make.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> lazy[T]: ...

    @overload
    def __get__(self, instance: object, owner: type | None = None) -> T: ...

    def __get__(self, instance: object | None, owner: type | None = None) -> lazy[T] | T:
        if instance is None:
            return self
        value = self.make(instance)
        object.__setattr__(instance, self.name, value)          # not through __dict__: see fastcnn_c/records.pxi
        return value
