"""The shape of the house: who may import or include whom, how long files and functions are, that everything has a test."""
from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastcnn import _native
from fastcnn.operators.cards import CARDS
from fastcnn.ops import OPS

ROOT = Path(__file__).parent.parent
PYTHON, NATIVE, TESTS = ROOT / "fastcnn", ROOT / "fastcnn_c", ROOT / "tests"

# Rooms: folders, and these of single files. Room -> the rooms it may import from.
FILES = {
    "base": {"boundary", "budget", "ir", "locks", "mapping", "version", "ratio", "resample"},
    "native": {"_native"},
    "cpu": {"cpu"},
    "expansion": {"expansion"},
    "model": {"model", "loading", "feeds", "results", "sources"},
    "backend": {"backend"},
    "preprocess": {"preprocess"},
    "post_training": {"post_training"},
    "comparison": {"comparison"},
    "distributed": {"ray", "spark"},
    "command": {"__main__"},
}
ARROWS = {
    "base": set(),
    "onnx_proto": {"base", "native"},
    "expansion": {"base", "onnx_proto"},
    "operators": {"base"},
    "schema": {"base", "onnx_proto", "operators"},
    "inference": {"base", "operators", "onnx_proto", "schema"},
    "reader": {"base", "operators", "onnx_proto", "expansion", "inference", "schema"},
    "reference": {"base", "operators", "onnx_proto", "inference"},
    "passes": {"base", "operators", "onnx_proto", "expansion", "inference", "reference"},
    "cpu": {"base", "native", "machine"},
    "machine": {"base", "native"},
    "convolve": {"base", "native", "machine"},
    "tune": {"base", "native", "machine", "convolve"},
    "ops": {"base", "operators", "native", "machine", "convolve", "inference"},
    "fusions": {"base", "operators", "native", "machine", "convolve", "ops"},
    "plan": {"base", "operators", "native", "schema", "reference", "machine", "convolve", "ops", "fusions"},
    "precision": {"base", "operators", "native", "machine", "expansion", "inference", "passes", "convolve", "ops"},
    "compiled": {"base", "operators", "onnx_proto", "schema", "native", "machine", "convolve", "plan"},
    "analysis": {"base", "operators", "native", "reference", "machine", "convolve", "ops", "plan", "tune"},
    "calls": {"base", "cpu", "plan"},
    "model": {"base", "analysis", "calls", "compiled", "cpu", "inference", "reader", "passes", "precision", "convolve", "tune", "plan"},
    "backend": {"base", "model", "onnx_proto"},
    "compat": {"base", "analysis", "compiled", "convolve", "model", "passes", "plan", "reader", "cpu", "onnx_proto"},
    "capi": {"compat"},
    "preprocess": {"base", "model"},
    "comparison": {"base", "analysis", "model"},
    "benchmark": {"base", "analysis", "cpu", "model", "post_training", "reader"},
    "post_training": {"base", "analysis", "cpu", "model", "onnx_proto", "precision", "reader"},
    "explanation": {"base", "analysis", "model", "preprocess"},
    "distributed": {"base", "model", "preprocess"},
    "serving": {"base", "analysis", "calls", "cpu", "model", "preprocess"},
    "selftest": {"base", "operators", "native", "reference", "machine", "passes", "convolve", "plan"},
    "cli": {"base", "analysis", "benchmark", "comparison", "compiled", "cpu", "explanation", "model", "native", "post_training",
            "precision", "preprocess", "reader", "selftest", "serving"},
    "command": set(),
}
MAY_IMPORT_ONNX = {"onnx_proto", "schema", "reader", "reference", "model", "backend", "benchmark", "cli", "comparison", "post_training"}

FILE_LINES, PYTHON_FUNCTION_LINES, C_FUNCTION_LINES = 400, 60, 60
# What is longer than that for now: "file" or "file:function". An entry that is not needed any more fails the test.
LONG: set[str] = set()

# Kernel families that have no test file of their name: the step whose tests run them.
TESTED_THROUGH = {"affine": "group_norm", "moments": "group_norm", "interleave": "copy", "deinterleave": "copy",
                  "transpose": "copy", "qpack": "qmatmul",
                  "resize_i32_terms": "resize_terms", "resize_u8_mac": "resize_fixed", "resize_i8_mac": "resize_fixed",
                  "half": "cast", **dict.fromkeys(("cast_u8", "cast_i8", "cast_i32", "cast_i64", "cast_bool"), "cast"),
                  "winograd_input": "winograd", "winograd_output": "winograd"}


def python_files() -> list[Path]:
    return sorted(PYTHON.rglob("*.py"))


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> set[str]:
    """Absolute names of the modules a file imports, wherever in it; `import a.b` without `as` gives it `a` as well."""
    package = path.relative_to(ROOT).parts[:-1]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
            found.update(alias.name.split(".")[0] for alias in node.names if not alias.asname)
        elif isinstance(node, ast.ImportFrom):
            start = package[:len(package) - node.level + 1] if node.level else ()
            base = ".".join([*start, *([node.module] if node.module else [])])
            inside = {f"{base}.{alias.name}" for alias in node.names if is_module(f"{base}.{alias.name}")}
            found |= inside or {base}
    return found


def is_module(name: str) -> bool:
    path = ROOT / name.replace(".", "/")
    return name == "fastcnn._native" or path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def room_of(module: str) -> str:
    name = module.split(".")[1]
    rooms = [room for room, files in FILES.items() if name in files] or ([name] if name in ARROWS else [])
    assert rooms, f"{module} is in no room: say in tests/test_architecture.py where it belongs and what it may import"
    return rooms[0]


@pytest.mark.parametrize("path", [p for p in python_files() if p != PYTHON / "__init__.py"],
                         ids=lambda p: str(p.relative_to(ROOT)))
def test_architecture_imports_follow_the_arrows(path):
    room = room_of(module_of(path))
    for imported in imports_of(path):
        if imported.split(".")[0] == "fastcnn":
            assert imported != "fastcnn", "import the module that is meant, not the package that imports everything"
            other = room_of(imported)
            assert other == room or other in ARROWS[room], f"{room} may not import {imported} ({other})"
        elif imported.split(".")[0] in ("onnx", "google"):
            assert room in MAY_IMPORT_ONNX, f"{room} may not know protobuf ({imported})"
            assert room != "model" or imported == "onnx", "model knows ModelProto and no more"


def test_architecture_passes_never_reach_the_machine():
    """Not even through what they import."""
    reached, queue = set(), [module_of(p) for p in python_files() if PYTHON / "passes" in p.parents]
    while queue:
        module = queue.pop()
        if module in reached or not module.startswith("fastcnn."):
            continue
        reached.add(module)
        path = ROOT / module.replace(".", "/")
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        queue += imports_of(path) if path.exists() else []
    assert not {m for m in reached if room_of(m) in ("native", "ops", "plan", "machine", "convolve", "model", "cpu")}


def test_architecture_arrows_have_no_cycle():
    done: set[str] = {"native"}
    while len(done) < len(ARROWS) + 1:
        ready = {room for room, others in ARROWS.items() if room not in done and others <= done}
        assert ready, f"a cycle among {ARROWS.keys() - done}"
        done |= ready


def top_down(edges: dict[str, set[str]]) -> list[str]:
    """What is left when everything that imports only what was taken before is taken: the members of circles, and who imports them."""
    left = {name: others & edges.keys() for name, others in edges.items()}
    while ready := {name for name, others in left.items() if not others & left.keys()}:
        left = {name: others for name, others in left.items() if name not in ready}
    return sorted(left)


def test_architecture_no_circle_between_files():
    """Annotations count too. A package and the modules in it are one where the package only names them."""
    edges = {module_of(path): imports_of(path) - {module_of(path)} for folder in ("fastcnn", "bench", "models")
             for path in (ROOT / folder).rglob("*.py")}
    assert not top_down(edges)


@pytest.mark.parametrize("folder, lower", [("fastcnn", set()), ("models", {"fastcnn"}), ("bench", {"fastcnn", "models"})])
def test_architecture_no_arrow_up_between_folders(folder, lower):
    """The package knows neither benchmarks nor tests, networks know no benchmarks, and nobody knows the tests."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        tops = {name.split(".")[0] for name in imports_of(path)} & {"fastcnn", "models", "bench", "tests"}
        assert tops <= lower | {folder}, f"{path.relative_to(ROOT)} imports {tops - lower - {folder}}"


# ---- C ----


def c_files(*patterns: str) -> list[Path]:
    return sorted(p for pattern in patterns for p in NATIVE.glob(pattern) if p.name != "_native.c")


def without_comments(path: Path) -> str:
    return re.sub(r"/\*.*?\*/|//[^\n]*", " ", path.read_text(), flags=re.DOTALL)


def includes(path: Path) -> list[str]:
    return re.findall(r"^\s*#\s*include\s*[<\"]([^>\"]+)[>\"]", without_comments(path), re.MULTILINE)


def test_architecture_loops_see_no_instruction_set():
    for path in [*c_files("ops/**/*.*", "*.h"), NATIVE / "program.c", NATIVE / "pack.c", NATIVE / "steps.c"]:
        for name in includes(path):
            assert not re.search("intrin|arm_neon|simd", name), f"{path.name} includes {name}"
        assert not re.search(r"\b(_mm\d*_|__m(128|256|512)|v_f32\b|V_LEN\b)",
                             without_comments(path)), f"{path.name} names vectors"


def test_architecture_loops_leave_threads_to_the_program():
    for path in c_files("ops/**/*.*"):
        assert not re.search(r"#\s*pragma\s+omp|\bomp_|pthread_", without_comments(path)), path.name


def test_architecture_nothing_allocates_during_a_run():
    for path in [*c_files("ops/**/*.*"), *c_files("kernels/*"), *c_files("simd/*"), NATIVE / "program.c"]:
        assert not re.search(r"\b(malloc|calloc|realloc|free|aligned_alloc|posix_memalign|alloca)\s*\(",
                             without_comments(path)), path.name


def test_architecture_kernels_see_no_shape_and_no_thread():
    for path in c_files("kernels/*.inc"):
        text = without_comments(path)
        assert not re.search(r"\bfc_team|\bfc_share\b|\bfc_run_|\bfc_step\b|\bfc_active\b", text), path.name
        roots = ("isa.inc", "bytes.inc", "pairs.inc")
        standard = {"math.h", "string.h", "stddef.h", "stdint.h", "assert.h"} if path.name in roots else set()
        own = {p.name for p in c_files("kernels/*")}
        assert set(includes(path)) <= own | standard, f"{path.name} includes more than kernels"


def test_architecture_intrinsics_stay_in_the_vocabulary():
    for path in c_files("kernels/*", "isa/*"):
        assert not re.search(r"\b_mm\d*_|\b__m(128|256|512)", without_comments(path)), path.name


def test_architecture_headers_define_no_plain_inline_functions():
    """A plain inline compiled with -mavx512f may be the copy the linker keeps."""
    for path in c_files("**/*.h"):
        for line in without_comments(path).splitlines():
            assert not re.match(r"inline\b", line), f"{path.name}: {line}"


# ---- lengths ----


def c_functions(path: Path) -> Iterator[tuple[str, int]]:
    """(name, lines) of functions whose braces stand in the first column."""
    lines = path.read_text().splitlines()
    begin = None
    for k, line in enumerate(lines):
        if line == "{":
            begin = k
        elif line == "}" and begin is not None:
            header = " ".join(lines[max(0, begin - 3):begin])
            yield (re.findall(r"(\w+(?:\(\w+\))?)\s*\(", header) or ["?"])[-1], k - begin + 1
            begin = None


def long_ones() -> set[str]:
    found = set()
    for path in [*python_files(), *sorted((ROOT / "bench").rglob("*.py")), *sorted((ROOT / "models").rglob("*.py")),
                 *sorted(TESTS.glob("*.py")), ROOT / "fastcnn_cli.py"]:
        name, text = str(path.relative_to(ROOT)), path.read_text()
        if len(text.splitlines()) > FILE_LINES:
            found.add(name)
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno + 1 > PYTHON_FUNCTION_LINES:
                found.add(f"{name}:{node.name}")
    for path in c_files("**/*.c", "**/*.h", "**/*.inc", "*.pyx"):
        name = str(path.relative_to(ROOT))
        if len(path.read_text().splitlines()) > FILE_LINES:
            found.add(name)
        found |= {f"{name}:{function}" for function, lines in c_functions(path) if lines > C_FUNCTION_LINES}
    return found


def test_architecture_files_and_functions_are_short():
    found = long_ones()
    assert not found - LONG, "too long: split them"
    assert not LONG - found, "not too long any more: take them off the list"


# ---- everything has a test ----


def text_of_tests(pattern: str) -> str:
    return "\n".join(p.read_text() for p in sorted(TESTS.glob(pattern)) if p.name != Path(__file__).name)


def test_architecture_every_operator_appears_in_a_test():
    """Functions of one value are tested from their cards."""
    text = text_of_tests("test_*.py")
    missing = sorted(name for (domain, name) in OPS if CARDS[domain, name].function is None and not re.search(rf"\b{name}\b", text))
    assert not missing, f"no test names {missing}"


def test_architecture_every_kernel_belongs_to_a_tested_family():
    text = text_of_tests("test_kernel_*.py")
    families = {re.match(r"fc_(\w+?)(_f32\w*|_u8\w*|_s8\w*|_bf16\w*|_widen|_narrow)?__", name)[1] for isa in _native.isas()
                for name in _native.kernels(isa)}
    missing = sorted(f for f in families if not re.search(rf"(_|\b){TESTED_THROUGH.get(f, f)}(_|\b)", text))
    assert not missing, f"no tests/test_kernel_*.py runs {missing}"


def test_architecture_every_step_appears_in_a_kernel_test():
    text = text_of_tests("test_kernel_*.py")
    missing = sorted(kind for kind in _native.step_fields() if f'"{kind}"' not in text)
    assert not missing, f"no tests/test_kernel_*.py runs the steps {missing}"


def test_architecture_native_stub_matches_the_module():
    stub = {node.name if isinstance(node, ast.FunctionDef | ast.ClassDef) else node.target.id
            for node in ast.parse((PYTHON / "_native.pyi").read_text()).body
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AnnAssign)}
    public = {name for name in vars(_native) if not name.startswith("_") and name not in ("np", "cnp")}
    assert stub == public


def test_architecture_steps_that_meet_are_named():
    """Every file of ops/ whose step calls fc_team_wait has that step in the table of steps.c, and no other."""
    waiting = {name for path in c_files("ops/*/*.c") if "fc_team_wait(" in without_comments(path)
               for name in re.findall(r"fc_status (fc_run_\w+)\(", without_comments(path)) if path.stem in name or path.stem == "norm"}
    named = set(re.findall(r"\{(fc_run_\w+), \w+\}", without_comments(NATIVE / "steps.c")))
    assert named == waiting - {"fc_run_layer_norm"}, "a step that waits without being named deadlocks when a thread does two shares"
