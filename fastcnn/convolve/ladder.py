"""The ladder: everything that can compute a convolution, read top to bottom. The first rung that covers a problem and pays is picked.

Tuning times the candidates of all rungs that cover the problem. Each rung's file says when its result is right, when it pays, which fields
its step has, how its weights are packed and what time the cost model predicts.
"""
from __future__ import annotations

import math
from functools import cache

import numpy as np

import fastcnn._native as _native
from fastcnn.convolve.accuracy import FP32
from fastcnn.convolve.arithmetic import WORD, Arithmetic
from fastcnn.convolve.bf16_gemm import BF16_GEMM
from fastcnn.convolve.choice import Choice, Rung
from fastcnn.convolve.compressed_gemm import COMPRESSED_GEMM
from fastcnn.convolve.depthwise import DepthwiseDirect, DepthwiseRing, GroupsByLanes
from fastcnn.convolve.im2col import Im2col
from fastcnn.convolve.implicit_gemm import IN_PLACE, THROUGH_BAND
from fastcnn.convolve.joined_groups import JOINED_GROUPS
from fastcnn.convolve.planes_dense import PLANES_DENSE
from fastcnn.convolve.planes_depthwise import PlanesDepthwise
from fastcnn.convolve.planes_product import PLANES_PRODUCT
from fastcnn.convolve.quantized_depthwise import QUANTIZED_DEPTHWISE
from fastcnn.convolve.quantized_gemm import QUANTIZED_IN_PLACE, QUANTIZED_INSIDE, QUANTIZED_THROUGH_BAND
from fastcnn.convolve.quantized_joined import QUANTIZED_JOINED
from fastcnn.convolve.rotated_groups import RotatedGroups
from fastcnn.convolve.shape import Problem
from fastcnn.convolve.winograd import WINOGRAD, WinogradPhases
from fastcnn.ir.record import replace
from fastcnn.ir.spec import Spec
from fastcnn.machine.current import cached, current

LADDER: list[Rung] = [
    BF16_GEMM,         # only with precision="bf16", and where it is faster than the pick among the rungs below
    COMPRESSED_GEMM,   # only with weights=, likewise
    PLANES_PRODUCT,    # row-major planes first: two changes of layout cost more than these rungs lose, except on short planes
    PlanesDepthwise(),
    PLANES_DENSE,      # short sums with full lanes
    DepthwiseDirect(),  # one channel per group: a GEMM has nothing to gain, the work is in the loads
    DepthwiseRing(),
    RotatedGroups(),    # groups of 2, 4 or 8 channels fill whole vectors
    GroupsByLanes(),    # before the GEMM, whose tiles would be at least half empty with narrow groups
    JOINED_GROUPS,      # groups of one and a half vectors
    WinogradPhases(),   # dense windows of stride 1, where fewer products gain more than the transforms cost
    WINOGRAD,
    IN_PLACE,           # everything else; in place where no window meets a border
    THROUGH_BAND,
    Im2col(),           # last: the readable definition, never the fastest
    QUANTIZED_DEPTHWISE,  # bytes: one channel per group
    QUANTIZED_JOINED,   # narrow groups joined, before the GEMM that takes each by itself
    QUANTIZED_IN_PLACE,  # in place for windows of one pixel
    QUANTIZED_INSIDE,
    QUANTIZED_THROUGH_BAND,
]
BY_NAME = {rung.name: rung for rung in LADDER}
ON_PLANES = [rung for rung in LADDER if rung.on_planes]
SHORTER = (BF16_GEMM, COMPRESSED_GEMM)
# Of its predicted time, beside bfloat16, whose own is right within a tenth: 0.63 to 0.82 on seven layers of 56x56x64 to 7x7x512, weights
# from beyond L2 (Zen 5, one thread, 2026-11-29).
WINOGRAD_TAKES = 0.8
# Of the predicted time on pixels, for planes; for few output pixels, where rows are short and calls count. EPYC Zen 3, one
# thread, 2026-11-30: bench/notes/lone_layers.md.
WORTH_IT, WORTH_IT_SMALL = 0.96, 0.71
SMALL_MAP = 2048        # pixels


@cached
def choose(problem: Problem) -> Choice:
    """The planner's pick for one convolution. On planes where no rung on planes pays, the pick for channels-last copies."""
    if problem.half:
        return BF16_GEMM.choose(problem)
    if problem.rounds or problem.weights != FP32:
        rung = _shorter(replace(problem, threads=1))
        return rung.choose(problem) if rung is not None else choose(replace(problem, rounds=False, weights=FP32))
    for rung in _fitting(problem.planes, problem.shape.arithmetic, problem.shape.groups > 1):
        if rung.takes(problem) and rung.pays(problem) and not (rung.weighed and _faster_on_pixels(replace(problem, threads=1), rung)):
            return rung.choose(problem)
    return choose(problem.on_pixels())


@cache
def _fitting(planes: bool, arithmetic: Arithmetic, grouped: bool) -> tuple[Rung, ...]:
    """The rungs for such a layout, such operands, several groups or one; without those that take shorter weights."""
    return tuple([rung for rung in LADDER if rung.on_planes == planes and rung.arithmetic is arithmetic
                  and rung.grouped in (None, grouped) and rung not in SHORTER])


def _faster_on_pixels(problem: Problem, rung: Rung) -> bool:
    """Whether the pick on pixels with its changes of layout is faster than a rung on planes, or nearly so. For one thread, as above."""
    pixels, shape = choose(problem.on_pixels()), problem.shape
    worth_it = WORTH_IT if shape.oh * shape.ow >= SMALL_MAP else WORTH_IT_SMALL
    return cycles(rung.choose(problem), 1) > worth_it * (cycles(pixels, 1) + layout_cycles(problem, pixels))


def _shorter(problem: Problem) -> Rung | None:
    """The rung of bfloat16 or compressed weights that is faster than float32. For one thread, so that any number has the same bits."""
    exact = choose(replace(problem, rounds=False, weights=FP32))
    taken = WINOGRAD_TAKES if exact.rung == WINOGRAD.name else 1.0
    times = {rung: cycles(rung.choose(problem), 1) for rung in SHORTER if rung.takes(problem) and rung.pays(problem)}
    fastest = min(times, key=lambda rung: times[rung], default=None)
    return fastest if fastest is not None and times[fastest] <= taken * cycles(exact, 1) else None


def in_bfloat16(problem: Problem) -> Choice | None:
    """The choice in bfloat16 where that is expected to be faster than float32, or an operand lies in memory so."""
    picked = choose(replace(problem, rounds=True))
    return picked if picked.rung == BF16_GEMM.name else None


def covers_planes(problem: Problem) -> bool:
    """Whether a rung can compute the problem on row-major planes."""
    return any([rung.takes(problem) for rung in ON_PLANES])


def candidates(problem: Problem) -> dict[str, Choice]:
    """Name -> choice, for the candidates of every rung, the planner's pick among them; for planes, those on channels-last copies too."""
    listed = {name: choice for rung in LADDER if rung.takes(problem) for name, choice in rung.candidates(problem)}
    if problem.planes:
        listed |= candidates(problem.on_pixels())
    picked = choose(problem)
    if picked not in listed.values():
        listed[f"{picked.rung}, the planner's"] = picked
    return listed


def changes_layout(problem: Problem, choice: Choice) -> bool:
    """Whether this choice for a problem on planes needs x and y copied to and from channels-last."""
    return problem.planes and not BY_NAME[choice.rung].on_planes


def name_of(picked: Choice, listed: dict[str, Choice]) -> str:
    """The name of a choice among candidates."""
    return next(name for name, other in listed.items() if other == picked)


def pack(choice: Choice, w: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """w (M, C/group, kh, kw) packed for the step that was chosen. out: memory of packed_spec(), used where the rung can."""
    return BY_NAME[choice.rung].pack(choice, w, out)


def packed_spec(choice: Choice, w_shape: tuple[int, ...]) -> Spec | None:
    """The Spec of pack()'s result for weights of this shape, where the rung defines it."""
    return BY_NAME[choice.rung].packed_spec(choice, w_shape)


def cycles(choice: Choice, threads: int) -> float:
    """Predicted time of a choice in cycles of one core, weights from beyond L2.

    Good for choosing which candidates are worth timing and for telling a user what to expect: half of the layers of bench/layers within
    a fifth of what was measured.
    """
    return BY_NAME[choice.rung].cycles(choice, threads)


def layout_cycles(problem: Problem, choice: Choice) -> float:
    """Predicted time of the copies to and from channels-last, in cycles; 0 where there are none."""
    return copy_cycles(problem.shape.x_extents, problem.shape.y_extents) / problem.threads if changes_layout(problem, choice) else 0.0


def copy_cycles(*maps: tuple[int, ...]) -> float:
    """Predicted time of a change of layout of maps of these extents; beyond L2, copies among them, each goes to L3 and comes back."""
    elements, vector, machine = sum(map(math.prod, maps)), _native.vector_length(), current()
    far = 2 * WORD * elements / machine.l3_weights if WORD * elements > machine.l2_bytes else 0.0
    return elements / vector * machine.core(vector).gather + far
