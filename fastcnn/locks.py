"""Locks that nobody waits for in vain: neither a forked child nor a signal handler.

A child has only the thread that forked. What another thread held at that moment, a lock or half of an import, stays as it was for ever. So
forks wait until other threads have finished what must not be cut in two (`uncut`), for a few seconds at most, and every `Lock` is free in
the child, whoever held it.
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
    """A lock for a `with` statement, re-entrant, free in a forked child.

    A child may find the data behind it, and a signal handler on the thread that holds it, as they are between any two statements: so what
    it guards is built aside and then published by one assignment.
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
    """Forks of other threads wait for the end of this block: it imports modules, or is in C++ that has locks of its own."""
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
    """Cyclic garbage waits for the end of this block, which makes many objects and next to none of that. Looking took 5 % of a load."""
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
    """Garbage is collected again after the last of them."""
    for thread in [thread for thread in _building if done(thread)]:
        del _building[thread]
    if not _building and _collecting:
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
