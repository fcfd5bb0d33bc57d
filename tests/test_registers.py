"""The register tiles keep their accumulators in registers: objdump sees no vector stored inside the loop over k.

A spill costs a store and a load for every multiply-add and breaks no other test.
"""
from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from fastcnn import _native

# What a build holds, whether or not this CPU runs it: code that was changed where it cannot run has to be looked at too.
LEVELS = "avx2", "avx2_vnni", "avx512", "avx512_vnni", "avx512_amx"
TILE = re.compile(r"fc_gemm_f32_(pair_|interleaved_|half_)?(\d+)x(\d+)__(avx2|avx512)$")
THIRDS = 9          # rows up to which one and a half vectors are three halves (isa/avx512.c: FC_GEMM_HALVES_MR)
INSTRUCTION = re.compile(r"^\s*([0-9a-f]+):\s+(\S+)\s*(.*)$")

SPILLING = r"""
#include <immintrin.h>
#include <stddef.h>
__attribute__((noinline)) void vla(float *c, const float *a, const float *b, size_t k, int mr, int nv)
{
    __m256 acc[mr][nv];
    for (int i = 0; i < mr; i++)
        for (int j = 0; j < nv; j++)
            acc[i][j] = _mm256_setzero_ps();
    for (; k > 0; k--, a += mr, b += 8 * nv)
        for (int i = 0; i < mr; i++)
            for (int j = 0; j < nv; j++)
                acc[i][j] = _mm256_fmadd_ps(_mm256_set1_ps(a[i]), _mm256_loadu_ps(b + 8 * j), acc[i][j]);
    for (int i = 0; i < mr; i++)
        for (int j = 0; j < nv; j++)
            _mm256_storeu_ps(c + 8 * (i * nv + j), acc[i][j]);
}

#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif
void too_tall(float *c, const float *a, const float *b, size_t k)
{
    __m256 acc[ROWS][2];
    UNROLL
    for (int i = 0; i < ROWS; i++)
        acc[i][0] = acc[i][1] = _mm256_setzero_ps();
    for (; k > 0; k--, a += ROWS, b += 16) {
        const __m256 b0 = _mm256_loadu_ps(b), b1 = _mm256_loadu_ps(b + 8);
        UNROLL
        for (int i = 0; i < ROWS; i++) {
            const __m256 x = _mm256_set1_ps(a[i]);
            acc[i][0] = _mm256_fmadd_ps(x, b0, acc[i][0]);
            acc[i][1] = _mm256_fmadd_ps(x, b1, acc[i][1]);
        }
    }
    UNROLL
    for (int i = 0; i < ROWS; i++) {
        _mm256_storeu_ps(c + 16 * i, acc[i][0]);
        _mm256_storeu_ps(c + 16 * i + 8, acc[i][1]);
    }
}
"""


@dataclass(frozen=True)
class Instruction:
    address: int
    name: str
    operands: str

    @property
    def is_fma(self) -> bool:
        """Or a dot product of bytes or of bfloat16, or its half without such an instruction."""
        return self.name.startswith(("vfmadd", "vpdpbusd", "vpmaddwd", "vdpbf16ps"))

    @property
    def stores_vector(self) -> bool:
        """A vector register is read and the last operand, AT&T's destination, is memory, whatever addresses it."""
        destination = re.split(r",(?![^(]*\))", self.operands)[-1]
        return self.name.startswith("v") and "(" in destination and bool(re.search(r"%[xyz]mm", self.operands))

    @property
    def jump_target(self) -> int | None:
        found = re.match(r"([0-9a-f]+) <", self.operands) if self.name.startswith("j") else None
        return int(found[1], 16) if found else None


def disassemble(path: Path) -> dict[str, list[Instruction]]:
    """Function -> its instructions."""
    if shutil.which("objdump") is None:
        pytest.skip("objdump is not installed")
    text = subprocess.run(["objdump", "-d", "--no-show-raw-insn", str(path)], capture_output=True, text=True,
                          check=True).stdout
    functions: dict[str, list[Instruction]] = {}
    body: list[Instruction] = []
    for line in text.splitlines():
        if header := re.match(r"^[0-9a-f]+ <(.+)>:$", line):
            body = functions.setdefault(header[1], [])
        elif found := INSTRUCTION.match(line.replace("{vex} ", "")):
            body.append(Instruction(int(found[1], 16), found[2], found[3].split("#")[0].strip()))
    return functions


def fma_loops(body: list[Instruction]) -> list[list[Instruction]]:
    """Stretches between a backward jump and its target that multiply.

    What a compiler moves behind the end of a function (an odd k) jumps back without a condition, which no loop does.
    """
    ends = [(i.jump_target, i.address) for i in body if i.jump_target is not None and i.name != "jmp"
            and body[0].address <= i.jump_target <= i.address]
    loops = [[i for i in body if begin <= i.address <= end] for begin, end in ends]
    return [loop for loop in loops if any(i.is_fma for i in loop)]


def innermost_fma_loops(body: list[Instruction]) -> list[list[Instruction]]:
    """Those that hold no smaller one."""
    multiplying = fma_loops(body)
    return [loop for loop in multiplying if not any(other is not loop and other[0].address >= loop[0].address
                                                    and other[-1].address <= loop[-1].address and len(other) < len(loop)
                                                    for other in multiplying)]


def stores(body: list[Instruction]) -> list[Instruction]:
    """Vector stores in the loops over k."""
    return [i for loop in innermost_fma_loops(body) for i in loop if i.stores_vector]


@pytest.fixture(scope="module")
def native() -> dict[str, list[Instruction]]:
    functions = disassemble(Path(_native.__file__))
    if not any(TILE.match(name) for name in functions):
        pytest.skip("the native module has no symbols of tiles (stripped, or no x86 build)")
    if b"clang version" in Path(_native.__file__).read_bytes():
        pytest.skip("built by Clang, which orders the tiles' instructions otherwise; version 14 spills in six of them")
    if any("asan" in name for name in functions):
        pytest.skip("the checked build keeps variables in memory")
    return functions


@pytest.mark.parametrize("kernel",
                         [name for level in LEVELS for name in _native.kernels(level) if TILE.match(name)])
def test_registers_tile_stores_no_vector_inside_the_loop_over_k(native, kernel):
    kind, mr, nr, isa = TILE.match(kernel).groups()
    vector = {"avx2": 8, "avx512": 16}[isa]
    accumulators = (2 if kind == "pair_" else 1) * int(mr) * -(-int(nr) // vector)
    if kind == "half_" and 2 * int(nr) == 3 * vector and int(mr) <= THIRDS:
        accumulators = 3 * int(mr)
    loops = innermost_fma_loops(native[kernel])
    assert loops, "no loop over k found"
    assert max(sum(i.is_fma for i in loop) for loop in loops) % accumulators == 0
    assert not stores(native[kernel]), f"{kernel} spills: {[f'{i.name} {i.operands}' for i in stores(native[kernel])]}"


QUADS = [name for level in LEVELS if level != "avx512_amx" for name in _native.kernels(level)
         if re.search(r"(qgemm|qwide)_u8s8_\d+x\d+__", name)]


@pytest.mark.parametrize("kernel", QUADS)
def test_registers_tile_of_bytes_stores_no_vector_inside_the_loop_over_k(native, kernel):
    family, mr, nr, level = re.match(r"fc_(qgemm|qwide)_u8s8_(\d+)x(\d+)__(\w+)", kernel).groups()
    products = int(mr) * int(nr) // (8 if "avx2" in level else 16) * (1 if "vnni" in level or family == "qwide" else 2)
    loops = innermost_fma_loops(native[kernel])
    assert loops and max(sum(i.is_fma for i in loop) for loop in loops) % products == 0
    assert not stores(native[kernel]), f"{kernel} spills: {[f'{i.name} {i.operands}' for i in stores(native[kernel])]}"


def test_registers_tile_of_pairs_stores_no_vector_inside_the_loops_over_k(native):
    tiles = [name for name in native if re.match(r"fc_pgemm_bf16_\d+x\d+(_half)?__avx512_bf16", name)]
    for kernel in tiles:
        mr, nr = map(int, re.findall(r"\d+", kernel)[1:3])
        words = min(innermost_fma_loops(native[kernel]), key=len)       # the others are rounds of it, and a run's last value
        assert sum(i.is_fma for i in words) == mr * nr // 16
        kept = [i for i in words if i.stores_vector]
        assert not kept, f"{kernel} spills: {[f'{i.name} {i.operands}' for i in kept]}"


def test_registers_tiles_of_bytes_that_take_turns_keep_their_sums(native):
    """What epilogues share is laid on the stack once, before the first tile. One of 24 sums may wait there between two pairs of tiles."""
    for kernel in [name for level in LEVELS for name in _native.kernels(level) if name.partition("__")[0].endswith("_turns")]:
        mr, nr = map(int, re.search(r"_(\d+)x(\d+)_", kernel).groups())
        assert {sum(i.is_fma for i in loop) for loop in innermost_fma_loops(native[kernel])} == {mr * nr // 16}
        assert not stores(native[kernel]), f"{kernel} spills: {[f'{i.name} {i.operands}' for i in stores(native[kernel])]}"
        between = {i.address for loop in fma_loops(native[kernel]) for i in loop if i.stores_vector and "(%rsp" in i.operands}
        assert len(between) <= 1


ROWS = [name for name in _native.kernels("avx512") if "depthwise_rows" in name]


@pytest.mark.parametrize("kernel", ROWS)
def test_registers_rows_of_depthwise_convolutions_keep_their_sums(native, kernel):
    """In no loop: what is set aside once before the first one, as a bias, costs nothing."""
    kept = [i for loop in fma_loops(native[kernel]) for i in loop if i.stores_vector and "(%rsp" in i.operands]
    assert not kept, f"{kernel} spills: {[f'{i.name} {i.operands}' for i in kept]}"


DEPTHWISE = [name for level in LEVELS for name in _native.kernels(level) if re.match(r"fc_depthwise_f32_(k[35]s1|k3s2)__", name)]


@pytest.mark.parametrize("kernel", DEPTHWISE)
def test_registers_tile_of_a_depthwise_convolution_sets_no_sum_aside(native, kernel):
    """Between the first FMA of a loop and its last: what follows the sums may need memory."""
    for loop in innermost_fma_loops(native[kernel]):
        products = [i.address for i in loop if i.is_fma]
        kept = [i for i in loop if products[0] < i.address < products[-1] and i.stores_vector and "(%rsp" in i.operands]
        assert not kept, f"{kernel} spills: {[f'{i.name} {i.operands}' for i in kept]}"


def test_no_kernel_of_avx2_stores_with_a_mask(native):
    """Such a store takes 12 to 20 cycles on some CPUs; v_store_tail goes by the bits of its count instead."""
    names = {name for level in LEVELS if level.startswith("avx2") for name in _native.kernels(level)}
    found = {name for name in names for i in native.get(name, ()) if re.match(r"vp?maskmov", i.name) and i.stores_vector}
    assert names and not found


PLANES = [name for level in LEVELS for name in _native.kernels(level) if name.startswith("fc_planes_")]


@pytest.mark.parametrize("kernel", PLANES)
def test_registers_rows_of_planes_keep_their_sums(native, kernel):
    widest = {"avx2": 12, "avx512": 24}[kernel.partition("__")[2]]
    loops = innermost_fma_loops(native[kernel])
    assert max(sum(i.is_fma for i in loop) for loop in loops) % widest == 0
    assert not stores(native[kernel]), f"{kernel} spills: {[f'{i.name} {i.operands}' for i in stores(native[kernel])]}"


@pytest.mark.parametrize("function, rows", [("vla", 8), ("too_tall", 10)])
def test_registers_check_notices_spills(tmp_path, function, rows):
    compiler = os.environ.get("CC", "cc").split()
    if shutil.which(compiler[0]) is None:
        pytest.skip("no C compiler")
    source, obj = tmp_path / "spilling.c", tmp_path / "spilling.o"
    source.write_text(SPILLING)
    built = subprocess.run([*compiler, "-O3", "-mavx2", "-mfma", f"-DROWS={rows}", "-c", str(source), "-o", str(obj)],
                           capture_output=True)
    if built.returncode:
        pytest.skip("the C compiler does not build for AVX2")
    assert stores(disassemble(obj)[function])


def test_registers_check_is_content_with_a_tile_that_fits(tmp_path):
    compiler = os.environ.get("CC", "cc").split()
    if shutil.which(compiler[0]) is None:
        pytest.skip("no C compiler")
    source, obj = tmp_path / "fitting.c", tmp_path / "fitting.o"
    source.write_text(SPILLING)
    built = subprocess.run([*compiler, "-O3", "-mavx2", "-mfma", "-DROWS=6", "-c", str(source), "-o", str(obj)],
                           capture_output=True)
    if built.returncode:
        pytest.skip("the C compiler does not build for AVX2")
    body = disassemble(obj)["too_tall"]
    assert innermost_fma_loops(body) and not stores(body)
