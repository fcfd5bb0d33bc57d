"""Convolution steps (conv, im2col) on numpy arrays, and the naive float64 convolution they are compared with."""
from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from step_helper import Guarded, run_step, unary_number

from fastcnn import _native
from fastcnn.convolve.implicit_gemm import pairs_rows
from fastcnn.convolve.joined_groups import alternating
from fastcnn.convolve.shape import ConvShape
from fastcnn.tune.trial import Trials


@dataclass(frozen=True)
class Case:
    """ic and oc are per group. oh and ow say how far windows go: padding at the bottom and right follows from them.

    pt, pl  padding at top and left, negative: the first window starts inside;  *_gap: elements between pixels
    """

    ic: int
    oc: int
    kh: int = 1
    kw: int = 1
    oh: int = 1
    ow: int = 1
    n: int = 1
    groups: int = 1
    sh: int = 1
    sw: int = 1
    dh: int = 1
    dw: int = 1
    pt: int = 0
    pl: int = 0
    pb: int = 0
    pr: int = 0
    x_gap: int = 0
    y_gap: int = 0

    @property
    def ih(self) -> int:
        return (self.oh - 1) * self.sh + (self.kh - 1) * self.dh + 1 - self.pt - self.pb

    @property
    def iw(self) -> int:
        return (self.ow - 1) * self.sw + (self.kw - 1) * self.dw + 1 - self.pl - self.pr

    @property
    def k(self) -> int:
        return self.kh * self.kw * self.ic

    @property
    def padded(self) -> bool:
        return max(self.pt, self.pl, self.pb, self.pr) > 0

    def __str__(self) -> str:
        shown = [f"{self.groups}g" if self.groups > 1 else "", f"n{self.n}" if self.n > 1 else "",
                 f"{self.ic}x{self.oc}-k{self.kh}x{self.kw}-out{self.oh}x{self.ow}",
                 f"s{self.sh},{self.sw}" if (self.sh, self.sw) != (1, 1) else "",
                 f"d{self.dh},{self.dw}" if (self.dh, self.dw) != (1, 1) else "",
                 f"p{self.pt},{self.pl},{self.pb},{self.pr}" if (self.pt, self.pl, self.pb, self.pr) != (0, 0, 0, 0)
                 else "",
                 f"gap{self.x_gap},{self.y_gap}" if self.x_gap or self.y_gap else ""]
        return "-".join(part for part in shown if part)


@dataclass(frozen=True)
class Operands:
    """x [n][ih][iw][c], w [m][ic][kh][kw], and what an epilogue may add."""

    x: np.ndarray
    w: np.ndarray
    bias: np.ndarray
    residual: np.ndarray
    slope: np.ndarray


def operands(case: Case, seed: int = 0) -> Operands:
    """Seeded normal values; weights scaled so that sums have about unit variance."""
    rng = np.random.default_rng(seed)
    m = case.groups * case.oc

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape, dtype=np.float32)

    return Operands(normal(case.n, case.ih, case.iw, case.groups * case.ic),
                    normal(m, case.ic, case.kh, case.kw) / np.float32(case.k ** 0.5), normal(m),
                    normal(case.n, case.oh, case.ow, m), normal(m))


def reference(case: Case, x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """y[n,i,j,o] = sum over r, s, c of x[n, i*sh-pt+r*dh, j*sw-pl+s*dw, g*ic+c] * w[o,c,r,s], zero outside x; g = o // oc.

    In float64.
    """
    x, w = x.astype(np.float64), w.astype(np.float64)
    y = np.zeros((case.n, case.oh, case.ow, case.groups * case.oc))
    for r in range(case.kh):
        for s in range(case.kw):
            rows = np.arange(case.oh) * case.sh - case.pt + r * case.dh
            columns = np.arange(case.ow) * case.sw - case.pl + s * case.dw
            inside = ((rows >= 0) & (rows < case.ih))[:, None] & ((columns >= 0) & (columns < case.iw))
            taps = x[:, rows.clip(0, case.ih - 1)[:, None], columns.clip(0, case.iw - 1)] * inside[..., None]
            for g in range(case.groups):
                outputs, inputs = slice(g * case.oc, (g + 1) * case.oc), slice(g * case.ic, (g + 1) * case.ic)
                y[..., outputs] += taps[..., inputs] @ w[outputs, :, r, s].T
    return y


def packed_weights(case: Case, w: np.ndarray, nv: int) -> np.ndarray:
    """w as panels, one group after the other."""
    rows = np.ascontiguousarray(w.transpose(0, 2, 3, 1).reshape(case.groups, case.oc, case.k))
    return np.concatenate([_native.pack_gemm_b(group, False, nv) for group in rows])


def spaced(values: np.ndarray, gap: int, output: bool = False) -> Guarded:
    """values with `gap` more elements after the channels of every pixel, poisoned like the margins."""
    guarded = Guarded(np.zeros((*values.shape[:-1], values.shape[-1] + gap), np.float32), output)
    guarded.array[:] = guarded.margin
    guarded.array[..., :values.shape[-1]] = values
    return guarded


def place(prefix: str, height: int, width: int, pixel: int) -> dict[str, int]:
    """Strides of a channels-last tensor as fields of a step."""
    return {f"{prefix}_image": height * width * pixel, f"{prefix}_row": width * pixel, f"{prefix}_pixel": pixel}


def may_pair(case: Case, band: bool) -> bool:
    """Whether the step may take two rows at a time."""
    sizes = {field.name: getattr(case, field.name) for field in fields(ConvShape) if not field.kw_only}
    return pairs_rows(ConvShape(**sizes), band)


def run_conv(case: Case, data: Operands, kind: str = "conv", *, nv: int = 1, band: int | None = None, block: int = 1,
             split_columns: int = 0, threads: int = 1, bias: bool = False, residual: bool = False, slope: bool | np.ndarray = False,
             fn: str = "None", alpha: float = 0.0, beta: float = 0.0, affine: np.ndarray | None = None, planes: bool = False,
             interleaved: bool = False, pair: bool | None = None, y_planes: bool = False, halves: bool = False) -> np.ndarray:
    """The step's result, dense; margins and gaps are checked. band None: only where windows leave the input.

    slope   the operands' own, or what stands in its place
    planes, y_planes  x, y is row-major
    halves  half a vector as such
    interleaved  the groups two by two       pair  two rows at a time, by default where that may be
    """
    m = case.groups * case.oc
    y = spaced(np.full((case.n, case.oh, case.ow, m), np.nan, np.float32), case.y_gap, output=True)
    slopes, has_slope = (slope, True) if isinstance(slope, np.ndarray) else (data.slope, slope)
    extras = [Guarded(value) if wanted else None for value, wanted in
              ((data.bias, bias), (data.residual, residual), (slopes, has_slope))]
    extras += [] if affine is None else [Guarded(affine)]
    band = int(case.padded) if band is None else band
    x, at = spaced(data.x, case.x_gap), place("x", case.ih, case.iw, case.groups * case.ic + case.x_gap)
    if planes:
        x = Guarded(np.ascontiguousarray(data.x.transpose(0, 3, 1, 2)))
        at = {"x_image": case.ic * case.ih * case.iw, "x_row": case.iw, "x_pixel": 1}
    to = place("y", case.oh, case.ow, m + case.y_gap)
    if y_planes:
        y = Guarded(np.full((case.n, m, case.oh, case.ow), np.nan, np.float32), output=True)
        to = {"y_image": m * case.oh * case.ow, "y_row": case.ow, "y_pixel": 1}
    twice = replace(case, groups=case.groups // 2, oc=2 * case.oc) if interleaved else case
    packed = packed_weights(twice, alternating(data.w, twice.oc) if interleaved else data.w, nv)
    status = run_step(
        kind, [y, x, Guarded(packed), *extras], threads,
        n=case.n, kh=case.kh, kw=case.kw, sh=case.sh, sw=case.sw, dh=case.dh, dw=case.dw, pt=case.pt, pl=case.pl,
        ih=case.ih, iw=case.iw,
        oh=case.oh, ow=case.ow, **at,
        **to, **place("r", case.oh, case.ow, m), groups=twice.groups,
        ic=case.ic, oc=twice.oc,
        fn=unary_number(fn), alpha=alpha, beta=beta, nv=nv, band=band, block=block, split_columns=split_columns, y_gap=0,
        interleaved=int(interleaved),
        pair=int(may_pair(case, bool(band)) if pair is None else pair), halves=int(halves))
    assert status == 0
    if y_planes:
        return np.ascontiguousarray(y.array.transpose(0, 2, 3, 1))
    assert (y.array[..., m:] == y.margin).all(), "wrote between pixels"
    return y.array[..., :m].copy()


def unary(fn: str, x: np.ndarray, alpha: float, beta: float) -> np.ndarray:
    """The elementwise kernel, which has tests of its own."""
    flat, y = np.ascontiguousarray(x).ravel(), np.empty(x.size, np.float32)
    assert run_step("unary", [y, flat], ndim=1, shape=[y.size], y_strides=[1], x_strides=[1], fn=unary_number(fn),
                    alpha=alpha, beta=beta) == 0
    return y.reshape(x.shape)


def assert_alike(trials: Trials, atol: float) -> None:
    """Every candidate gives what the first gives."""
    results = {}
    for name, trial in trials.trials.items():
        trials.y[:] = np.nan
        trial.run(trials.workspace)
        results[name] = trials.y.copy()
    first = next(iter(results.values()))
    assert np.nansum(first) > 0
    for name, y in results.items():
        np.testing.assert_allclose(y, first, rtol=0, atol=atol, err_msg=name)
