"""Everything that can compute a convolution: the one list that the layer benchmark shows and that tuning picks from."""
from __future__ import annotations

from collections.abc import Iterator

from fastcnn import _native
from fastcnn.convolve import conv as choice
from fastcnn.convolve import grouped
from fastcnn.convolve.conv import ConvChoice, ConvShape, Places
from fastcnn.convolve.width import MAX_NV
from fastcnn.convolve.winograd import BLOCK_SIZES, even_tiles, forms, tile_count

# Blocks around what the caches suggest: half and twice as much of the input at a time.
BLOCK_FACTORS = (0.5, 1, 2)


def candidates(shape: ConvShape, places: Places, threads: int) -> dict[str, ConvChoice]:
    """Name -> choice of every algorithm, tile width, way of reading x, block size and share of the threads.

    The planner's pick is among them. Left out is what would be wrong or past the error bound: F(4,3) of few channels, im2col where a
    residual (the third of places) may be the output itself.
    """
    listed = {**dict(_depthwise(shape)), **dict(_grouped(shape, threads))}
    listed.update(_dilated_winograd(shape, places, threads))
    planes = shape.ic > 1 and places[0][1] > 1          # row-major x: only a band is made from it
    flat = choice.flatten(shape, places)
    for nv in range(1, MAX_NV + 1):
        if _native.gemm_max_mr(nv) and nv <= -(-shape.oc // _native.vector_length()):
            listed.update(_conv(flat, nv, places, threads, planes))
            if shape.kh * shape.kw > 1 and len(places) == 2 and not planes:
                listed[f"im2col nv{nv}"] = choice.im2col(flat, nv)
    if choice.is_winograd_window(shape) and shape.dilations == (1, 1):
        listed.update(_winograd(shape, threads))
    picked = choice.choose(shape, places, threads)
    if picked not in listed.values():
        listed[f"{picked.algorithm} nv{picked.fields['nv']} of the model"] = picked
    return listed


def name_of(picked: ConvChoice, listed: dict[str, ConvChoice]) -> str:
    """The name of a choice among candidates."""
    return next(name for name, other in listed.items() if other == picked)


def bits(picked: ConvChoice) -> tuple[object, ...]:
    """What decides the last bits of the result. Tile widths, blocks and threads do not: every sum runs over k in the same order."""
    return picked.algorithm, picked.fields.get("m"), picked.shape.ic


def _depthwise(shape: ConvShape) -> Iterator[tuple[str, ConvChoice]]:
    if choice.is_depthwise(shape) or choice.shares_vectors(shape):
        yield "depthwise", choice.depthwise(shape)


def _grouped(shape: ConvShape, threads: int) -> Iterator[tuple[str, ConvChoice]]:
    if choice.fills_vectors(shape):
        yield "grouped", choice.rotated_groups(shape, threads)
    if grouped.laces(shape.groups, shape.ic, shape.oc, _native.vector_length()):
        yield "laced", choice.laced(shape, threads)


def _conv(shape: ConvShape, nv: int, places: Places, threads: int, planes: bool) -> Iterator[tuple[str, ConvChoice]]:
    """The conv step reading x in place and through a band of padded rows."""
    for band in (False, True):
        if ((shape.splits_taps or planes) and not band) or (band and shape.k == shape.ic and not shape.touches_padding):
            continue
        whole = shape.oh if band else shape.oh * -(-shape.ow // _native.gemm_max_mr(nv))
        usual = choice.block_rows(shape, threads) if band else choice.block_tiles(shape, nv, places, threads)
        for block in sorted({max(1, min(int(usual * factor), whole)) for factor in BLOCK_FACTORS}):
            for split in (False, True)[:1 if threads == 1 else 2]:
                name = f"conv nv{nv} {'band' if band else 'in place'} b{block}{' split' if split else ''}"
                yield name, choice.conv(shape, nv, band, block, split)


def _winograd(shape: ConvShape, threads: int) -> Iterator[tuple[str, ConvChoice]]:
    kernel = shape.kh, shape.kw
    for m in forms(kernel, shape.ic):
        total = tile_count(kernel, m, shape.n, shape.oh, shape.ow)
        for tiles in sorted({even_tiles(total, size, threads) for size in BLOCK_SIZES}):
            yield f"winograd m{m} t{tiles}", choice.winograd(shape, m, tiles)


def _dilated_winograd(shape: ConvShape, places: Places, threads: int) -> Iterator[tuple[str, ConvChoice]]:
    phase = choice.phase_of(shape)
    if phase is not None:
        for name, picked in _winograd(phase, threads):
            yield f"{name} phases", choice.on_phases(picked, shape, places)
