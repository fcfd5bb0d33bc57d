"""Types of fastcnn_c/_native.pyx: the border between the two halves."""
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

BASE_ABSOLUTE: int
BASE_ARENA: int
BASE_FIRST_IO: int
MAX_DIMS: int
MAX_OPERANDS: int
MAX_AHEAD: int
MAX_THREADS: int
ALIGN: int
HAS_OPENMP: bool

STATUS: dict[int, str]
UNARY: dict[str, int]
BINARY: dict[str, int]
TYPED_BINARY: dict[str, int]
TYPED_UNARY: dict[str, int]
REDUCE: dict[str, int]

# (base, byte offset), a constant that the program keeps alive, or None where an operand is absent
Operand = tuple[int, int] | np.ndarray | None
Ahead = Sequence[tuple[np.ndarray, int, int]]
Step = tuple[str, tuple[Operand, ...], int, dict[str, Any]] | tuple[str, tuple[Operand, ...], int, dict[str, Any], Ahead]

def step_fields() -> dict[str, tuple[str, ...]]: ...

class Workspace:
    """Arena and scratch of one run at a time."""

    nbytes: int
    def __init__(self) -> None: ...

class Program:
    """An array of steps, ready to run, immutable."""

    kinds: list[str]
    arena_bytes: int
    threads: int
    io_count: int
    def __init__(self, steps: Sequence[Step], arena_bytes: int, threads: int, io_count: int) -> None: ...
    @property
    def scratch_bytes(self) -> int: ...
    def run(self, workspace: Workspace, arrays: list[np.ndarray], seconds: npt.NDArray[np.float64] | None = None) -> int: ...

def isas() -> list[str]: ...
def set_isa(name: str) -> None: ...
def current_isa() -> str: ...
def kernels(isa: str) -> list[str]: ...
def cpu() -> dict[str, Any]: ...
def vector_length() -> int: ...
def gemm_max_mr(nv: int) -> int: ...
def gemm_pair(ow: int) -> int: ...
def aligned_empty(count: int, dtype: npt.DTypeLike = ...) -> np.ndarray: ...
def pack_gemm_b(w: npt.NDArray[np.float32], transposed: bool, nv: int) -> npt.NDArray[np.float32]: ...
def pack_conv(w: npt.NDArray[np.float32], groups: int, nv: int) -> npt.NDArray[np.float32]: ...
def pack_winograd(w: npt.NDArray[np.float32], m: int, nv: int) -> npt.NDArray[np.float32]: ...
