"""Windows that slide over a plane, as cases of kernel tests."""
from __future__ import annotations

from dataclasses import dataclass

Pair = tuple[int, int]


@dataclass(frozen=True)
class Window:
    """Two axes each: extents, kernel, stride, dilation, padding before and after."""

    extents: Pair
    kernel: Pair = (3, 3)
    strides: Pair = (1, 1)
    dilations: Pair = (1, 1)
    before: Pair = (0, 0)
    after: Pair = (0, 0)

    @property
    def out(self) -> Pair:
        axes = zip(self.extents, self.kernel, self.strides, self.dilations, self.before, self.after)
        rows, columns = ((x + b + a - (k - 1) * d - 1) // s + 1 for x, k, s, d, b, a in axes)
        return rows, columns
