"""Serves queries that arrive at given times, as at a server."""
from __future__ import annotations

import time
from collections.abc import Callable, Sequence

SPIN = 1e-3                     # seconds before an arrival in which sleeping would wake up too late


def served(run: Callable[[], object], arrivals: Sequence[float], clock: Callable[[], float] = time.perf_counter,
           sleep: Callable[[float], None] = time.sleep) -> list[float]:
    """Seconds from each arrival to its answer; one query runs at a time, those that come meanwhile wait in a line.

    arrivals: seconds after the beginning, ascending. This is MLPerf's server scenario with one query in flight.
    """
    latencies, begin = [], clock()
    for arrival in arrivals:
        due = begin + arrival
        while (left := due - clock()) > 0:
            if left > SPIN:
                sleep(left - SPIN)
        run()
        latencies.append(clock() - due)
    return latencies
