"""Workspaces: the memory of an engine's runs. While it is small all runs go at once, else they take turns.

A run beyond the number of CPUs takes time from the others and an arena of its own: a hundred callers of a model whose activations take
10 MB would hold a gigabyte. Taking turns costs a switch of threads a run, which small models would feel: two runs a CPU hide it.
"""
from __future__ import annotations

import os
import sys
from collections import deque
from contextlib import suppress
from operator import add
from threading import Lock, RLock
from types import FrameType
from weakref import WeakSet

import fastcnn._native as _native
from fastcnn._native import Deadline, Workspace
from fastcnn.ir.errors import TimeLimitError
from fastcnn.ir.record import dataclass

# Workspaces that an engine may have in any case, by CPU, and the bytes up to which it may have more.
A_CPU, SMALL = 2, 64 << 20


class Turn:
    """A waiting run; it is woken with the workspace that it gets."""

    def __init__(self) -> None:
        self.workspace: Workspace | None = None
        self._came = Lock()
        self._came.acquire()

    def wait(self, seconds: float | None) -> None:
        """Waits for the turn, at most this many seconds."""
        self._came.acquire(timeout=-1 if seconds is None else seconds)

    def come(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._came.release()


class Workspaces(_native.WorkspacePool):
    """A pool: take(until) before a run, give(workspace, succeeded) after it. Waiting runs are served in order.

    made  all there are, those in use included. A thread that is in a run of this engine already, with a signal handler above it, gets one
          beyond the bound: it cannot wait for itself.
    """

    def __init__(self) -> None:
        self.made: list[Workspace] = []
        self._lock = RLock()
        self._turns: deque[Turn] = deque()
        self._gone = Counted()              # by workspaces that are freed
        _POOLS.add(self)

    def more(self, until: Deadline | None) -> Workspace:
        """A new one within the bound, else that of the first run that ends. Raises TimeLimitError."""
        with self._lock:
            if self._may_grow() or _is_nested(sys._getframe(1)):
                workspace = Workspace()
                self.made.append(workspace)
                return workspace
            self.waiting += 1               # from here on wake() is called for what comes back; what came before is in `free`
            if not self._turns:             # pop() itself, not a look at the list: without the GIL only its lock orders it after `waiting`
                with suppress(IndexError):
                    workspace = self.free.pop()
                    self.waiting -= 1
                    return workspace
            turn = Turn()
            self._turns.append(turn)
        turn.wait(until.remaining() if until is not None else None)
        with self._lock:
            if turn.workspace is None:
                self._turns.remove(turn)
                self.waiting -= 1
                raise TimeLimitError("the run waited for others of the same model until its timeout")
            return turn.workspace

    def wake(self) -> None:
        """One has come back and somebody waits."""
        with self._lock, suppress(IndexError):      # another run was quicker
            if self._turns:
                workspace = self.free.pop()
                self.waiting -= 1
                self._turns.popleft().come(workspace)

    def trim(self) -> None:
        """Free those that are not in use."""
        with self._lock:
            while self.free:
                workspace = self.free.pop()
                self._gone = self._gone + Counted.by(workspace)
                self.made.remove(workspace)

    def nbytes(self) -> int:
        """Bytes of all workspaces."""
        return sum(workspace.nbytes for workspace in list(self.made))

    def counted(self) -> Counted:
        """The runs that have ended, but for those of workspaces that are in use just now."""
        with self._lock:
            return sum(map(Counted.by, list(self.free)), self._gone)

    def _only_mine(self) -> None:
        """In a forked child: nobody waits, and what other threads of the parent worked in is lost."""
        self._lock, self._turns = RLock(), deque()
        self.waiting, self.made = 0, list(self.free)

    def _may_grow(self) -> bool:
        count = len(self.made)
        return count < A_CPU * _native.cpus() or (count + 1) * max(workspace.nbytes for workspace in self.made) < SMALL


@dataclass(frozen=True)
class Counted:
    """Runs by bucket of their latency (_native.LATENCY_STEPS), the seconds of all of them, and how many failed."""

    latencies: tuple[int, ...] = (0,) * _native.LATENCY_BUCKETS
    seconds: float = 0.0
    failed: int = 0

    @classmethod
    def by(cls, workspace: Workspace) -> Counted:
        counts, spent_ns, failed = workspace.counted()
        return cls(tuple(counts), 1e-9 * spent_ns, failed)

    def __add__(self, other: Counted) -> Counted:
        return Counted(tuple(map(add, self.latencies, other.latencies)), self.seconds + other.seconds, self.failed + other.failed)


def _is_nested(frame: FrameType | None) -> bool:
    """Whether the engine whose run() is in this frame is in run() further up the stack as well."""
    assert frame is not None
    code, engine, above = frame.f_code, frame.f_locals.get("self"), frame.f_back
    while above is not None:
        if above.f_code is code and above.f_locals.get("self") is engine:
            return True
        above = above.f_back
    return False


_POOLS: WeakSet[Workspaces] = WeakSet()


def _in_child() -> None:
    for pool in list(_POOLS):
        pool._only_mine()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
