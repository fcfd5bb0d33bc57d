"""Forks, signal handlers, limits: nobody waits for what another thread holds, nor starts more threads than help."""
from __future__ import annotations

import contextlib
import gc
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from conftest import CPUS
from processes import METHODS, image, network, outcomes
from test_api import wait
from test_threads import build, in_new_process, needs_openmp

import fastcnn
from fastcnn import _native, cpu, locks
from fastcnn.locks import Lock, uncollected, uncut
from fastcnn.plan import executor

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")


def in_child(work: Callable[[], bool]) -> int | None:
    """What a forked child says: 0 when work() is true there, None when it hangs."""
    child = os.fork()
    if child == 0:
        code = 4
        try:
            code = 0 if work() else 3
        finally:
            os._exit(code)
    return wait(child)


@needs_fork
def test_a_child_does_not_wait_for_locks_that_other_threads_of_the_parent_hold():
    loaded = fastcnn.load(network(), threads=2)
    want = [loaded(image(height)) for height in (20, 21)]
    loaded.trim()
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with loaded._lock, loaded._default.lock:
            held.set()
            release.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    try:
        assert in_child(lambda: all((loaded(image(h)) == w).all() for h, w in zip((20, 21), want))
                        and loaded.run(["t"], {"x": image(20)})[0].shape == (1, 32, 20, 29)) == 0
    finally:
        release.set()
        thread.join()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("method", METHODS)
def test_children_started_while_other_threads_load_and_plan(method, threads):
    """`python tests/processes.py METHOD 500` is this for long."""
    count = {"fork": 20}.get(method, 3)
    assert outcomes(method, count, threads) == {"same bits": count}


@needs_fork
def test_a_fork_waits_for_what_must_not_be_cut_in_two():
    inside, release, finished = threading.Event(), threading.Event(), []

    def work() -> None:
        with uncut():
            inside.set()
            release.wait(60)
            finished.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    inside.wait()
    timer = threading.Timer(0.05, release.set)
    timer.start()
    assert in_child(lambda: bool(finished)) == 0
    thread.join()


@needs_fork
def test_a_thread_does_not_wait_for_itself_to_fork():
    with uncut():
        assert in_child(lambda: True) == 0


def test_a_lock_is_free_for_the_thread_that_holds_it():
    lock = Lock()
    with lock, lock:
        pass


def test_a_signal_handler_may_run_the_model_while_it_is_planned(monkeypatch):
    """The handler of a signal runs on the thread that plans, between any two statements."""
    loaded = fastcnn.load(network(), threads=1)
    want = {height: fastcnn.load(network(), threads=1)(image(height)) for height in (20, 21)}
    make_plan, seen = executor.make_plan, []

    def handler(number: int, frame: object) -> None:
        seen.append((loaded(image(20)), loaded(image(21))))

    def interrupted(*args: object) -> object:
        if not seen:
            seen.append(None)
            signal.raise_signal(signal.SIGUSR1)
        return make_plan(*args)

    before = signal.signal(signal.SIGUSR1, handler)
    monkeypatch.setattr(executor, "make_plan", interrupted)
    try:
        np.testing.assert_array_equal(loaded(image(20)), want[20])
    finally:
        signal.signal(signal.SIGUSR1, before)
    for height, got in zip((20, 21), seen[1]):
        np.testing.assert_array_equal(got, want[height])


def started(claim: int, threads: int) -> str:
    """A program that prints how many threads a run of the model at argv[1] starts where there are `claim` CPUs."""
    return f"""
        import json, os, sys
        import numpy as np
        import fastcnn
        from fastcnn import _native
        _native.set_cpus({claim})
        before = len(os.listdir("/proc/self/task"))
        model = fastcnn.load(sys.argv[1], threads={threads})
        model(np.zeros((1, 16, 29, 31), np.float32))
        print(json.dumps({{"started": len(os.listdir("/proc/self/task")) - before}}))"""


@needs_openmp
@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="no /proc")
@pytest.mark.parametrize("claim, threads, more", [(1, 4, 0), (1, 16, 0), (3, 16, 2), (16, 3, 2), (7, 7, 6)])
def test_no_more_threads_than_cpus(claim, threads, more, tmp_path):
    assert in_new_process(started(claim, threads), build("block")[0], tmp_path) == {"started": more}


@pytest.mark.parametrize("quota, bound", [(0.5, 1), (1.5, 2), (None, None)])
def test_the_quota_bounds_the_cpus_of_models_loaded_for_more(monkeypatch, quota, bound):
    monkeypatch.setattr(cpu, "cgroup_quota", lambda: None)
    cpu.respect_quota()
    monkeypatch.undo()
    claimed = _native.cpus()
    _native.set_cpus(0)
    try:
        allowed = _native.cpus()
        monkeypatch.setattr(cpu, "cgroup_quota", lambda: quota)
        fastcnn.load(network(), threads=4)
        assert _native.cpus() == (allowed if bound is None else min(allowed, bound))
    finally:
        _native.set_cpus(claimed)
        monkeypatch.undo()
        cpu.respect_quota()


@needs_openmp
@pytest.mark.skipif(not os.path.isfile("/proc/self/statm"), reason="no /proc")
def test_where_no_thread_can_be_started_a_run_takes_one(tmp_path):
    """OpenMP's own way is to end the process."""
    program = """
        import json, resource, sys
        import numpy as np
        import fastcnn
        from fastcnn import _native
        _native.set_cpus(2)
        one = fastcnn.load(sys.argv[1], threads=1)
        two = fastcnn.load(sys.argv[1], threads=2)
        x = np.random.default_rng(0).standard_normal((1, 16, 29, 31)).astype(np.float32)
        want = one(x)
        in_use = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (in_use + (4 << 20), resource.RLIM_INFINITY))
        results = [two(x) for _ in range(3)]
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        results.append(two(x))
        print(json.dumps({"same": [bool((r == want).all()) for r in results]}))"""
    assert in_new_process(program, build("block")[0], tmp_path) == {"same": [True] * 4}


@pytest.mark.parametrize("claim", [1, 2, 8])
def test_runs_side_by_side_share_the_cpus_and_give_the_same_bits(claim):
    _native.set_cpus(claim)
    try:
        proto, feeds = build("block")
        models = [fastcnn.load(proto, threads=threads) for threads in (1, 2, 4)]
        want = models[0].run(None, feeds)[0]
        with ThreadPoolExecutor(6) as pool:
            results = list(pool.map(lambda k: models[k % 3].run(None, feeds)[0], range(60)))
    finally:
        _native.set_cpus(CPUS)
    for got in results:
        np.testing.assert_array_equal(got, want)



def test_garbage_is_looked_for_after_the_last_block_that_makes_objects():
    assert gc.isenabled()
    with uncollected():
        assert not gc.isenabled()
        with uncollected():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()


@contextlib.contextmanager
def another_thread_uncollected():
    entered, release = threading.Event(), threading.Event()

    def build() -> None:
        with uncollected():
            entered.set()
            release.wait()

    with ThreadPoolExecutor(1) as other:
        done = other.submit(build)
        entered.wait()
        yield
        release.set()
        done.result()


def test_garbage_waits_for_the_blocks_of_other_threads():
    with contextlib.ExitStack() as other:
        with uncollected():
            other.enter_context(another_thread_uncollected())
        assert not gc.isenabled()
    assert gc.isenabled()


def test_garbage_stays_where_it_is_when_nobody_collects_it():
    gc.disable()
    try:
        fastcnn.load(network())
        assert not gc.isenabled()
    finally:
        gc.enable()
    with pytest.raises(fastcnn.ModelError):
        fastcnn.load(b"no model")
    assert gc.isenabled()


@needs_fork
def test_a_child_collects_garbage_though_another_thread_of_the_parent_does_not(monkeypatch):
    monkeypatch.setattr(locks, "FORK_WAITS_SECONDS", 0.1)
    with another_thread_uncollected():
        assert not gc.isenabled()
        assert in_child(gc.isenabled) == 0
    assert gc.isenabled()
