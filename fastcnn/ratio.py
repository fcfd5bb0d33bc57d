"""Ratio: an exact quotient of integers. The standard library's Fraction does more, and its import takes 4 ms, with decimal."""
from __future__ import annotations

import math


class Ratio:
    """numerator / denominator in lowest terms, the denominator positive. Raises ZeroDivisionError."""

    __slots__ = ("denominator", "numerator")

    def __init__(self, numerator: int, denominator: int = 1) -> None:
        if not denominator:
            raise ZeroDivisionError(f"{numerator} / 0")
        common = math.gcd(numerator, denominator)
        divisor = common if denominator > 0 else -common
        self.numerator, self.denominator = numerator // divisor, denominator // divisor

    @staticmethod
    def of(value: Ratio | float) -> Ratio:
        """The exact value of a number. Raises OverflowError, ValueError for what is not finite."""
        return value if isinstance(value, Ratio) else Ratio(*value.as_integer_ratio())

    def __add__(self, other: Ratio | int) -> Ratio:
        b = Ratio.of(other)
        return Ratio(self.numerator * b.denominator + b.numerator * self.denominator, self.denominator * b.denominator)

    def __sub__(self, other: Ratio | int) -> Ratio:
        b = Ratio.of(other)
        return Ratio(self.numerator * b.denominator - b.numerator * self.denominator, self.denominator * b.denominator)

    def __mul__(self, other: Ratio | int) -> Ratio:
        b = Ratio.of(other)
        return Ratio(self.numerator * b.numerator, self.denominator * b.denominator)

    def __truediv__(self, other: Ratio | int) -> Ratio:
        b = Ratio.of(other)
        return Ratio(self.numerator * b.denominator, self.denominator * b.numerator)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (Ratio, int, float)):
            return NotImplemented
        if isinstance(other, float) and not math.isfinite(other):
            return False
        b = Ratio.of(other)
        return self.numerator == b.numerator and self.denominator == b.denominator

    def __lt__(self, other: Ratio | int) -> bool:
        b = Ratio.of(other)
        return self.numerator * b.denominator < b.numerator * self.denominator

    def __gt__(self, other: Ratio | int) -> bool:
        b = Ratio.of(other)
        return self.numerator * b.denominator > b.numerator * self.denominator

    def __hash__(self) -> int:
        value = float(self)
        return hash(value) if self == value else hash((self.numerator, self.denominator))

    def __floor__(self) -> int:
        return self.numerator // self.denominator

    def __ceil__(self) -> int:
        return -(-self.numerator // self.denominator)

    def __float__(self) -> float:
        return self.numerator / self.denominator

    def __repr__(self) -> str:
        return f"{self.numerator}/{self.denominator}"
