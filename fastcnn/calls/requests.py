"""Requests: the bounded queue of a batcher, in groups whose images can run together. Not thread-safe by itself."""
from __future__ import annotations

import time
from collections import deque
from collections.abc import Hashable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fastcnn.ir.errors import TimeLimitError
from fastcnn.plan.deadline import Deadline

Feeds = dict[str, Any]
Kind = tuple[tuple[np.dtype, tuple[int, ...]], ...]


@dataclass(eq=False)
class Request:
    """One caller's feeds.

    images  how many, along the first axis of every input
    group   what it can be run together with; None: with nothing
    """

    feeds: Feeds
    images: int
    group: Hashable | None
    until: Deadline | None
    future: Future[list[Any]] = field(default_factory=Future)
    came: float = field(default_factory=time.monotonic)

    @property
    def is_over(self) -> bool:
        """Whether nobody waits for the request any more."""
        return self.future.cancelled() or (self.until is not None and self.until.passed())


def images_of(feeds: Feeds) -> tuple[int, Kind | None]:
    """(number of images, types and shapes of one of them); (1, None) where the inputs have no first axis in common."""
    arrays = list(feeds.values())
    if not arrays or not all(isinstance(array, np.ndarray) and array.ndim and len(array) == len(arrays[0]) for array in arrays):
        return 1, None
    return len(arrays[0]), tuple((array.dtype, array.shape[1:]) for array in arrays)


class Requests:
    """At most `most` requests, taken in batches of at most `max_batch` images, the group of the oldest first."""

    def __init__(self, most: int, max_batch: int, delay: float):
        self.most, self.max_batch, self.delay = most, max_batch, delay
        self.count = 0
        self._groups: dict[Hashable, deque[Request]] = {}

    def add(self, request: Request) -> bool:
        """Adds a request. False where the queue is full, not counting requests that nobody waits for any more."""
        if self.count >= self.most and not self._drop_over():
            return False
        self._groups.setdefault(request if request.group is None else request.group, deque()).append(request)
        self.count += 1
        return True

    def due_in(self) -> float | None:
        """Seconds until take() returns a batch; None where nothing waits."""
        if not self._groups:
            return None
        return max(0.0, min(self._due(group) for group in self._groups.values()) - time.monotonic())

    def take(self) -> list[Request]:
        """Takes the batch that is due first out of the queue."""
        key, group = min(self._groups.items(), key=lambda item: self._due(item[1]))
        batch = [group.popleft()]
        images = batch[0].images
        while group and images + group[0].images <= self.max_batch:
            batch.append(group.popleft())
            images += batch[-1].images
        if not group:
            del self._groups[key]
        self.count -= len(batch)
        return batch

    def clear(self) -> Iterator[Request]:
        """Takes all requests out of the queue."""
        groups, self._groups, self.count = self._groups, {}, 0
        for group in groups.values():
            yield from group

    def _due(self, group: deque[Request]) -> float:
        """When a group must run: at once if it is full or cannot grow, else `delay` seconds after its oldest request came."""
        head = group[0]
        full = head.group is None or sum(request.images for request in group) >= self.max_batch
        return head.came if full else head.came + self.delay

    def _drop_over(self) -> int:
        """Drops requests that nobody waits for, tells their callers, and returns how many there were."""
        over = 0
        for key, group in list(self._groups.items()):
            left = deque[Request]()
            for request in group:
                if request.is_over:
                    expire(request)
                    over += 1
                else:
                    left.append(request)
            if left:
                self._groups[key] = left
            else:
                del self._groups[key]
        self.count -= over
        return over


def expire(request: Request) -> None:
    """Fails a request whose timeout passed before it was run."""
    if request.future.set_running_or_notify_cancel():
        request.future.set_exception(TimeLimitError("the request waited for its turn until its timeout"))
