"""Fixtures that every test file shares."""
from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace

import hypothesis
import pytest

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

from peers import skip_old

import fastcnn  # noqa: F401  (selects the instruction set)
from fastcnn import _native
from fastcnn.convolve import planes_chain
from fastcnn.convolve.planes_dense import PlanesDense
from fastcnn.machine.current import using
from fastcnn.machine.numbers import Machine
from fastcnn.machine.table import ROWS

# Random cases take as long as they take: a machine may be busy.
hypothesis.settings.register_profile("unhurried", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("unhurried")

# What a terminal or a service that runs tests sets, and a user's own choices: tests set what they speak of.
for name in ("COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR", "FASTCNN_THREADS", "FASTCNN_CACHE", "FASTCNN_MODEL_CACHE",
             "FASTCNN_MODEL_CACHE_MB", "FASTCNN_TUNE_SECONDS"):
    os.environ.pop(name, None)

# A run starts no more threads than there are CPUs. Teams are tested as on a machine with these many, whatever this one has.
CPUS = 8
_native.set_cpus(CPUS)

# tests/every_run.py sets FASTCNN_TEST_REPEAT for its runs after the first. "isa": these do not depend on FASTCNN_ISA.
INDEPENDENT = ("test_architecture", "test_bench", "test_cache", "test_cli", "test_cpu", "test_demo", "test_every_run", "test_forks",
               "test_fuzz", "test_import", "test_inference", "test_mapping", "test_models_build", "test_passes", "test_reader",
               "test_reference", "test_registers", "test_serving", "test_session", "test_shares", "test_summary", "test_tensor")


# "plans": only these depend on what the planner picks.
PLANNED = ("test_batches", "test_builders", "test_choice", "test_corpus", "test_differential", "test_fusions", "test_kernel_conv_depthwise",
           "test_kernel_conv_interleaved", "test_kernel_conv_pool", "test_kernel_grouped", "test_kernel_winograd", "test_light_models",
           "test_ops_conv", "test_ops_deep", "test_ops_normalization", "test_ops_pool", "test_plan", "test_shapes_many", "test_threads",
           "test_tune", "test_zoo")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skips what the installed peers are too old for. With FASTCNN_TEST_REPEAT=isa without INDEPENDENT, and without what goes through every
    instruction set by itself; with plans only PLANNED.
    """
    skip_old(items)
    repeat = os.environ.get("FASTCNN_TEST_REPEAT")
    if not repeat:
        return

    def repeated(item: pytest.Item) -> bool:
        if repeat == "plans":
            return item.path.stem.startswith(PLANNED)
        return not item.path.stem.startswith(INDEPENDENT) and not {"isa", "tile", "level", "pairs"} & set(getattr(item, "fixturenames", ()))

    config.hook.pytest_deselected(items=[item for item in items if not repeated(item)])
    items[:] = [item for item in items if repeated(item)]


def at_level(name: str) -> Iterator[str]:
    """What a fixture does to run a test at an instruction set or sub-level: skipped visibly where the CPU or the build lacks it."""
    if name not in _native.levels():
        pytest.skip(f"this CPU or build lacks {name}")
    before = _native.current_isa()
    _native.set_isa(name)
    yield name
    _native.set_isa(before)


@pytest.fixture(params=["scalar", "avx2", "avx512"])
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each instruction set in turn."""
    yield from at_level(request.param)


@pytest.fixture(params=["scalar", "avx2", "avx2_vnni", "avx512", "avx512_vnni", "avx512_amx"])
def level(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each instruction set and sub-level in turn."""
    yield from at_level(request.param)


@pytest.fixture
def plan_for() -> Iterator[Callable[..., Machine]]:
    """plan_for("zen4", l2_bytes=600_000): until the test ends plans are made for that row, with these numbers instead of its own."""
    with ExitStack() as stack:
        yield lambda row="ice_lake", **numbers: stack.enter_context(using(replace(ROWS[row], **numbers)))


@pytest.fixture
def on_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plans keep every layer on pixels, whatever the machine says of planes."""
    monkeypatch.setattr(PlanesDense, "pays", lambda self, problem: False)
    monkeypatch.setattr(planes_chain, "pays", lambda layers: False)


@pytest.fixture(params=["scalar", "avx512_vnni", "avx512_amx"])
def pairs(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each level that may have products of pairs: the second where the CPU has AVX-512 BF16 too."""
    before = _native.current_isa()
    if request.param in _native.levels():
        _native.set_isa(request.param)
    if _native.current_isa() != request.param or not _native.pgemm_max_mr(1):
        _native.set_isa(before)
        pytest.skip(f"this CPU or build has no products of bfloat16 at {request.param}")
    yield request.param
    _native.set_isa(before)
