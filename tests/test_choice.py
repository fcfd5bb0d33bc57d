"""What the planner picks: tile widths and blocks of the implicit GEMM follow from what outgrows L2."""
from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from graph_helper import floats, model, node

import fastcnn
from fastcnn import _native
from fastcnn.convolve import blocking
from fastcnn.convolve.implicit_gemm import implicit_gemm, pairs_rows
from fastcnn.convolve.planes_depthwise import PlanesDepthwise
from fastcnn.convolve.shape import ConvShape, Places, Problem, own_places
from fastcnn.convolve.winograd_cost import choose_winograd, winograd_cycles
from fastcnn.machine.current import planning_weights, weights_rate
from fastcnn.machine.numbers import Machine

KB, MB = 1 << 10, 1 << 20


@pytest.fixture(params=["haswell", "zen4", "sapphire_rapids"])
def machine(request: pytest.FixtureRequest, plan_for: Callable[..., Machine]) -> Machine:
    """256 KB, 1 MB and 2 MB of L2."""
    return plan_for(request.param)


def pointwise(side: int, ic: int, oc: int) -> ConvShape:
    return ConvShape(1, 1, ic, oc, 1, 1, 1, 1, 1, 1, 0, 0, side, side, side, side)


def places(shape: ConvShape, residual: bool = False) -> Places:
    x = (shape.ih * shape.iw * shape.ic, 1, shape.iw * shape.ic, shape.ic)
    y = (shape.oh * shape.ow * shape.oc, 1, shape.ow * shape.oc, shape.oc)
    return (x, y, y) if residual else (x, y)


def side_of(nbytes: float, channels: int) -> int:
    """Side of a map of so many bytes at least."""
    return int((nbytes / 4 / channels) ** 0.5) + 1


@pytest.mark.parametrize("residual", [False, True])
def test_outputs_count_as_streamed_only_where_the_maps_outgrow_l2(residual: bool, machine: Machine) -> None:
    for share, expected in ((0.2, 0), (1.1, 1 + residual)):
        shape = pointwise(side_of(share * machine.l2_bytes / (2 + residual), 64), 64, 64)
        assert blocking.streamed(shape, places(shape, residual), 1) == expected
    assert blocking.streamed(shape, places(shape, residual), 4) == 0          # four threads have four times the cache


@pytest.mark.parametrize("residual", [False, True])
def test_a_block_of_tiles_leaves_room_for_what_it_writes(residual: bool, machine: Machine) -> None:
    shape = pointwise(side_of(machine.l2_bytes, 256), 64, 256)
    where = places(shape, residual)
    for nv in range(1, 5):
        if not _native.gemm_max_mr(nv):
            continue
        pixels = shape.ow / -(-shape.ow // _native.gemm_max_mr(nv))       # of a tile
        per_pixel = 4 * (shape.ic + (1 + residual) * shape.oc)
        assert blocking.block_tiles(shape, nv, where, 1) * pixels * per_pixel <= machine.l2_bytes / 4


def test_windows_that_overlap_count_their_input_once(plan_for: Callable[..., Machine]) -> None:
    """7x1 over 17x17x224: the input is a quarter of a megabyte, not seven quarters."""
    shape = ConvShape(1, 1, 224, 256, 7, 1, 1, 1, 1, 1, 3, 0, 17, 17, 17, 17)
    assert shape.x_pixels == 17 * 17
    whole = shape.oh * -(-shape.ow // _native.gemm_max_mr(2))
    for l2_bytes, fits in ((4 * 4 * 224 * 17 * 17, True), (200 * KB, False)):
        plan_for(l2_bytes=l2_bytes)
        assert (blocking.block_tiles(shape, 2, places(shape), 1) == whole) == fits


def test_weights_that_l2_does_not_keep_are_read_once(plan_for: Callable[..., Machine]) -> None:
    """3x3 stride 2 on 35x35x384: the input fits 2 MB, 5.3 MB of weights do not; in 1 MB neither does."""
    shape = ConvShape(1, 1, 384, 384, 3, 3, 2, 2, 1, 1, 0, 0, 35, 35, 17, 17)
    whole = shape.oh * -(-shape.ow // _native.gemm_max_mr(2))
    for l2_bytes, once in ((2 * MB, True), (MB, False)):
        plan_for(l2_bytes=l2_bytes)
        assert (blocking.block_tiles(shape, 2, places(shape), 1) == whole) == once


def test_a_band_takes_all_of_l2_where_its_weights_do_not_stay_there(plan_for: Callable[..., Machine]) -> None:
    """3x3 stride 2 on 14x14: 15 pixels of 512 channels a row; blocks of few rows would read 9 MB of weights each."""
    plan_for("zen3", l2_bytes=512 * KB)
    strided = ConvShape(1, 1, 512, 512, 3, 3, 2, 2, 1, 1, 1, 1, 14, 14, 7, 7)
    grouped = ConvShape(1, 32, 32, 32, 3, 3, 1, 1, 1, 1, 1, 1, 7, 7, 7, 7)
    assert [blocking.block_rows(shape, 1) for shape in (strided, grouped)] == [7, 7]
    light = ConvShape(1, 1, 512, 8, 3, 3, 2, 2, 1, 1, 1, 1, 14, 14, 7, 7)
    assert blocking.block_rows(light, 1) == 1
    assert blocking.block_rows(strided, 4) == 2                               # an even share for each thread


@pytest.mark.parametrize(("groups", "threads", "splits"), [(1, 2, True), (32, 2, False), (32, 3, False), (32, 4, True)])
def test_threads_share_the_rows_of_a_band_of_groups(groups: int, threads: int, splits: bool, machine: Machine) -> None:
    """Seven rows of 1024 channels: shared columns would copy the band once a thread."""
    channels = 1024 // groups
    shape = ConvShape(1, groups, channels, channels, 3, 3, 1, 1, 1, 1, 1, 1, 7, 7, 7, 7)
    nv = max(1, channels // threads // _native.vector_length() // 2)
    panels = -(-channels // (nv * _native.vector_length()))
    assert blocking.splits_columns(shape, nv, True, threads) == (splits and panels >= threads)


@pytest.mark.parametrize("row", ["zen2", "zen3", "zen4"])
def test_winograd_blocks_lie_near_l2_where_the_products_hide_the_weights(isa: str, row: str, plan_for: Callable[..., Machine]) -> None:
    """42 tiles or fewer: 64x64, 128 to 128 channels in blocks of 26, 64 and 128 tiles takes 3.75, 3.89 and 5.30 ms (Zen 3)."""
    plan_for(row)
    for side, ic, oc in ((64, 128, 128), (112, 128, 128), (56, 128, 256), (28, 128, 192), (28, 128, 128)):
        m, tiles = choose_winograd((3, 3), ic, oc, side, side, 1, 1) or (0, 0)
        assert m == 4 and tiles <= 42


def test_weights_that_l3_does_not_keep_are_read_once(plan_for: Callable[..., Machine]) -> None:
    """100 rows of 2049 by 4096 columns: 34 MB of weights would come from memory for each block, where x comes from L3 for each panel."""
    shape = ConvShape(1, 1, 2049, 4096, 1, 1, 1, 1, 1, 1, 0, 0, 1, 100, 1, 100)
    whole = -(-shape.ow // _native.gemm_max_mr(2))
    for l3_bytes, once in ((32 * MB, True), (256 * MB, False)):
        plan_for("zen3", l2_bytes=512 * KB, l3_bytes=l3_bytes)
        assert (blocking.block_tiles(shape, 2, places(shape), 1) == whole) == once


def test_weights_that_the_caches_keep_do_not_come_from_memory(plan_for: Callable[..., Machine]) -> None:
    """The cost of reading weights favours what has fewest of them only in networks that are larger than a core's part of the caches."""
    machine = plan_for("sapphire_rapids")
    assert machine.memory < machine.l3_weights
    with planning_weights(machine.kept_bytes):
        assert weights_rate() == machine.l3_weights
        with planning_weights(machine.kept_bytes + 1):
            assert weights_rate() == machine.memory
        with ThreadPoolExecutor(1) as other:
            assert other.submit(weights_rate).result() == machine.memory
        with pytest.raises(ZeroDivisionError), planning_weights(machine.kept_bytes + 1):
            raise ZeroDivisionError
        assert weights_rate() == machine.l3_weights
    assert weights_rate() == machine.memory


@pytest.mark.parametrize("spare, wanted", [(0, "Winograd"), (6 * MB, "GEMM")])
def test_small_layers_by_how_many_weights_their_network_has(isa: str, spare: int, wanted: str, plan_for: Callable[..., Machine]) -> None:
    if isa == "scalar":
        pytest.skip("products take longer than weights from anywhere")
    plan_for("sapphire_rapids")
    weights = {"w": floats(64, 64, 3, 3) / 24, "v": floats(1, 1, 1, max(spare // 4, 1))}
    nodes = [node("Conv", ["x", "w"], ["t"], pads=[1] * 4), node("ReduceMax", ["t"], ["m"], keepdims=1), node("Mul", ["m", "v"], ["y"])]
    loaded = fastcnn.load(model(nodes, {"x": (1, 64, 4, 4)}, ["y"], weights), threads=1)
    assert wanted in str(loaded.choices()[0])


@pytest.mark.skipif(_native.vector_length() != 16, reason="strips of a wide tile are 256 bytes with vectors of 16")
def test_pixels_beyond_l2_are_written_in_wide_strips(machine: Machine) -> None:
    large, small = pointwise(side_of(machine.l2_bytes, 64), 16, 64), pointwise(14, 16, 64)
    assert implicit_gemm(large, places(large), 1).fields["nv"] == 4
    assert blocking.streamed(small, places(small), 1) == 0


def test_a_row_of_x_takes_tiles_with_several_sums(isa: str, machine: Machine) -> None:
    """One chain of sums takes a line of weights in four cycles; L3 and L2 give more."""
    shape = pointwise(1, 1280, 1000)
    assert implicit_gemm(shape, places(shape), 1).fields["nv"] >= 3


def test_threads_share_a_block_where_its_weights_weigh_more_than_its_barriers(plan_for):
    """16 tiles: two blocks of 8, for which each of two threads reads all weights, or one that both share."""
    plan_for("zen5")
    costs = {channels: [winograd_cycles((3, 3), 4, channels, channels, 16, tiles, 2) for tiles in (8, 16)] for channels in (24, 256)}
    assert costs[256][1] < costs[256][0] and costs[24][0] < costs[24][1]
    assert winograd_cycles((3, 3), 4, 256, 256, 16, 16, 1) > costs[256][1]


def test_weights_that_arrive_beside_the_products_bound_a_step(plan_for):
    """What is read again beside the products costs nothing until all weights take longer than they do: then blocks are larger."""
    for again, stream, expected in ((1e6, 1000.0, 1), (1e6, 0.1, 2), (0.5, 1000.0, 2)):
        plan_for("zen4", again=again, stream=stream)
        small, large = (winograd_cycles((3, 3), 4, 256, 256, 64, tiles, 1) for tiles in (22, 64))
        assert (1 if small < large else 2) == expected


@pytest.mark.parametrize(("ic", "stride", "l1d_bytes", "expected"), [(512, 2, 32 << 10, False), (512, 2, 64 << 10, True),
                                                                     (512, 1, 32 << 10, True), (256, 2, 32 << 10, True),
                                                                     (480, 2, 32 << 10, True)])
def test_rows_whose_pixels_share_few_sets_of_l1_are_not_taken_in_pairs(plan_for, ic, stride, l1d_bytes, expected):
    """Seven pixels of two rows, a page apart: 14 lines for the 8 ways of 32 KB."""
    plan_for("zen4", l1d_bytes=l1d_bytes)
    shape = ConvShape(1, 1, ic, 64, 3, 3, stride, stride, 1, 1, 1, 1, 7 * stride, 7 * stride, 7, 7)
    assert pairs_rows(shape, True) == (expected and _native.gemm_pair(7) > 0)


@pytest.mark.parametrize("isa", ["avx512"], indirect=True)
@pytest.mark.parametrize(("size", "side", "expected"), [(3, 14, True), (5, 14, True), (3, 7, False), (7, 14, False), (3, 28, True)])
def test_depthwise_rows_that_roll_stay_on_planes_unless_short(isa, size, side, expected):
    shape = ConvShape(1, 64, 1, 1, size, size, 1, 1, 1, 1, size // 2, size // 2, side, side, side, side)
    assert PlanesDepthwise().pays(Problem(shape, own_places(shape), planes=True)) is expected
