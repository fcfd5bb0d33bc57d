"""Fixtures that every test file shares."""
from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import fastcnn  # noqa: F401  (selects the instruction set)
from fastcnn import _native
from fastcnn.machine.current import using
from fastcnn.machine.numbers import Machine
from fastcnn.machine.table import ROWS

# A run starts no more threads than there are CPUs. Teams are tested as on a machine with these many, whatever this one has.
CPUS = 8
_native.set_cpus(CPUS)

# These do not depend on FASTCNN_ISA. `make test` sets FASTCNN_TEST_REPEAT for its runs after the first.
INDEPENDENT = ("test_architecture", "test_bench", "test_cpu", "test_models_build", "test_passes", "test_reader",
               "test_reference", "test_registers",
               "test_session", "test_tensor")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With FASTCNN_TEST_REPEAT: without those, and without what goes through every instruction set by itself."""
    if not os.environ.get("FASTCNN_TEST_REPEAT"):
        return

    def independent(item: pytest.Item) -> bool:
        return item.path.stem.startswith(INDEPENDENT) or {"isa", "tile"} & set(getattr(item, "fixturenames", ()))

    dropped = [item for item in items if independent(item)]
    items[:] = [item for item in items if not independent(item)]
    config.hook.pytest_deselected(items=dropped)


@pytest.fixture(params=["scalar", "avx2", "avx512"])
def isa(request):
    """Each instruction set in turn; skipped visibly where the CPU or the build lacks it."""
    if request.param not in _native.isas():
        pytest.skip(f"this CPU or build lacks {request.param}")
    before = _native.current_isa()
    _native.set_isa(request.param)
    yield request.param
    _native.set_isa(before)


@pytest.fixture
def plan_for() -> Iterator[Callable[..., Machine]]:
    """plan_for("zen4", l2_bytes=600_000): until the test ends plans are made for that row, with these numbers instead of its own."""
    with ExitStack() as stack:
        yield lambda row="ice_lake", **numbers: stack.enter_context(using(replace(ROWS[row], **numbers)))
