"""Measures the numbers of this machine: one thread, a second or two, on a quiet machine. Runs only on request (fastcnn.machine --measure).

Some numbers are copied from the processor's row. ring_bytes, line, spill, l2_weights, l3_weights, again, stream, prefetch and products take
whole layers or networks to find out. chains, panel and l2_read are partly hidden by arithmetic: measured alone they made worse picks
(bench/notes/machine.md).
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

import fastcnn._native as _native
from fastcnn.machine.clock import cycles_in_turn, row, step
from fastcnn.machine.numbers import WIDE, Core, Machine

SECONDS = 0.02              # of each time
SIDE, MANY = 32, 8          # of the maps of whole convolutions; vectors of their channels
LARGEST = 128 << 20         # bytes of weights that are in no cache
MOST_FMAS = 2.0             # a cycle: no x86 core has more units
TILES_OF_PAIRS = frozenset({"avx512_amx"})       # levels whose products in bfloat16 have prices of their own (convolve/bf16_gemm.py)
HIDDEN = 0.5                # cycles: what arithmetic hides comes out as about nothing, once more and once less


def measured(machine: Machine) -> Machine:
    """The given machine with measured numbers in place of those that can be measured. Restores the instruction set."""
    before = _native.current_isa()
    try:
        _native.set_isa(_native.isas()[-1])
        machine = replace(machine, name=f"measured, {machine.name}", **_memory(machine))
        for isa in _native.isas():
            _native.set_isa(isa)
            vector = _native.vector_length()
            if vector >= WIDE:
                machine = replace(machine, wide=_core(machine, vector))
            elif vector > 1:
                machine = replace(machine, narrow=_core(machine, vector))
        _native.set_isa(_native.levels()[-1])
        if _native.vector_length() >= WIDE and _native.pgemm_max_mr(2) and _native.current_isa() not in TILES_OF_PAIRS:
            machine = replace(machine, wide=replace(machine.wide, dots=_pairs_of_halves(machine.wide)))
    finally:
        _native.set_isa(before)
    return machine


def cycles(*runs: Callable[[], object], seconds: float = SECONDS) -> list[float]:
    """The shortest time of each run in cycles; they take turns, for `seconds` each."""
    for run in runs:
        run()
    return cycles_in_turn(runs, seconds * len(runs))


def _core(machine: Machine, vector: int) -> Core:
    """The rates of a Core, for vectors of the current instruction set."""
    tiles = [(nv, _native.gemm_max_mr(nv)) for nv in range(1, 5) if _native.gemm_max_mr(nv)]
    steps = dict(zip(tiles, _steps_of_k(tiles)))
    fmas = max(mr * nv / step for (nv, mr), step in steps.items())
    core = replace(machine.core(vector), fmas=_rounded(min(fmas, MOST_FMAS)), load=_rounded(steps[tiles[0]] / sum(tiles[0])))
    return replace(core, **_products_of_bytes(core, vector), **_conversions(vector), **_convolutions(core, vector))


def _steps_of_k(tiles: Sequence[tuple[int, int]]) -> list[float]:
    """Cycles that register tiles (nv, mr) take for one step of k, with operands in L1."""
    took = cycles(*(row(nv, mr, 1, k, 200) for nv, mr in tiles for k in (32, 96)))
    return [(long - short) / 200 / 64 for short, long in zip(took[::2], took[1::2])]


def _products_of_bytes(core: Core, vector: int) -> dict[str, float]:
    """FMAs in whose time a vector of sums takes four products of bytes a lane: what panels of them take for more words of k."""
    nv, panels, tiles, few, many = 2, 4, 16, 16, 48
    rows = {"widened": _native.qgemm_max_mr(nv), "pairs": _native.qwide_max_mr(nv)}
    there = {name: mr for name, mr in rows.items() if mr}
    took = cycles(*(_pixels_of_bytes(4 * k, panels * nv * vector, tiles * mr, nv, int(name == "pairs")) for name, mr in there.items()
                    for k in (few, many)))
    return {name: _rounded(core.fmas * (long - short) / ((many - few) * tiles * mr * panels * nv))
            for (name, mr), short, long in zip(there.items(), took[::2], took[1::2])}


def _pairs_of_halves(core: Core) -> float:
    """FMAs in whose time a vector of sums takes a pair of products in bfloat16: what tiles of them take for more pairs of k."""
    nv, tiles, few, many = 2, 16, 16, 48
    mr = _native.pgemm_max_mr(nv)
    short, long = cycles(*(_pixels_of_halves(2 * k, nv * _native.vector_length(), tiles * mr, nv) for k in (few, many)))
    return _rounded(core.fmas * (long - short) / ((many - few) * tiles * mr * nv))


def _pixels_of_halves(ic: int, oc: int, count: int, nv: int) -> Callable[[], object]:
    """A 1x1 convolution in bfloat16 over a row of so many pixels that lie in bfloat16 already."""
    ones = dict.fromkeys(("n", "kh", "kw", "sh", "sw", "dh", "dw", "ih", "oh", "groups", "x_half"), 1)
    fields = ones | {"iw": count, "ow": count, "ic": ic, "oc": oc, "nv": nv, "block": count, "x_pixel": ic, "x_row": count * ic,
                     "y_pixel": oc, "y_row": count * oc}
    x, packed = np.full(count * ic, 0x3f80, np.uint16), np.full(oc * ic, 0x3f80, np.uint16)
    return step("conv_bf16", (np.empty(count * oc, np.float32), x, packed, None, None, None), fields)


def _conversions(vector: int) -> dict[str, float]:
    """Cycles of a vector of floats that becomes bytes, and the other way: what twice as many elements in L1 take longer."""
    few, many = 2048, 4096
    took = cycles(*(_conversion(kind, count) for kind in ("quantise", "dequantise") for count in (few, many)))
    return {kind: _beside((long - short) * vector / (many - few))
            for kind, short, long in zip(("quantise", "dequantise"), took[::2], took[1::2])}


def _conversion(kind: str, count: int) -> Callable[[], object]:
    floats, whole = np.linspace(0, 200, count, dtype=np.float32), np.zeros(count, np.uint8)
    fields: dict[str, Any] = {"ndim": 1, "shape": (count,), "y_strides": (1,), "x_strides": (1,), "scale": 0.5, "zero": 3}
    return step(kind, (whole, floats) if kind == "quantise" else (floats, whole), fields)


def _pixels_of_bytes(ic: int, oc: int, count: int, nv: int, wide: int) -> Callable[[], object]:
    """A 1x1 convolution of bytes over a row of so many pixels."""
    ones = dict.fromkeys(("n", "kh", "kw", "sh", "sw", "dh", "dw", "ih", "oh", "groups", "block"), 1)
    fields = ones | {"iw": count, "ow": count, "ic": ic, "oc": oc, "nv": nv, "wide": wide, "to": 2, "x_pixel": ic, "x_row": count * ic,
                     "y_pixel": oc, "y_row": count * oc, "hi": 255}
    x, y = np.ones(count * ic + 3, np.uint8), np.empty(count * oc, np.uint8)
    packed = _native.pack_qconv(np.ones((oc, ic, 1, 1), np.int8), 1, nv, True)
    return step("qconv", (y, x, packed, np.zeros(oc, np.int32), np.ones(oc, np.float32), None, None, None), fields)


def _convolutions(core: Core, vector: int) -> dict[str, float]:
    """Costs around the products (bands, transforms, im2col): differences between pairs of convolutions that differ in one of them."""
    pixels, few, many = SIDE * SIDE, 2 * vector, MANY * vector
    found = {}
    for name, kernel in (("both", (3, 3)), ("one", (1, 3))):
        positions = 36 if name == "both" else 6
        tiles = pixels // 16 if name == "both" else pixels // 4
        products = few * MANY * core.products / core.fmas
        took = cycles(*(_winograd(kernel, ic, oc) for ic, oc in ((many, few), (few, many))))
        wide, narrow = (each / (tiles * positions) - products for each in took)
        found[f"{name}_in"] = _beside((MANY * wide - 2 * narrow) / (MANY * MANY - 4))
        found[f"{name}_out"] = _beside((MANY * narrow - 2 * wide) / (MANY * MANY - 4))
    work = 9 * pixels * MANY
    runs = (_dense("conv", many, few, padding=0), _dense("conv", many, few, padding=1), _dense("im2col", many, few, padding=1))
    plain, padded, gathered, depthwise = cycles(*runs, _depthwise(many))
    found["band"], found["gather"] = _beside((padded - plain) / work), _beside((gathered - plain) / work)
    found["depthwise"] = _rounded(depthwise / work)
    return found


def _memory(machine: Machine) -> dict[str, Any]:
    """Bandwidth of weights from memory, and the fixed time of a call of a tile."""
    nv = 2 if _native.gemm_max_mr(2) else 1
    mr = _native.gemm_max_mr(nv)
    short, long, near = cycles(*(row(nv, mr, 1, k, 200) for k in (32, 96)), row(nv, 16 * mr, 1, 32, 20))
    return {"tile": _beside(near / 320 - 32 * (long - short) / 200 / 64), "memory": _rounded(_stream(LARGEST))}


def _stream(nbytes: int) -> float:
    """Bytes per cycle at which a matrix-vector product reads its weights."""
    k, width = 4096, 4 * _native.vector_length()
    panels = max(1, nbytes // (4 * k * width))
    return 4 * k * width * panels / cycles(row(4 if _native.gemm_max_mr(4) else 1, 1, panels, k, 1), seconds=5 * SECONDS)[0]


def _places(ic: int, oc: int, kernel: tuple[int, int], padding: int = 1) -> dict[str, int]:
    """Step fields of a window of stride 1 whose output has the extents of the map; with padding 0, x includes the border."""
    (kh, kw), width = kernel, SIDE if padding else SIDE + kernel[1] - 1
    fields = dict.fromkeys(("n", "sh", "sw", "dh", "dw", "inner"), 1)
    return fields | {"kh": kh, "kw": kw, "pt": padding * (kh // 2), "pl": padding * (kw // 2), "oh": SIDE, "ow": SIDE, "iw": width,
                     "ih": SIDE if padding else SIDE + kh - 1, "x_row": width * ic, "x_pixel": ic, "y_row": SIDE * oc, "y_pixel": oc}


def _step(kind: str, ic: int, oc: int, weights: np.ndarray, fields: dict[str, int]) -> Callable[[], object]:
    known = _native.step_fields()[kind]
    x = np.random.default_rng(0).random(fields["ih"] * fields["x_row"], np.float32)
    y = np.empty(fields["oh"] * fields["y_row"], np.float32)
    operands: tuple[np.ndarray | None, ...] = (y, x, weights, None, None, None)
    return step(kind, operands, {name: value for name, value in fields.items() if name in known})


def _weights(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).random(shape, np.float32)


def _winograd(kernel: tuple[int, int], ic: int, oc: int) -> Callable[[], object]:
    packed = _native.pack_winograd(_weights(oc, ic, *kernel), 4, 2)
    return _step("winograd", ic, oc, packed, {**_places(ic, oc, kernel), "ic": ic, "oc": oc, "nv": 2, "m": 4, "tiles": 16})


def _dense(kind: str, ic: int, oc: int, padding: int) -> Callable[[], object]:
    """A 3x3 convolution by implicit GEMM, through a band where it is padded, or by im2col."""
    packed = _native.pack_conv(_weights(oc, ic, 3, 3), 1, 2)
    fields = {**_places(ic, oc, (3, 3), padding), "groups": 1, "ic": ic, "oc": oc, "nv": 2, "band": padding}
    return _step(kind, ic, oc, packed, {**fields, "block": 4 if padding else SIDE})


def _depthwise(c: int) -> Callable[[], object]:
    return _step("depthwise", c, c, _weights(3, 3, c).ravel(), {**_places(c, c, (3, 3)), "c": c, "ic": 1, "tile_rows": 2})


def _rounded(value: float) -> float:
    """Rounds to three digits."""
    return float(f"{value:.3g}")


def _beside(value: float) -> float:
    """The difference of two times, at least a small positive number."""
    return _rounded(max(value, HIDDEN))
