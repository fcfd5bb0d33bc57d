"""The kinds of convolution: a row of the table each, native and right, times written into the right cells."""
from __future__ import annotations

import pytest

from bench import kinds


@pytest.mark.parametrize("name", kinds.KINDS)
def test_kind_is_native_and_agrees_with_onnxruntime(name):
    ours, peer = kinds.measure(name, 0.0)
    assert ours == peer == float("inf"), "no time, no turn"


def test_kinds_are_the_rows_of_the_table():
    assert kinds.rows(kinds.TABLE.read_text()) == list(kinds.KINDS)


def test_filled_writes_the_last_three_cells():
    table = "| kind | x | f | o | r |\n|---|---|---|---|---|\n| plain | y | - | - | - |\n"
    text = f"a | b | 1 | 2 | 3 |\n{kinds.BEGIN}\n{table}{kinds.END}\n| plain | z |"
    assert kinds.filled(text, {"plain": (0.5, 1.0)}) == text.replace("| y | - | - | - |", "| y | 0.5 | 1 | 2.00 |")
