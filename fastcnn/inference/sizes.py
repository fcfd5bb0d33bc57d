"""Sizes of axes and arithmetic on them: numbers, symbols, and sums of products of symbols in one spelling each.

A size is an int or a string; equal strings are equal sizes, two different strings may be equal as well. "x.2" is axis 2 of the value x,
"x.2+4" four more, "div(x.2-1,2)+1" what a stride of 2 leaves of it. None stands for a size of which nothing is known.
"""
from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from fastcnn.ir.graph import Dim
from fastcnn.ir.record import dataclass

# Of longer expressions nobody asks whether they are equal.
MAX_TERMS, MAX_FACTORS, MAX_TEXT = 8, 6, 200
# Sizes and elements of shapes are int64.
LARGEST = (1 << 63) - 1
# A value's name that reads as nothing else in an expression.
_PLAIN = re.compile(r"[^\s()'\"+*,-]+")

Terms = Mapping[tuple[str, ...], int]      # product of symbols, in order -> how often it is added; () is the number


class Expression(str):
    """A size that is no single symbol, spelled out; `terms` is what it adds up."""

    terms: Terms

    def __new__(cls, terms: Terms) -> Expression:
        parts: list[str] = []
        for factors, times in sorted(terms.items(), key=lambda term: (not term[0], term[0])):
            product = "*".join([*([str(abs(times))] if abs(times) != 1 or not factors else []), *factors])
            parts.append(f"{'-' if times < 0 else '+' * bool(parts)}{product}")
        made = super().__new__(cls, "".join(parts))
        made.terms = terms
        return made

    def __reduce__(self) -> tuple[type[Expression], tuple[Terms]]:
        return Expression, (dict(self.terms),)


def numbers(sizes: Iterable[Dim]) -> tuple[int, ...]:
    """The sizes that are numbers: all of them, once the sizes they are computed from are numbers."""
    return tuple([size for size in sizes if isinstance(size, int)])


def symbol(value: str, axis: int) -> str:
    """The symbol for the size of this axis of a value."""
    return f"{value if _PLAIN.fullmatch(value) else repr(value)}.{axis}"


def _terms(size: int | str) -> Terms:
    return {(): size} if isinstance(size, int) else size.terms if isinstance(size, Expression) else {(size,): 1}


def _of(terms: Mapping[tuple[str, ...], int]) -> Dim:
    terms = {factors: times for factors, times in terms.items() if times}
    if not terms.keys() - {()}:
        number = terms.get((), 0)
        return number if -LARGEST <= number <= LARGEST else None
    if len(terms) == 1:
        (factors, times), = terms.items()
        if times == 1 and len(factors) == 1:
            return factors[0]
    if len(terms) > MAX_TERMS or max(map(len, terms)) > MAX_FACTORS or max(map(abs, terms.values())) > LARGEST:
        return None
    made = Expression(terms)
    return made if len(made) <= MAX_TEXT else None


def plus(a: Dim, b: Dim) -> Dim:
    """a + b."""
    if a is None or b is None:
        return None
    if isinstance(a, int) and isinstance(b, int):
        return a + b if -LARGEST <= a + b <= LARGEST else None
    total = dict(_terms(a))
    for factors, times in _terms(b).items():
        total[factors] = total.get(factors, 0) + times
    return _of(total)


def minus(a: Dim, b: Dim) -> Dim:
    """a - b."""
    if isinstance(a, int) and isinstance(b, int):
        return a - b if -LARGEST <= a - b <= LARGEST else None
    return plus(a, times(b, -1))


def times(a: Dim, b: Dim) -> Dim:
    """a * b."""
    if a is None or b is None:
        return 0 if a == 0 or b == 0 else None
    if isinstance(a, int) and isinstance(b, int):
        return a * b if -LARGEST <= a * b <= LARGEST else None
    total: dict[tuple[str, ...], int] = {}
    for left, m in _terms(a).items():
        for right, n in _terms(b).items():
            factors = tuple(sorted(left + right))
            total[factors] = total.get(factors, 0) + m * n
    return _of(total)


def divided(a: Dim, by: int) -> Dim:
    """a / by rounded down, by > 0."""
    if a is None or by == 1:
        return a
    if isinstance(a, int):
        return a // by
    terms = _terms(a)
    if all(n % by == 0 for n in terms.values()):
        return _of({factors: n // by for factors, n in terms.items()})
    return function("div", a, by)


def function(name: str, *arguments: Dim) -> Dim:
    """A size as an opaque function of others, for instance "div(x.2,2)"."""
    text = f"{name}({','.join(map(str, arguments))})"
    return None if None in arguments or len(text) > MAX_TEXT else text


def product(sizes: Iterable[Dim]) -> Dim:
    """The product of the sizes."""
    total: Dim = 1
    for size in sizes:
        total = times(total, size)
    return total


def quotient(sizes: Sequence[Dim], others: Sequence[Dim]) -> Dim:
    """product(sizes) / product(others) where the factors cancel, else None."""
    number, factors = _split(sizes)
    below, taken = _split(others)
    for factor in taken:
        if factor not in factors:
            return None
        factors.remove(factor)
    if number is None or not below or number % below:
        return None
    return product([number // below, *factors])


def _split(sizes: Iterable[Dim]) -> tuple[int | None, list[str]]:
    """(product of the numbers, list of symbolic factors); (None, []) where a size is unknown."""
    number = 1
    factors: list[str] = []
    for size in sizes:
        if size is None:
            return None, []
        terms = _terms(size)
        if len(terms) == 1:
            (symbols, n), = terms.items()
            number *= n
            factors += symbols
        else:
            factors.append(str(size))
    return number, factors


@dataclass(frozen=True)
class Contents:
    """The elements of a small integer tensor: a vector, or, scalar=True, a single number."""

    dims: tuple[Dim, ...]
    scalar: bool = False

    @property
    def known(self) -> np.ndarray | None:
        """The int64 tensor when all elements are numbers."""
        if not all(isinstance(d, int) for d in self.dims):
            return None
        return np.array(self.dims, np.int64).reshape(() if self.scalar else (len(self.dims),))
