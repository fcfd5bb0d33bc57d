"""The threads that run models for coroutines: as many as CPUs, shared by all models of the process, started at first use."""
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
    """Runs call(until) in a thread. If the coroutine is cancelled, a call that has not begun never does; one under way is cut short."""
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
    """In a forked child, which has none of the threads: starts anew."""
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
