"""Times everything that can compute a given convolution or matrix product, beside the planner's pick."""
from __future__ import annotations

import re
from dataclasses import dataclass

import fastcnn._native as _native
from fastcnn.convolve.ladder import candidates, choose, name_of
from fastcnn.convolve.shape import ConvShape, Problem, own_places
from fastcnn.ir.errors import ConfigurationError
from fastcnn.machine.clock import peak_gflops
from fastcnn.tune.trial import Eviction, Trials

COLUMNS = ("candidate", "ms", "GFLOP/s", "of peak", "pick")
PRODUCT = re.compile(r"(\d+),(\d+),(\d+)")
CONVOLUTION = re.compile(r"(?:(\d+)x)?(\d+)x(\d+)x(\d+)-(\d+),(\d+)x(\d+)((?:,[spdg]\d+)*)")
HOW = "expected M,N,K for a product (rows, columns, sums) or HxWxC-M,KHxKW[,s2][,p1][,d1][,g1] for a convolution"


@dataclass(frozen=True)
class Kernel:
    """A candidate. seconds: lower quartile of its times; gflops: by the operations of the direct computation."""

    name: str
    ms: float
    gflops: float
    of_peak: float
    picked: bool


def parsed(text: str) -> ConvShape:
    """Parses a shape: "3136,64,256", "56x56x64-128,3x3,s1,p1", with a batch in front "8x56x56x64-...".

    Raises ConfigurationError.
    """
    found = PRODUCT.fullmatch(text)
    if found:
        m, n, k = map(int, found.groups())
        return _convolution(1, 1, m, k, n, (1, 1), {})
    found = CONVOLUTION.fullmatch(text)
    if not found:
        raise ConfigurationError(f"shape {text!r}: {HOW}")
    n, h, w, c, m, kh, kw = (int(part) if part else 1 for part in found.groups()[:7])
    return _convolution(n, h, w, c, m, (kh, kw), {part[0]: int(part[1:]) for part in found.group(8).split(",") if part})


def _convolution(n: int, h: int, w: int, c: int, m: int, kernel: tuple[int, int], options: dict[str, int]) -> ConvShape:
    s, p, d, g = options.get("s", 1), options.get("p", 0), options.get("d", 1), options.get("g", 1)
    if min(n, h, w, c, m, *kernel, s, d, g) < 1 or c % g or m % g:
        raise ConfigurationError(f"{c} channels and {m} filters in {g} groups: sizes must be positive and groups divide both")
    oh, ow = ((extent + 2 * p - d * (k - 1) - 1) // s + 1 for extent, k in zip((h, w), kernel))
    if min(oh, ow) < 1:
        raise ConfigurationError(f"a window of {kernel[0]}x{kernel[1]} does not fit {h}x{w}")
    return ConvShape(n, g, c // g, m // g, *kernel, s, s, d, d, p, p, h, w, oh, ow)


def kernels(shape: str | ConvShape, threads: int = 1, rounds: int = 12, cold: bool = False) -> list[Kernel]:
    """All candidates of a shape, the fastest first. cold: weights come from beyond L2, as in a network."""
    if isinstance(shape, str):
        shape = parsed(shape)
    problem = Problem(shape, own_places(shape), threads)
    listed = candidates(problem)
    picked = name_of(choose(problem), listed)
    times = Trials(problem, listed, Eviction(threads) if cold else None).times(rounds)
    peak, flops = peak_gflops() * threads, 2e-9 * shape.macs
    ordered = sorted(times.items(), key=lambda item: item[1])
    return [Kernel(name, 1e3 * s, flops / s, flops / s / peak, name == picked) for name, s in ordered]


def registered() -> dict[str, list[str]]:
    """Instruction set -> names of its kernels (fastcnn_c/README.md has the grammar), of those that this CPU has."""
    return {isa: _native.kernels(isa) for isa in _native.isas()}
