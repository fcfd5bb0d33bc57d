"""Locks that cannot deadlock a forked child or a signal handler.

A forked child has only the thread that forked; a lock or an import lock that another thread held at that moment would never be released.
So a fork waits, a few seconds at most, until other threads have left their `uncut` blocks, and every `Lock` is free in the child.
"""
from __future__ import annotations

import gc
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from weakref import WeakSet

FORK_WAITS_SECONDS = 5.0


class Lock:
    """A re-entrant lock for `with`, which is free in a forked child.

    A child, or a signal handler on the thread that holds the lock, may see the guarded data between any two statements. So new data must
    be built aside and published by one assignment.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        _LOCKS.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._lock.release()


_LOCKS: WeakSet[Lock] = WeakSet()
_changed = threading.Condition()
_at_work: Counter[int] = Counter()          # thread -> how many `uncut` blocks it is in
_building: Counter[int] = Counter()         # thread -> how many `uncollected` blocks it is in
_collecting = True                          # whether garbage was collected before the first of them


@contextmanager
def uncut() -> Iterator[None]:
    """Context manager: forks by other threads wait for the end of the block, which imports modules or calls C++ that takes locks."""
    me = threading.get_ident()
    with _changed:
        _at_work[me] += 1
    try:
        yield
    finally:
        with _changed:
            _at_work[me] -= 1
            if not _at_work[me]:
                del _at_work[me]
                _changed.notify_all()


@contextmanager
def uncollected() -> Iterator[None]:
    """Context manager: no cyclic garbage collection inside the block, which makes many objects but hardly any cycles (5 % of a load)."""
    global _collecting
    me = threading.get_ident()
    with _changed:
        if not _building:
            _collecting = gc.isenabled()
            gc.disable()
        _building[me] += 1
    try:
        yield
    finally:
        with _changed:
            _building[me] -= 1
            _forget_builders(lambda thread: not _building[thread])


def _forget_builders(done: Callable[[int], bool]) -> None:
    """Removes the threads for which `done` holds from those inside uncollected() blocks; after the last one, collection is on again."""
    for thread in [thread for thread in _building if done(thread)]:
        del _building[thread]
    if not _building and _collecting:
        _collect_again()


def _collect_again() -> None:
    """Turns collection on. What is young now has been loaded and stays: it moves to the oldest generation without being looked at first.

    The collection that would begin at once takes 3 % of a load. Programs that have called gc.freeze() themselves keep what they froze.
    """
    if not gc.get_freeze_count():
        gc.freeze()
        gc.unfreeze()
    gc.enable()


def _before_fork() -> None:
    me = threading.get_ident()
    _changed.acquire()          # until after the fork: nobody begins meanwhile
    _changed.wait_for(lambda: all(thread == me for thread in _at_work), FORK_WAITS_SECONDS)


def _in_parent() -> None:
    _changed.release()


def _in_child() -> None:
    global _changed
    _changed = threading.Condition()
    me = threading.get_ident()
    for thread in [thread for thread in _at_work if thread != me]:
        del _at_work[thread]
    if _building:
        _forget_builders(lambda thread: thread != me)
    for lock in _LOCKS:
        lock._lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)
