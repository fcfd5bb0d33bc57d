"""When a convolution is computed in bfloat16 (precision="bf16"): where the machine's products of pairs are quick enough."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest

import fastcnn._native as _native
from fastcnn.convolve import ladder
from fastcnn.convolve.bf16_gemm import BF16_GEMM
from fastcnn.convolve.shape import ConvShape, Problem, own_places
from fastcnn.machine.numbers import Machine
from fastcnn.machine.table import ROWS

ARITHMETIC = ConvShape(1, 1, 256, 256, 1, 1, 1, 1, 1, 1, 0, 0, 28, 28, 28, 28)          # limited by products
WEIGHTS = ConvShape(1, 1, 4096, 4096, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1)                # a vector: by reading weights


@pytest.fixture(autouse=True)
def level(pairs: str) -> None:
    """Where an instruction multiplies pairs: tile registers, and scalar code, have prices of their own."""
    if pairs != "avx512_vnni":
        pytest.skip(f"{pairs} has prices of its own")


def picked(shape: ConvShape) -> bool:
    """Whether the shape is computed in bfloat16."""
    return ladder.in_bfloat16(Problem(shape, own_places(shape), 1)) is not None


@pytest.mark.parametrize("dots, faster", [(1.0, True), (4.0, False)])
def test_products_of_pairs_have_the_price_of_the_machine(plan_for: Callable[..., Machine], dots: float, faster: bool) -> None:
    """A pair in the time of one FMA is twice as fast as floats, in that of four half as fast; weights are half as many bytes either way."""
    plan_for("sapphire_rapids", wide=replace(ROWS["sapphire_rapids"].wide, dots=dots))
    assert picked(ARITHMETIC) is faster
    assert picked(WEIGHTS)


def test_cycles_follow_the_price(plan_for: Callable[..., Machine]) -> None:
    took = []
    for dots in (1.0, 2.0, 3.0):
        plan_for("zen4", wide=replace(ROWS["zen4"].wide, dots=dots))
        took.append(BF16_GEMM.cycles(BF16_GEMM.choose(Problem(ARITHMETIC, own_places(ARITHMETIC), 1)), 1))
    products = 28 * 28 * 256 * 256 / 2 / _native.vector_length() / ROWS["zen4"].wide.fmas
    assert [b - a for a, b in pairwise(took)] == pytest.approx([products] * 2)


def test_processors_whose_pairs_are_slow_keep_floats(plan_for: Callable[..., Machine]) -> None:
    rounds = {}
    for row in ("sapphire_rapids", "zen4", "zen5", "zen5_mobile"):
        plan_for(row)
        rounds[row] = picked(ARITHMETIC)
    assert rounds == {"sapphire_rapids": False, "zen4": True, "zen5": True, "zen5_mobile": True}
