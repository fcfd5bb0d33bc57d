"""Mutants of compiled files: headers with one to four things changed, checksums made right again. What somebody writes who means harm."""
from __future__ import annotations

import copy
import json
import os
import random
import tempfile
import warnings
import zlib
from functools import cache
from typing import Any

from fuzz.mutate import FLOATS, INTS, WORDS
from fuzz.seeds import Seed, seeds


@cache
def compiled(index: int) -> bytes | None:
    """The compiled file of a seed; None for one that is refused anyway."""
    import fastcnn
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        path = os.path.join(folder, "m.fcnn")
        try:
            fastcnn.load(seeds()[index].data, threads=1).save(path)
        except fastcnn.FastCNNError:
            return None
        with open(path, "rb") as file:
            return file.read()


def compiled_mutant(rng: random.Random) -> tuple[Seed, bytes]:
    """A seed and a mutant of its compiled file."""
    index = rng.randrange(len(seeds()))
    data = compiled(index)
    return (seeds()[index], b"") if data is None else (seeds()[index], mutated(data, rng))


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Another header for the same arrays."""
    from fastcnn.compiled.container import CHECK, PRELUDE
    magic, form, _, at, size, *_ = PRELUDE.unpack(data[:PRELUDE.size])
    header = json.loads(data[at:at + size])
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        part = rng.choice(("graph", "graph", "graph", "graph", "arrays", "arrays", "packs", "options"))
        header[part] = _changed(header[part], rng, _names(header["graph"]))
    text = json.dumps(header).encode()
    prelude = PRELUDE.pack(magic, form, zlib.crc32(text), at, len(text), at + len(text), 0, 0)
    head = prelude + CHECK.pack(zlib.crc32(prelude))
    return head + data[len(head):at] + text


def _names(graph: Any) -> list[str]:
    try:
        return [*graph["constants"], *(name for node in graph["nodes"] for name in node[5])]
    except (TypeError, KeyError, IndexError):
        return []


def _changed(value: Any, rng: random.Random, names: list[str]) -> Any:
    """The value with something in it changed, at a random depth."""
    if isinstance(value, dict) and value and rng.random() < 0.95:
        key = rng.choice(list(value))
        return {**value, key: _changed(value[key], rng, names)} if rng.random() < 0.9 else {k: v for k, v in value.items() if k != key}
    if isinstance(value, list) and value and rng.random() < 0.95:
        at, how = rng.randrange(len(value)), rng.random()
        if how < 0.8:
            return [*value[:at], _changed(value[at], rng, names), *value[at + 1:]]
        if how < 0.9:
            return value[:at] + value[at + 1:]
        return [*value, copy.deepcopy(value[at])]
    if type(value) is int and rng.random() < 0.9:
        return rng.choice(INTS) if rng.random() < 0.6 else value + rng.choice((-1, 1, 2, 64))
    if type(value) is float and rng.random() < 0.9:
        return rng.choice(FLOATS)
    if type(value) is str and rng.random() < 0.9:
        return rng.choice([*names, "float", "int8", *(word.decode("latin1") for word in WORDS)])
    return rng.choice([None, 0, -1, 1.5, "x", [], {}, [1, 2], True])
