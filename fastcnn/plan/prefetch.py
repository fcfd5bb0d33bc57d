"""Prefetch: earlier steps touch the weights that later steps need, since a matrix-vector product waits for its matrix."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import fastcnn._native as _native
from fastcnn.machine.current import current

# Which operand are the weights of the steps that read them faster than they come; of conv only what has one row of x.
WEIGHTS = {"conv": 2, "conv_bf16": 2, "conv_compressed": 2, "depthwise": 2, "conv_depthwise": 4, "scale_weights": 1}
ROWS = ("conv", "conv_compressed")
# The steps that prefetch while they compute; conv_bf16 by AMX does not.
PREFETCHING = ("conv", "conv_bf16", "conv_depthwise")
# What the last REACH steps have prefetched altogether lies in at most this share of L2; the rest is for what they compute.
SHARE_OF_L2, REACH = 0.6, 8
LEAST_BYTES = 4096


def prefetches(steps: Sequence[tuple[str, tuple[Any, ...], int, dict[str, Any]]], work: Sequence[int],
               threads: int) -> list[list[tuple[np.ndarray, int, int]]]:
    """For each step, as _native.Program takes them: (array, begin, end), bytes to touch in this order. work: multiply-adds of the steps."""
    fetched: list[list[tuple[np.ndarray, int, int]]] = [[] for _ in steps]
    machine, vector = current(), _native.vector_length()
    bytes_a_mac = machine.prefetch / (machine.core(vector).fmas * vector)
    room = [int(bytes_a_mac * macs) if _asks(step) else 0 for step, macs in zip(steps, work)]
    for j, step in enumerate(steps):
        weights = _weights(step)
        if weights is None:
            continue
        first = max(0, j - REACH)
        asked = sum(end - begin for ranges in fetched[first:j] for _, begin, end in ranges)
        end = min(weights.nbytes, int(SHARE_OF_L2 * machine.l2_bytes * threads) - asked)
        for i in range(j - 1, first - 1, -1):       # the end of them last
            count = min(room[i], end)
            if count >= LEAST_BYTES and len(fetched[i]) < _native.MAX_PREFETCH:
                fetched[i].append((weights, end - count, end))
                room[i] -= count
                end -= count
    return fetched


def _asks(step: tuple[str, tuple[Any, ...], int, dict[str, Any]]) -> bool:
    """Whether a step prefetches."""
    return step[0] in PREFETCHING and not _is_row(step) and not (step[0] == "conv_bf16" and _native.current_isa() == "avx512_amx")


def _is_row(step: tuple[str, tuple[Any, ...], int, dict[str, Any]]) -> bool:
    """A convolution of one pixel: a matrix times a vector."""
    kind, _, _, fields = step
    return kind in (*ROWS, "conv_bf16") and fields["n"] * fields["oh"] * fields["ow"] == 1


def _weights(step: tuple[str, tuple[Any, ...], int, dict[str, Any]]) -> np.ndarray | None:
    kind, operands = step[:2]
    if kind not in WEIGHTS or (kind in ROWS and not _is_row(step)):
        return None
    weights = operands[WEIGHTS[kind]]
    return weights if isinstance(weights, np.ndarray) else None
