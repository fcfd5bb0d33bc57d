"""Times the kernels of 8-bit values on the layers of networks:  python -m bench.layers.bytes [--only 3x3]

Dense layers without a residual, with one, and with one that is added to the rounded result, in GMAC/s and as a share of
the measured peak of dot products; depthwise layers beside those of
floats. All of a layer run in turn, operands stay in the caches, the least time counts. x and the residual are random bytes.
"""
from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from bench.layers import pinned
from fastcnn import _native
from fastcnn.convolve.arithmetic import FLOAT32, U8S8
from fastcnn.convolve.choice import Choice
from fastcnn.convolve.ladder import choose, pack
from fastcnn.convolve.shape import ConvShape, Problem, own_places
from fastcnn.ir.tensor import span
from fastcnn.machine.clock import least_seconds, step
from fastcnn.tune.trial import Trial

BYTES = 2                       # FC_Q_BYTES of kernels.h
FACTOR = 2.0 ** -13             # of sums
LINE = 64
# Side of the output, ic, oc, kernel: of ResNet-50, MobileNetV2, VGG-16.
DENSE = [(56, 64, 64, 1), (56, 64, 256, 1), (56, 256, 64, 1), (28, 128, 512, 1), (28, 512, 128, 1), (14, 256, 1024, 1), (14, 1024, 256, 1),
         (7, 512, 2048, 1), (7, 2048, 512, 1), (112, 16, 96, 1), (56, 24, 144, 1), (56, 144, 24, 1), (28, 32, 192, 1), (28, 192, 32, 1),
         (14, 64, 384, 1), (14, 384, 64, 1), (14, 96, 576, 1), (14, 576, 96, 1), (7, 160, 960, 1), (7, 960, 320, 1), (56, 64, 64, 3),
         (28, 128, 128, 3), (14, 256, 256, 3), (7, 512, 512, 3), (112, 64, 128, 3), (56, 256, 256, 3), (28, 512, 512, 3), (14, 512, 512, 3)]
# Side of the output, channels, kernel, stride: of MobileNetV2 and EfficientNet-B0.
DEPTHWISE = [(112, 32, 3, 1), (56, 144, 3, 1), (28, 192, 3, 1), (14, 384, 3, 1), (14, 576, 3, 1), (7, 960, 3, 1), (56, 96, 3, 2),
             (28, 144, 3, 2), (14, 192, 3, 2), (7, 576, 3, 2), (112, 32, 5, 1), (56, 144, 5, 1), (28, 240, 5, 1), (14, 480, 5, 1),
             (14, 672, 5, 1), (7, 1152, 5, 1), (28, 144, 5, 2), (7, 672, 5, 2)]

EPILOGUES = [(False, False), (True, False), (True, True)]      # a residual, a rounded result before it

Run = Callable[[], object]


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.layers.bytes", description=__doc__,
                                     formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", default="", help="layers whose description contains this")
    parser.add_argument("--isa", choices=_native.levels(), help="instruction set, default the best")
    parser.add_argument("--rounds", type=int, default=20, help="times that each of a layer is run, at least")
    parser.add_argument("--seconds", type=float, default=0.03, help="and as long as this for each")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    args = parse(arguments)
    with pinned(args.isa, None, 1):
        peak = peak_gmacs()
        print(f"{_native.current_isa()}, one thread, dot products of bytes {peak:.0f} GMAC/s\n")
        for shape in (dense(*sizes) for sizes in DENSE):
            if args.only in str(shape):
                rates = [1e-9 * shape.macs / seconds for seconds in least([qconv(shape, *which) for which in EPILOGUES], args)]
                each = "   ".join(f"{rate:4.0f} {rate / peak:4.0%}" for rate in rates)
                print(f"{str(shape).partition(', u')[0]:36} {each}", flush=True)
        for shape in (depthwise(*sizes) for sizes in DEPTHWISE):
            if args.only in str(shape):
                floats, quantised = least([floating(shape), qdepthwise(shape)], args)
                per = 1e12 / (shape.n * shape.oh * shape.ow * shape.groups)
                both = f"{per * floats:5.0f} {per * quantised:5.0f} ns per 1000   {floats / quantised:.2f}"
                print(f"{str(shape).partition(', u')[0]:44} {both}", flush=True)
    return 0


def least(runs: Sequence[Run], args: argparse.Namespace) -> list[float]:
    """The least seconds of each, run in turn."""
    found, turns, end = [float("inf")] * len(runs), 0, time.perf_counter() + args.seconds * len(runs)
    while turns < args.rounds or time.perf_counter() < end:
        for i, run in enumerate(runs):
            start = time.perf_counter()
            run()
            found[i] = min(found[i], time.perf_counter() - start)
        turns += 1
    return found


def dense(side: int, ic: int, oc: int, kernel: int) -> ConvShape:
    return ConvShape(1, 1, ic, oc, kernel, kernel, 1, 1, 1, 1, kernel // 2, kernel // 2, side, side, side, side, arithmetic=U8S8)


def depthwise(side: int, channels: int, kernel: int, stride: int) -> ConvShape:
    return ConvShape(1, channels, 1, 1, kernel, kernel, stride, stride, 1, 1, kernel // 2, kernel // 2, side * stride, side * stride,
                     side, side, arithmetic=U8S8)


def peak_gmacs() -> float:
    """Dot products of one core, from how much longer a tile takes with twice the words of k: what is around them is in both."""
    best = 0.0
    for nv in (n for n in range(1, 5) if _native.qgemm_max_mr(n)):
        mr, lanes = _native.qgemm_max_mr(nv), nv * _native.vector_length()
        k, repeats = 8192 // lanes, 200
        shapes = [ConvShape(repeats, 1, deep, lanes, 1, 1, 1, 1, 1, 1, 0, 0, 1, mr, 1, mr, arithmetic=U8S8) for deep in (k, 2 * k)]
        took = [least_seconds(qconv(shape, False, False, still=True), 0.1) for shape in shapes]
        best = max(best, 1e-9 * repeats * mr * lanes * k / (took[1] - took[0]))
    return best


def qconv(shape: ConvShape, added: bool, own: bool, still: bool = False, picked: Choice | None = None) -> Run:
    """The step of a dense layer as it is planned, or as picked. added: a residual; own: the result before it is rounded; still: all images
    are one."""
    rng, picked = np.random.default_rng(0), picked or choose(Problem(shape, own_places(shape), 1))
    x, y = maps(shape)
    w, offset = rng.integers(-127, 128, (shape.oc, shape.ic, shape.kh, shape.kw), np.int8), np.zeros(shape.oc, np.int32)
    residual = on_lines(rng.integers(0, 256, y.size, np.uint8)) if added else None
    fields = {**shape.window, **places(shape, still), **picked.fields, "x_zero": 3, "to": BYTES, "r_factor": 0.5, "r_zero": 7, "zero": 5,
              "own_factor": 0.75 if own else 0.0, "own_lo": -5.0, "own_hi": 250.0, "lo": -5.0, "hi": 250.0}
    largest = np.array([255 * max(abs(side.sum((1, 2, 3))).max() for side in (np.maximum(w, 0), np.minimum(w, 0)))], np.int32)
    return step("qconv", (y, x, pack(picked, w), offset, np.full(shape.oc, FACTOR, np.float32), residual, None,
                          w.sum((1, 3), dtype=np.int32).T.copy(), largest), fields)


def qdepthwise(shape: ConvShape) -> Run:
    rng, picked = np.random.default_rng(0), choose(Problem(shape, own_places(shape), 1))
    x, y = maps(shape)
    w = rng.integers(-127, 128, (shape.groups, 1, shape.kh, shape.kw), np.int8)
    fields = {**shape.window, **places(shape, names="xy"), **picked.fields, "x_zero": 3, "zero": 5, "lo": -5.0, "hi": 250.0}
    offset, factor = np.zeros(shape.groups, np.int32), np.full(shape.groups, FACTOR, np.float32)
    return step("qdepthwise", (y, x, pack(picked, w), offset, factor, None), fields)


def floating(shape: ConvShape) -> Run:
    """The same layer in floats, as it is planned."""
    shape = replace(shape, arithmetic=FLOAT32)
    problem = Problem(shape, own_places(shape), 1)
    picked, rng = choose(problem), np.random.default_rng(0)
    x, y = (on_lines(each.astype(np.float32)) for each in maps(shape))
    weights = pack(picked, rng.random((shape.groups, 1, shape.kh, shape.kw), np.float32))
    trial, workspace = Trial(problem, picked, (y, x, np.zeros(shape.groups, np.float32), None), weights), _native.Workspace()
    return lambda: trial.run(workspace)


def maps(shape: ConvShape) -> tuple[np.ndarray, np.ndarray]:
    """x, random bytes, and room for y. A tile may read 3 bytes after the last pixel of x."""
    x, y = (span(extents, strides) for extents, strides in zip((shape.x_extents, shape.y_extents), own_places(shape)))
    return on_lines(np.random.default_rng(0).integers(0, 256, x + 3, np.uint8)), on_lines(np.zeros(y, np.uint8))


def on_lines(values: np.ndarray) -> np.ndarray:
    """A copy that begins on a cache line, as tensors of a network do."""
    room = np.zeros(values.nbytes + LINE, np.uint8)
    at = -room.ctypes.data % LINE
    copy = room[at:at + values.nbytes].view(values.dtype)
    copy[:] = values
    return copy


def places(shape: ConvShape, still: bool = False, names: str = "xyr") -> dict[str, int]:
    """Strides of x, y and a residual that have no gaps."""
    found = {}
    for name, strides in zip(names, (*own_places(shape), own_places(shape)[1])):
        found |= {f"{name}_image": 0 if still else strides[0], f"{name}_row": strides[2], f"{name}_pixel": strides[3]}
    return found


if __name__ == "__main__":
    sys.exit(main())
