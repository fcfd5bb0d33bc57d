"""Many runs of one model at once: whose turn it is, what ends one before its time, and the same results as one after the other."""
from __future__ import annotations

import asyncio
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from conftest import CPUS
from processes import image, network
from test_budgets import HUGE, loop
from test_forks import in_child, needs_fork

import fastcnn
from fastcnn import _native
from fastcnn.plan import workspaces
from fastcnn.plan.executor import Engine
from fastcnn.plan.workspaces import Workspaces

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")


@pytest.fixture
def narrow(monkeypatch):
    """At most two workspaces an engine."""
    monkeypatch.setattr(workspaces, "A_CPU", 1)
    monkeypatch.setattr(workspaces, "SMALL", 0)
    _native.set_cpus(2)
    yield
    _native.set_cpus(CPUS)


def waits(pool: Workspaces, count: int) -> None:
    """Returns when so many runs wait."""
    while pool.waiting < count:
        threading.Event().wait(0.001)


def test_runs_beyond_the_bound_take_turns_in_order(narrow):
    pool, order = Workspaces(), list[int]()
    held = [pool.take(), pool.take()]
    threads = []

    def run(k: int) -> None:
        workspace = pool.take()
        order.append(k)
        pool.give(workspace, True)

    for k in range(4):
        threads.append(threading.Thread(target=run, args=(k,)))
        threads[-1].start()
        waits(pool, k + 1)
    assert len(pool.made) == 2
    pool.give(held[0], True)
    for thread in threads:
        thread.join()
    assert order == [0, 1, 2, 3] and pool.waiting == 0 and len(pool.made) == 2


def test_small_workspaces_are_made_for_every_run(monkeypatch):
    monkeypatch.setattr(workspaces, "A_CPU", 1)
    pool = Workspaces()
    held = [pool.take() for _ in range(50 * CPUS)]
    assert len(pool.made) == len(held)


def test_who_waits_longer_than_its_timeout_gives_up_and_loses_no_turn(narrow):
    pool = Workspaces()
    held = [pool.take(), pool.take()]
    with pytest.raises(fastcnn.TimeLimitError, match="waited"):
        pool.take(fastcnn.Deadline(0.01))
    assert pool.waiting == 0
    with ThreadPoolExecutor(1) as other:
        turn = other.submit(pool.take)
        waits(pool, 1)
        pool.give(held[0], True)
        assert turn.result() is held[0]


def test_a_handler_above_a_run_does_not_wait_for_that_run(narrow, monkeypatch):
    """Both workspaces are in use by runs below the handler on the same thread. No handler runs inside of a shortcut."""
    monkeypatch.setattr(Engine, "_remember", lambda *_: None)
    loaded, depth = fastcnn.load(network(), threads=1), []
    want = loaded(image(20))
    engine = loaded._default
    run_stage = type(engine)._run_stage

    def interrupted(*args: object) -> object:
        if len(depth) < 4:
            depth.append(None)
            signal.raise_signal(signal.SIGUSR1)
        return run_stage(*args)

    seen = []
    before = signal.signal(signal.SIGUSR1, lambda *_: seen.append(loaded(image(20))))
    monkeypatch.setattr(type(engine), "_run_stage", interrupted)
    try:
        seen.append(loaded(image(20)))
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert len(seen) == 5 and all((got == want).all() for got in seen)


@needs_fork
def test_a_child_does_not_wait_for_runs_of_the_parents_threads(narrow):
    loaded = fastcnn.load(network(), threads=1)
    want = loaded(image(20))
    pool = loaded._default.workspaces
    held = [pool.take(), pool.take()]
    assert in_child(lambda: bool((loaded(image(20)) == want).all())) == 0
    for workspace in held:
        pool.give(workspace, True)


@pytest.mark.parametrize("bounded", [False, True])
def test_many_threads_give_the_bits_of_one(bounded, request):
    if bounded:
        request.getfixturevalue("narrow")
    loaded = fastcnn.load(network(), threads=2)
    want = [loaded(image(height)) for height in range(20, 28)]
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda k: (k % 8, loaded(image(20 + k % 8))), range(400)))
    assert all((got == want[k]).all() for k, got in results)
    assert loaded.stats().runs == 408 and loaded.stats().under_way == 0


# ---- deadlines ----


def test_a_deadline_that_is_cancelled_ends_runs():
    loaded = fastcnn.load(network(), threads=1)
    deadline = fastcnn.Deadline()
    assert deadline.remaining() is None and not deadline.passed()
    want, = loaded.run(None, {"x": image(20)}, timeout=deadline)
    deadline.cancel()
    assert deadline.passed() and deadline.remaining() == 0
    with pytest.raises(fastcnn.TimeLimitError):
        loaded.run(None, {"x": image(20)}, timeout=deadline)
    np.testing.assert_array_equal(loaded(image(20)), want)


def test_a_run_under_way_ends_when_its_deadline_is_cancelled():
    """A loop that would run for hours."""
    loaded, deadline = fastcnn.load(loop(HUGE)), fastcnn.Deadline()
    with ThreadPoolExecutor(1) as other:
        run = other.submit(loaded.run, None, {"x": np.ones(2, np.float32)}, timeout=deadline)
        while not loaded.stats().under_way:
            threading.Event().wait(0.001)
        deadline.cancel()
        with pytest.raises(fastcnn.TimeLimitError, match="Loop 'n'"):
            run.result()


# ---- coroutines ----


def test_arun_gives_what_run_gives():
    loaded = fastcnn.load(network(), threads=2)

    async def all_at_once() -> list[list[np.ndarray]]:
        return await asyncio.gather(*[loaded.arun({"x": image(20 + k % 3)}) for k in range(30)])

    results = asyncio.run(all_at_once())
    for k, (got,) in enumerate(results):
        np.testing.assert_array_equal(got, loaded(image(20 + k % 3)))


def test_arun_takes_names_out_and_timeout_and_raises_as_run_does():
    loaded, out = fastcnn.load(network(), threads=1), np.empty((1, 32, 20, 29), np.float32)
    got, = asyncio.run(loaded.arun({"x": image(20)}, ["t"], out=[out], timeout=60))
    assert got is out
    np.testing.assert_array_equal(got, loaded.run(["t"], {"x": image(20)})[0])
    with pytest.raises(fastcnn.InputError, match="missing"):
        asyncio.run(loaded.arun({}))
    with pytest.raises(fastcnn.TimeLimitError):
        asyncio.run(loaded.arun({"x": image(20)}, timeout=0))


def test_a_cancelled_arun_cuts_the_run_short():
    """A loop that would run for hours."""
    loaded = fastcnn.load(loop(HUGE))

    async def cancelled() -> None:
        running = asyncio.ensure_future(loaded.arun({"x": np.ones(2, np.float32)}))
        while not loaded.stats().under_way:
            await asyncio.sleep(0.001)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(cancelled())
    while loaded.stats().under_way:
        threading.Event().wait(0.001)
    assert loaded.stats().failed == 1


@needs_fork
def test_arun_works_in_a_child():
    loaded = fastcnn.load(network(), threads=2)
    want, = asyncio.run(loaded.arun({"x": image(20)}))
    assert in_child(lambda: bool((asyncio.run(loaded.arun({"x": image(20)}))[0] == want).all())) == 0
    assert loaded.stats().runs == 1
