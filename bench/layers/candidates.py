"""Everything that can compute a convolution, as native steps that can be timed."""
from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from fastcnn import _native
from fastcnn.choice import conv as choice
from fastcnn.choice import machine
from fastcnn.choice.conv import ConvChoice, ConvShape, Places
from fastcnn.choice.winograd import BLOCK_SIZES, even_tiles

EVICTION_FLOATS = 24 * 2 ** 20      # 96 MB: touching them leaves nothing of a layer in any L2
WINDOW = ("n", "kh", "kw", "sh", "sw", "dh", "dw", "pt", "pl", "ih", "iw", "oh", "ow")
PEAK_CHANNELS = 256                 # of the product that measures the peak: both operands stay in L1
PEAK_REPEATS = 400


def dense_places(shape: ConvShape) -> Places:
    """Strides (n, c, h, w) of channels-last x and y without gaps."""
    ic, oc = shape.groups * shape.ic, shape.groups * shape.oc
    return ((shape.ih * shape.iw * ic, 1, shape.iw * ic, ic), (shape.oh * shape.ow * oc, 1, shape.ow * oc, oc))


def candidates(shape: ConvShape, threads: int) -> Iterator[tuple[str, ConvChoice]]:
    """(name, choice) of every algorithm, tile width and, for Winograd, block size."""
    if shape.ic == 1 and shape.oc == 1 and shape.groups > 1:
        yield "depthwise", ConvChoice("depthwise", shape, {"c": shape.groups}, ())
    places, shape = dense_places(shape), choice.merge_groups(shape)
    flat = choice.flatten(shape, places)
    for nv in range(1, 5):
        if _native.gemm_max_mr(nv) and nv <= -(-shape.oc // _native.vector_length()):
            yield from gemm_candidates(flat, nv, threads)
    if shape.groups == 1 and (shape.kh, shape.kw, shape.sh, shape.sw, shape.dh, shape.dw) == (3, 3, 1, 1, 1, 1):
        for m in (2, 4):
            total = shape.n * -(-shape.oh // m) * -(-shape.ow // m)
            for tiles in sorted({even_tiles(total, size, threads) for size in BLOCK_SIZES}):
                picked = choice.winograd(shape, m, tiles)
                yield f"winograd m{m} t{tiles} nv{picked.fields['nv']}", picked


def gemm_candidates(shape: ConvShape, nv: int, threads: int) -> Iterator[tuple[str, ConvChoice]]:
    """The conv step through a band of padded rows, in place where no padding is met, and im2col."""
    fields = {"groups": shape.groups, "ic": shape.ic, "oc": shape.oc, "nv": nv}
    packing = (shape.groups, nv)
    for band in (0, 1):
        if band == 0 and shape.touches_padding:
            continue
        block = choice.block_rows(shape, threads) if band else choice.block_tiles(shape, nv)
        split = int(choice.splits_columns(shape, nv, bool(band), threads))
        yield (f"conv nv{nv} {'band' if band else 'in place'}",
               ConvChoice("conv", shape, {**fields, "band": band, "block": block, "split_columns": split}, packing))
    yield f"im2col nv{nv}", ConvChoice("im2col", shape, {**fields, "band": 0, "block": 1, "split_columns": 0}, packing)


def pick(shape: ConvShape, threads: int) -> ConvChoice:
    """What the planner takes."""
    return choice.choose(shape, dense_places(shape), threads)


def same(a: ConvChoice, b: ConvChoice) -> bool:
    """Whether two choices are one step; block and split do not make another algorithm."""
    def essential(c: ConvChoice) -> dict[str, int]:
        return {name: value for name, value in c.fields.items() if name not in ("block", "split_columns")
                and not (c.algorithm == "im2col" and name == "band")}
    return a.algorithm == b.algorithm and essential(a) == essential(b)


class Bench:
    """One choice, packed and ready: run() is one native call with a Relu and a bias."""

    def __init__(self, picked: ConvChoice, shape: ConvShape, x: np.ndarray, w: np.ndarray, threads: int):
        places = dense_places(shape)
        self.x, self.y = x, _native.aligned_empty(shape.n * places[1][0])
        fields = {name: getattr(picked.shape, name) for name in WINDOW}
        for name, strides in zip("xyr", (*places, (0, 0, 0, 0)), strict=True):
            fields |= {f"{name}_image": strides[0], f"{name}_row": strides[2], f"{name}_pixel": strides[3]}
        fields |= {"fn": _native.UNARY["Relu"], "alpha": 0.0, "beta": 0.0, **picked.fields}
        bias = np.zeros(shape.groups * shape.oc, np.float32)
        operands = (self.y, x, choice.pack(picked, w), bias, None, None)
        self.program = _native.Program([(picked.algorithm, operands, threads, fields)], 0, threads, 0)
        self.workspace = _native.Workspace()

    def run(self) -> None:
        self.program.run(self.workspace, [])

    def seconds(self, least: float, cold: np.ndarray | None) -> float:
        """Least time of a run within about `least` seconds; with `cold`, other memory is touched before each."""
        clock, best, end = time.perf_counter, float("inf"), time.perf_counter() + least
        self.run()
        while True:
            if cold is not None:
                cold[::machine.CACHE_LINE_FLOATS] += 1
                self.x.sum()                       # the layer before has just written it
            start = clock()
            self.run()
            stop = clock()
            best = min(best, stop - start)
            if stop >= end:
                return best


def peak_gflops(least: float = 0.3) -> float:
    """FMA peak of one core as the best register tile reaches it on operands in L1."""
    best, rng = 0.0, np.random.default_rng(0)
    for nv in range(1, 5):
        mr, oc = _native.gemm_max_mr(nv), nv * _native.vector_length()
        if not mr:
            continue
        x, y = rng.random(mr * PEAK_CHANNELS, np.float32), np.empty(mr * oc, np.float32)
        packed = _native.pack_gemm_b(rng.random((oc, PEAK_CHANNELS), np.float32), False, nv)
        fields = dict.fromkeys(_native.step_fields()["conv"], 0)
        fields |= {"n": PEAK_REPEATS, "ic": PEAK_CHANNELS, "oc": oc, "iw": mr, "ow": mr, "nv": nv, "x_pixel": PEAK_CHANNELS, "y_pixel": oc}
        fields |= dict.fromkeys(("groups", "block", "kh", "kw", "sh", "sw", "dh", "dw", "ih", "oh"), 1)
        program = _native.Program([("conv", (y, x, packed, None, None, None), 1, fields)], 0, 1, 0)
        workspace = _native.Workspace()
        end = time.perf_counter() + least
        while time.perf_counter() < end:
            start = time.perf_counter()
            program.run(workspace, [])
            best = max(best, 2e-9 * PEAK_REPEATS * mr * oc * PEAK_CHANNELS / (time.perf_counter() - start))
    return best


def operands(shape: ConvShape) -> tuple[np.ndarray, np.ndarray]:
    """Seeded random x (flat, channels-last) and w (M, C/group, kh, kw)."""
    rng = np.random.default_rng(0)
    x = _native.aligned_empty(shape.n * dense_places(shape)[0][0])
    x[:] = rng.standard_normal(x.size, np.float32)
    w = rng.standard_normal((shape.groups * shape.oc, shape.ic, shape.kh, shape.kw), np.float32) * np.float32(shape.k ** -0.5)
    return x, w


def with_pick(listed: list[tuple[str, ConvChoice]], picked: ConvChoice) -> list[tuple[str, ConvChoice]]:
    """The list with the planner's pick in it, under a name of its own when nothing listed is the same step."""
    if any(same(c, picked) for _, c in listed):
        return [(name, replace(picked) if same(c, picked) else c) for name, c in listed]
    return [*listed, (f"{picked.algorithm} {picked.fields}", picked)]
