"""fastcnn.ratio.Ratio against the standard library's Fraction."""
from __future__ import annotations

import math
import operator
from fractions import Fraction

import numpy as np
import pytest

from fastcnn.ratio import Ratio

VALUES = [(0, 1), (1, 1), (1, 2), (-1, 2), (3, -7), (14, 4), (-9, 3), (224, 225), (2 ** 70 + 1, 3), (1, 2 ** 70)]


@pytest.mark.parametrize("a", VALUES)
def test_ratio_alone_is_the_fraction(a):
    ours, theirs = Ratio(*a), Fraction(*a)
    assert (ours.numerator, ours.denominator) == theirs.as_integer_ratio()
    assert (math.floor(ours), math.ceil(ours), float(ours)) == (math.floor(theirs), math.ceil(theirs), float(theirs))
    assert np.float32(ours) == np.float32(theirs)
    assert ours == Ratio.of(ours) and (ours == 1) == (theirs == 1) and (ours == 0.5) == (theirs == 0.5) and ours != math.inf
    assert str(ours) == f"{theirs.numerator}/{theirs.denominator}"


@pytest.mark.parametrize("compute", [operator.add, operator.sub, operator.mul, operator.truediv, operator.lt, operator.gt, operator.eq])
def test_ratio_with_another_is_the_fraction(compute):
    for a in VALUES:
        for b in VALUES:
            if b[0] or compute is not operator.truediv:
                ours, theirs = compute(Ratio(*a), Ratio(*b)), compute(Fraction(*a), Fraction(*b))
                assert ours == theirs if isinstance(ours, bool) else (ours.numerator, ours.denominator) == theirs.as_integer_ratio()


def test_ratio_of_a_float_is_exact_and_equal_numbers_have_one_hash():
    assert (Ratio.of(0.1).numerator, Ratio.of(0.1).denominator) == (0.1).as_integer_ratio()
    assert {Ratio(1, 2), Ratio(2, 4), 0.5} == {0.5} and {Ratio(4, 2), 2} == {2}
    assert Ratio(1, 2) != "1/2"
    with pytest.raises(ZeroDivisionError):
        Ratio(1, 0)
    with pytest.raises(OverflowError):
        Ratio.of(math.inf)
