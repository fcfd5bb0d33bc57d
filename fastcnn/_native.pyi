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
CHECKED: bool
HAS_OPENMP: bool

FORM_INT: int
FORM_FLOAT: int
FORM_TEXT: int
FORM_BYTES: int
FORM_SKIPPED: int
FORM_MESSAGE: int
FORM_CALL: int
OUT_OF_TIME: int
STATUS: dict[int, str]
DTYPES: dict[str, int]
POOLS: dict[str, int]
GEMM_MAX_NV: int
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
    def run(self, workspace: Workspace, arrays: list[np.ndarray], seconds: npt.NDArray[np.float64] | None = None,
            until: float = 0) -> int: ...

class WireReader:
    """Serialised messages by tables: kind -> tag -> (name, repeated, form, inside)."""

    def __init__(self, data: Any, tables: dict[str, dict[int, tuple[str, bool, int, Any]]], make: Any, odd: type[Exception]) -> None: ...
    def read(self, kind: str, depth: int) -> Any: ...

class MappedFile:
    """Bytes of a mapped file."""

    cut: bool
    def __init__(self, data: Any) -> None: ...

def begin_reading_files() -> None: ...
def end_reading_files() -> None: ...
def isas() -> list[str]: ...
def set_isa(name: str) -> None: ...
def current_isa() -> str: ...
def kernels(isa: str) -> list[str]: ...
def cpu() -> dict[str, Any]: ...
def cpus() -> int: ...
def set_cpus(count: int) -> None: ...
def set_cpu_quota(count: int) -> None: ...
def multiply_chain(count: int) -> int: ...
def vector_length() -> int: ...
def gemm_max_mr(nv: int) -> int: ...
def gemm_pair(ow: int) -> int: ...
def depthwise_wide_pairs() -> bool: ...
def winograd_whole_blocks(blocks: int, threads: int) -> bool: ...
def aligned_empty(count: int, dtype: npt.DTypeLike = ...) -> np.ndarray: ...
def pack_gemm_b(w: npt.NDArray[np.float32], transposed: bool, nv: int) -> npt.NDArray[np.float32]: ...
def pack_conv(w: npt.NDArray[np.float32], groups: int, nv: int) -> npt.NDArray[np.float32]: ...
def pack_winograd(w: npt.NDArray[np.float32], m: int, nv: int) -> npt.NDArray[np.float32]: ...
