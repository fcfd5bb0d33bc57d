"""Builds fastcnn._native: each instruction set's kernels with its own flags, everything else for the baseline CPU.

FASTCNN_DEBUG=1      -O1, Cython's checks, AddressSanitizer and UndefinedBehaviorSanitizer
FASTCNN_OPENMP=0     single-threaded build (also what happens, with a warning, when the compiler lacks OpenMP)
"""
import os
import platform
import subprocess
import sysconfig
import tempfile
import warnings
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_clib import build_clib
from setuptools.command.build_ext import build_ext

HERE = Path(__file__).parent
SOURCE = Path("fastcnn_c")
DEBUG = os.environ.get("FASTCNN_DEBUG") == "1"
X86 = platform.machine().lower() in ("x86_64", "amd64")

ISA_FLAGS = {
    "scalar": [],
    "avx2": ["-mavx2", "-mfma", "-mf16c"],
    "avx512": ["-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mavx2", "-mfma", "-mf16c",
               "-mprefer-vector-width=512"],
}
# Sub-levels: their parent's flags and one or a few more, which older compilers do not know.
SUBLEVEL_FLAGS = {"avx2_vnni": [*ISA_FLAGS["avx2"], "-mavxvnni"], "avx512_vnni": [*ISA_FLAGS["avx512"], "-mavx512vnni"],
                  "avx512_amx": [*ISA_FLAGS["avx512"], "-mavx512vnni", "-mamx-tile", "-mamx-int8"]}
# Kernels that ask for more than any level: name of the file -> flags.
SINGLE_FLAGS = {"table_avx512_vbmi": [*ISA_FLAGS["avx512"], "-mavx512vbmi"],
                "pairs_avx512_bf16": [*ISA_FLAGS["avx512"], "-mavx512bf16"],
                "pairs_avx512_amx": [*ISA_FLAGS["avx512"], "-mavx512bf16", "-mamx-tile", "-mamx-bf16"]}
SANITIZE = ["-fsanitize=address,undefined", "-fno-omit-frame-pointer"]
C_FLAGS = ["-std=c11", "-D_GNU_SOURCE", f"-DFC_HAVE_X86={int(X86)}", "-Wall", "-Wextra", "-Wshadow",
           "-fvisibility=hidden", "-fPIC"]
C_FLAGS += ["-O1", "-g1", "-UNDEBUG", *SANITIZE] if DEBUG else ["-O3", "-g0", "-DNDEBUG"]


def compiler_accepts(flags, program="int main(void) { return 0; }"):
    """Whether the C compiler builds a program with these flags."""
    command = os.environ.get("CC", "cc").split()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "probe.c")
        source.write_text(program + "\n")
        try:
            result = subprocess.run([*command, *flags, str(source), "-o", str(source.with_suffix(""))],
                                    capture_output=True)
        except OSError:
            return False
    return result.returncode == 0


def openmp_flags():
    if os.environ.get("FASTCNN_OPENMP", "1") != "0":
        if compiler_accepts(["-fopenmp"], "#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }"):
            return ["-fopenmp"]
        warnings.warn("the C compiler has no OpenMP: fastcnn is built single-threaded", stacklevel=2)
    return []


OPENMP = openmp_flags()
ISAS = ISA_FLAGS if X86 else {"scalar": []}
SUBLEVELS = {isa: flags for isa, flags in SUBLEVEL_FLAGS.items() if X86 and compiler_accepts(flags)}
SINGLES = {name: flags for name, flags in SINGLE_FLAGS.items() if X86 and compiler_accepts(flags)}
C_FLAGS += [f"-DFC_HAVE_{isa.upper()}={int(isa in SUBLEVELS)}" for isa in SUBLEVEL_FLAGS]
C_FLAGS += [f"-DFC_HAVE_{name.upper()}={int(name in SINGLES)}" for name in SINGLE_FLAGS]
# Partial redundancy elimination moves the halves of bytes out of loops until registers do not suffice (GCC 12).
BYTES_FLAGS = [flag for flag in ("-fno-tree-pre",) if compiler_accepts([flag])]
HEADERS = sorted(str(p) for p in (HERE / SOURCE).rglob("*") if p.suffix in (".h", ".inc", ".pxi"))
HEADERS = [os.path.relpath(h, HERE) for h in HEADERS]
# What the linked libraries are made of: build_ext does not look at them itself.
SOURCES = sorted(os.path.relpath(p, HERE) for p in (HERE / SOURCE).rglob("*.c") if p.name != "_native.c")


def digest(*files):
    """What tells a build from others: packed weights of another are packed again."""
    found = sha256()
    for name in sorted(sum(files, [str(SOURCE / "_native.pyx")])):
        found.update(name.encode() + b"\0" + (HERE / name).read_bytes())
    return found.hexdigest()[:16]


def library(name, sources, flags):
    return name, {"sources": sources, "cflags": C_FLAGS + flags, "obj_deps": {"": HEADERS},
                  "include_dirs": [str(SOURCE)]}


def libraries():
    everyone = sorted(str(p.relative_to(HERE)) for pattern in ("*.c", "ops/**/*.c") for p in (HERE / SOURCE).glob(pattern)
                      if p.name != "_native.c")
    kernels = [library(f"fastcnn_{isa}", [str(SOURCE / "isa" / f"{isa}.c")], flags) for isa, flags in ISAS.items()]
    kernels += [library(f"fastcnn_bytes_{isa}", [str(SOURCE / "isa" / f"bytes_{isa}.c")], [*flags, *BYTES_FLAGS])
                for isa, flags in {**ISAS, **SUBLEVELS}.items()]
    kernels += [library(f"fastcnn_{name}", [str(SOURCE / "isa" / f"{name}.c")], flags)
                for name, flags in {"pairs_scalar": [], **SINGLES}.items()]
    return [library("fastcnn_core", everyone, OPENMP), *kernels]


class BuildClib(build_clib):
    """Compiles libraries side by side: each instruction set's kernels take a compiler half a minute."""

    def build_libraries(self, libraries):
        one = super().build_libraries
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for done in [pool.submit(one, [each]) for each in libraries]:
                done.result()


class BuildExt(build_ext):
    """build_ext --inplace alone does not build the libraries it links."""

    def run(self):
        self.run_command("build_clib")
        super().run()


# What `fastcnn doctor` shows: flags of all C files that matter to speed, and those of each instruction set.
TOLD = "; ".join([" ".join(flag for flag in [*C_FLAGS, *OPENMP] if not flag.startswith(("-W", "-DFC_"))),
                  *(f"{isa} {' '.join(flags)}" for isa, flags in {**ISAS, **SUBLEVELS}.items() if flags)])

native = Extension(
    "_native", [str(SOURCE / "_native.pyx")], include_dirs=[str(SOURCE), numpy.get_include()],
    define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION"), ("FC_BUILD", f'"{digest(HEADERS, SOURCES)}"'),
                   ("FC_FLAGS", f'"{TOLD}"')],
    depends=[*HEADERS, *SOURCES],
    extra_compile_args=["-O1" if DEBUG else "-O2", "-g1" if DEBUG else "-g0", "-Wno-unused-function", *OPENMP,
                        *(SANITIZE if DEBUG else [])],
    extra_link_args=[*OPENMP, *(SANITIZE if DEBUG else [])])

directives = {"language_level": 3, "boundscheck": DEBUG, "wraparound": DEBUG, "initializedcheck": DEBUG,
              "cdivision": True}
if sysconfig.get_config_var("Py_GIL_DISABLED"):         # a free-threaded CPython, which needs Cython 3.1
    directives["freethreading_compatible"] = True

# The checked build keeps its C file to itself: the next plain build would take it for its own. Cython finds _native.pxd
# beside the source by the module's bare name; the package comes after.
native, = cythonize([native], compiler_directives=directives, force=DEBUG, build_dir="build/checked" if DEBUG else None)
native.name = "fastcnn._native"

setup(libraries=libraries(), ext_modules=[native],
      cmdclass={"build_ext": BuildExt, "build_clib": BuildClib})
