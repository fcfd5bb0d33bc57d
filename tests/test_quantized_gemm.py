"""Tiles that the planner picks for products of bytes."""
from __future__ import annotations

from dataclasses import replace

import pytest

from fastcnn import _native
from fastcnn.convolve.arithmetic import U8S8
from fastcnn.convolve.ladder import choose
from fastcnn.convolve.quantized_gemm import Tiles, has_dots, tiles
from fastcnn.convolve.shape import ConvShape, Problem, own_places
from fastcnn.machine.current import using
from fastcnn.machine.table import ROWS

ROW = ConvShape(1, 1, 2048, 1000, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1, arithmetic=U8S8)


@pytest.mark.parametrize("row", ["zen3", "sapphire_rapids"])
def test_operands_are_widened_beforehand_where_many_pixels_share_a_panel(isa: str, row: str) -> None:
    with using(ROWS[row]):
        for shape in (replace(ROW, ic=128, oc=512, ih=28, iw=28, oh=28, ow=28),
                      replace(ROW, ic=64, oc=64, kh=3, kw=3, pt=1, pl=1, ih=56, iw=56, oh=56, ow=56)):
            assert choose(Problem(shape, own_places(shape), 1)).fields["wide"] == int(isa == "avx2")
        assert choose(Problem(ROW, own_places(ROW), 1)).fields["wide"] == 0


def test_every_tile_has_rows_and_a_name_of_its_own(level: str) -> None:
    listed = tiles(1000)
    assert all(how.tallest > 0 for how in listed) and len({str(how) for how in listed}) == len(listed)
    assert any(how.wide for how in listed) == (_native.current_isa() == "avx2") and not (has_dots() and any(how.wide for how in listed))
    assert tiles(1)[0] == Tiles(1)
