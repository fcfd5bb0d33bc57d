"""Batcher: collects single requests from any number of threads and coroutines and runs them as batches."""
from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np

from fastcnn.calls.joins import joins
from fastcnn.calls.requests import Feeds, Kind, Request, Requests, expire, images_of
from fastcnn.ir.errors import ConfigurationError, FastCNNError, OverloadedError, TimeLimitError
from fastcnn.ir.graph import ValueInfo
from fastcnn.plan.deadline import Deadline, deadline_of
from fastcnn.plan.executor import Engine

NO_PLACE = "the request waited for a place in the queue until its timeout"
MOST_KINDS = 1024               # shapes of which it is remembered whether they can be joined


@dataclass(frozen=True)
class Calls:
    """The calls into the model that a batcher needs.

    run(feeds, until)  outputs in order
    check(feeds)       the feeds as arrays of the inputs' types; raises InputError
    """

    run: Callable[[Feeds, Deadline | None], list[Any]]
    check: Callable[[Mapping[str, Any]], Feeds]
    engine: Engine
    inputs: Sequence[ValueInfo]


class Batcher:
    """Collects requests into batches: made by Model.batcher(), which says what its arguments are.

    submit(feeds) returns a concurrent.futures.Future of the outputs, run(feeds) waits for them, `await arun(feeds)` does so in a coroutine.
    A request has one or more images along the first axis of every input; its outputs are its own rows, in memory that it may share with
    other requests of its batch. What fails as a batch is run again request by request: an error reaches only the one that causes it.
    Safe for threads; in a forked child it begins anew, without the requests of the parent. Close it, or use it in a `with` statement.
    """

    def __init__(self, calls: Calls, max_batch: int = 8, max_delay_ms: float = 0.0, max_queue: int = 256, workers: int = 1):
        for name, value in (("max_batch", max_batch), ("max_queue", max_queue), ("workers", workers)):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ConfigurationError(f"{name}={value!r}: expected a positive integer")
        if not isinstance(max_delay_ms, (int, float)) or not 0 <= max_delay_ms < 1e9:
            raise ConfigurationError(f"max_delay_ms={max_delay_ms!r}: expected milliseconds")
        self._state = _State(calls, Requests(max_queue, max_batch, 1e-3 * max_delay_ms), workers)
        self._end = weakref.finalize(self, _State.close, self._state, True)

    def submit(self, feeds: Mapping[str, Any], *, timeout: float | Deadline | None = None) -> Future[list[Any]]:
        """Queues a request; a future of its outputs. Raises InputError, and OverloadedError where max_queue requests are waiting."""
        request = self._state.request(feeds, deadline_of(timeout))
        self._state.add(request)
        return request.future

    def run(self, feeds: Mapping[str, Any], *, timeout: float | Deadline | None = None) -> list[Any]:
        """Runs a request and returns its outputs; waits while the queue is full. Raises what Model.run() raises."""
        request = self._state.request(feeds, deadline_of(timeout))
        while True:
            place = self._state.add_or_wait(request)
            if place is None:
                return request.future.result()
            _wait(place, request.until)

    async def arun(self, feeds: Mapping[str, Any], *, timeout: float | Deadline | None = None) -> list[Any]:
        """run() for coroutines. A request that is cancelled while it waits is not run."""
        request = self._state.request(feeds, deadline_of(timeout))
        while True:
            place = self._state.add_or_wait(request)
            if place is None:
                return await asyncio.wrap_future(request.future)
            try:
                await asyncio.wait_for(asyncio.wrap_future(place), request.until.remaining() if request.until is not None else None)
            except asyncio.TimeoutError:
                raise TimeLimitError(NO_PLACE) from None

    @property
    def waiting(self) -> int:
        """Number of requests in the queue."""
        return self._state.requests.count

    def stats(self) -> dict[str, int]:
        """Counts of requests and images that were run, of their batches, and of refused requests."""
        return dict(self._state.counts)

    def close(self, cancel: bool = False) -> None:
        """Refuses new requests, runs or cancels those that wait, and ends the threads. Closing twice is fine."""
        self._end.detach()
        self._state.close(cancel)

    def __enter__(self) -> Batcher:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close(cancel=kind is not None)

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a batcher has threads and does not pickle: pickle its model")


class _State:
    """The state that a batcher's threads share. They hold no reference to the Batcher, so that it is freed when its users drop it."""

    def __init__(self, calls: Calls, requests: Requests, workers: int):
        self.calls, self.requests, self.workers = calls, requests, workers
        self.counts = {"requests": 0, "images": 0, "batches": 0, "refused": 0}
        self.closed = False
        self._joins: dict[Kind, bool] = {}
        self._begin()
        _STATES.add(self)

    def _begin(self) -> None:
        """Starts with no threads and an empty queue, at first and in a forked child."""
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._places: deque[Future[None]] = deque()
        self.requests = Requests(self.requests.most, self.requests.max_batch, self.requests.delay)

    def request(self, feeds: Mapping[str, Any], until: Deadline | None) -> Request:
        """Raises InputError."""
        checked = self.calls.check(feeds)
        images, kind = images_of(checked)
        return Request(checked, images, kind if kind is not None and self._can_join(kind, checked) else None, until)

    def _can_join(self, kind: Kind, feeds: Feeds) -> bool:
        if self.requests.max_batch == 1:
            return False
        known = self._joins.get(kind)
        if known is None:
            if len(self._joins) >= MOST_KINDS:
                self._joins.clear()
            known = self._joins[kind] = joins(self.calls.engine, self.calls.inputs, feeds)
        return known

    def add(self, request: Request) -> None:
        """Raises OverloadedError."""
        with self._changed:
            if not self._add(request):
                self.counts["refused"] += 1
                raise OverloadedError(f"{self.requests.count} requests wait already (max_queue)")

    def add_or_wait(self, request: Request) -> Future[None] | None:
        """None where the request was queued, else a future that is done when there may be room to try again."""
        with self._changed:
            if self._add(request):
                return None
            place: Future[None] = Future()
            self._places.append(place)
            return place

    def _add(self, request: Request) -> bool:
        if self.closed:
            raise FastCNNError("the batcher is closed")
        if len(self._threads) < self.workers:
            thread = threading.Thread(target=self._work, name="fastcnn.batcher", daemon=True)
            thread.start()
            self._threads.append(thread)
        if not self.requests.add(request):
            return False
        self._changed.notify()
        return True

    def close(self, cancel: bool) -> None:
        """Returns when the threads have ended."""
        with self._changed:
            self.closed = True
            cancelled = list(self.requests.clear()) if cancel else []
            while self._places:
                _offer(self._places.popleft())
            self._changed.notify_all()
        for request in cancelled:
            request.future.cancel()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()

    def _work(self) -> None:
        """The loop of a worker thread."""
        while (batch := self._next()) is not None:
            live = []
            for request in batch:
                if request.is_over:
                    expire(request)
                elif request.future.set_running_or_notify_cancel():
                    live.append(request)
            if live:
                self._run(live)

    def _next(self) -> list[Request] | None:
        """Waits for the next batch that is due; None when the batcher is closed."""
        with self._changed:
            while True:
                due = self.requests.due_in()
                if due == 0 or (due is not None and self.closed):
                    break
                if due is None and self.closed:
                    return None
                self._changed.wait(due)
            batch = self.requests.take()
            offered = 0
            while self._places and offered < len(batch):
                offered += _offer(self._places.popleft())
        return batch

    def _run(self, batch: Sequence[Request]) -> None:
        """Runs a batch and gives each of its requests its outputs or its error."""
        try:
            results = self._results(batch)
        except BaseException as error:
            if len(batch) == 1 or isinstance(error, TimeLimitError):
                for request in batch:
                    request.future.set_exception(error)
            else:
                for request in batch:
                    self._run([request])
            return
        with self._changed:
            for name, more in (("requests", len(batch)), ("images", sum(request.images for request in batch)), ("batches", 1)):
                self.counts[name] += more
        for request, result in zip(batch, results):
            request.future.set_result(result)

    def _results(self, batch: Sequence[Request]) -> list[list[Any]]:
        if len(batch) == 1:
            return [self.calls.run(batch[0].feeds, batch[0].until)]
        feeds = {name: np.concatenate([request.feeds[name] for request in batch]) for name in batch[0].feeds}
        outputs = self.calls.run(feeds, _latest([request.until for request in batch]))
        ends = np.cumsum([request.images for request in batch])
        return [[output[end - request.images:end] for output in outputs] for request, end in zip(batch, ends)]


def _latest(deadlines: Sequence[Deadline | None]) -> Deadline | None:
    """The deadline of a batch: that of the request that waits longest."""
    ends = [deadline.remaining() if deadline is not None else None for deadline in deadlines]
    known = [end for end in ends if end is not None]
    return Deadline(max(known)) if len(known) == len(ends) else None


def _offer(place: Future[None]) -> bool:
    """Offers a place in the queue; returns whether somebody was still waiting for it."""
    wanted = place.set_running_or_notify_cancel()
    if wanted:
        place.set_result(None)
    return wanted


def _wait(place: Future[None], until: Deadline | None) -> None:
    """Waits until there may be a place in the queue. Raises TimeLimitError."""
    try:
        place.result(until.remaining() if until is not None else None)
    except FutureTimeoutError:
        place.cancel()
        raise TimeLimitError(NO_PLACE) from None


_STATES: weakref.WeakSet[_State] = weakref.WeakSet()


def _in_child() -> None:
    for state in list(_STATES):
        state._begin()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
