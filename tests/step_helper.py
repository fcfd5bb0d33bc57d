"""Running single native steps on guarded buffers: what every kernel test stands on."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastcnn import _native

GUARD = 64                      # elements of margin on either side of a buffer
POISON = np.float32(1.5e30)     # what margins of outputs hold: any change shows


class Guarded:
    """A buffer with margins: `data` between two runs of GUARD elements, poison around outputs, NaN around float inputs.

    check() fails when a margin of an output was written; reading a NaN margin of an input spoils the result by itself.
    """

    def __init__(self, data: np.ndarray, output: bool = False):
        data = np.ascontiguousarray(data)
        fill = POISON if output else np.nan
        self.margin = data.dtype.type(fill if data.dtype.kind == "f" else 85 if data.dtype.kind in "iu" else 1)
        raw = _native.aligned_empty(data.size + 2 * GUARD, data.dtype)
        raw[:] = self.margin
        self.raw, self.output = raw, output
        self.data = raw[GUARD:GUARD + data.size]
        self.data[:] = data.ravel()
        self.array = self.data.reshape(data.shape)

    def check(self) -> None:
        if self.output:
            margins = np.concatenate([self.raw[:GUARD], self.raw[len(self.raw) - GUARD:]])
            assert (margins == self.margin).all(), "wrote outside the buffer"


def run_step(kind: str, operands: Sequence[np.ndarray | Guarded | None], /, threads: int = 1, outputs: int = 1, **fields: object) -> int:
    """Run one step in place on numpy arrays (float32 and others, C-contiguous); operands[:outputs] are written.

    Plain arrays are used where they lie; outputs given as Guarded are checked. Returns the status (0 is success).
    """
    arrays = [o.data if isinstance(o, Guarded) else o for o in operands]
    steps = [(kind, tuple(arrays), threads, fields)]
    program = _native.Program(steps, 0, threads, 0)
    status = program.run(_native.Workspace(), [])
    for operand in operands:
        if isinstance(operand, Guarded):
            operand.check()
    return status


def unary_number(name: str) -> int:
    """Number of an activation, for the field fn."""
    return _native.UNARY[name]


def table_of_bytes() -> np.ndarray:
    """A table for values that are bytes less a zero point, with the two numbers after it that steps read."""
    return np.random.default_rng(11).integers(-255, 256, 258).astype(np.int16)


def second_rounding(first: np.ndarray, residual: np.ndarray, factor: float, r_factor: float, zero: int) -> np.ndarray:
    """The sum of two values of bytes at another scale, each product and the sum rounded to float32."""
    total = first * np.float32(factor) + residual.reshape(first.shape) * np.float32(r_factor)
    return np.clip(np.rint(total), -zero, 255 - zero)


def tolerance(k: int) -> float:
    """Relative tolerance of a float32 sum of k products: rounding grows like sqrt(k), each term 6e-8."""
    return 4 * 6e-8 * max(k, 1) ** 0.5 + 1e-6


def assert_close(actual: np.ndarray, expected: np.ndarray, rtol: float, what: str = "") -> None:
    """max |a - b| <= rtol * max(1e-30, max |b|), NaN and infinities in the same places."""
    expected = np.asarray(expected, np.float64)
    actual = np.asarray(actual, np.float64)
    assert actual.shape == expected.shape, (actual.shape, expected.shape, what)
    if expected.size == 0:
        return
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(actual[~finite], expected[~finite], err_msg=what)
    assert np.isfinite(actual[finite]).all(), f"{what}: not finite where the reference is"
    scale = max(np.abs(expected[finite]).max(initial=0.0), 1e-30)
    error = np.abs(actual[finite] - expected[finite]).max(initial=0.0)
    assert error <= rtol * scale, f"{what}: error {error / scale:.3g} of the largest value, allowed {rtol:.3g}"
