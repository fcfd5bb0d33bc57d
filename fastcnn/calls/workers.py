"""Threads that run models for coroutines: as many as CPUs, shared by all models of the process, started when they are needed."""
from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from fastcnn.cpu import default_threads
from fastcnn.plan.deadline import Deadline

Result = TypeVar("Result")
_pool: ThreadPoolExecutor | None = None


async def in_worker(call: Callable[[Deadline], Result], until: Deadline | None) -> Result:
    """call(until) in a thread. When the coroutine is cancelled, a call that has not begun never does, and one that has is cut short."""
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(default_threads(), "fastcnn.arun")
    deadline = until if until is not None else Deadline()
    future = _pool.submit(call, deadline)
    try:
        return await asyncio.wrap_future(future)
    except asyncio.CancelledError:
        deadline.cancel()
        raise


def _in_child() -> None:
    """A forked child has none of the threads."""
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
