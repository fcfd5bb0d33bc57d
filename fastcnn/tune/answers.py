"""Answers: the file that remembers which candidate won, for which convolution on which machine.

JSON: {"format": 1, "machines": {machine: {layer: {"best": name, "seconds": {name: seconds}}}}}. Every write reads the file again, adds to
it and replaces it whole, under a lock where the system has one: processes that tune at the same time keep each other's answers, and a
reader never sees half a file.
"""
from __future__ import annotations

import contextlib
import json
import logging
import os
import tempfile
from collections.abc import Iterator, Mapping
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import fastcnn._native as _native
from fastcnn.ir.record import dataclass
from fastcnn.machine.current import cache_folder
from fastcnn.version import __version__

try:
    import fcntl
except ImportError:                 # no such locks on this system: the last of two simultaneous writers wins
    fcntl = None                    # type: ignore[assignment]

FORMAT = 1
LOG = logging.getLogger("fastcnn.tune")


@dataclass(frozen=True)
class Answer:
    """The winner and the seconds of everything that was timed."""

    best: str
    seconds: Mapping[str, float]


def default_file() -> Path:
    """tune.json in FASTCNN_CACHE, else in fastcnn under XDG_CACHE_HOME, else under ~/.cache."""
    return cache_folder() / "tune.json"


def machine_key() -> str:
    """Processor, instruction set, caches, version and the compiled kernels themselves: answers of other ones do not count."""
    cpu = _native.cpu()
    caches = "/".join(str(cpu[name]) for name in ("l1d_bytes", "l2_bytes", "l3_bytes"))
    return f"{cpu['vendor']} {cpu['model']}, {_native.current_isa()}, caches {caches}, fastcnn {__version__} {_kernels()}"


@lru_cache(maxsize=1)
def _kernels() -> str:
    """The compiled module in twelve digits."""
    try:
        return sha256(Path(_native.__file__).read_bytes()).hexdigest()[:12]
    except OSError:
        return "unknown"


class Answers:
    """One file's answers for this machine. Failing to read or write it is a warning: tuning goes on without memory."""

    def __init__(self, file: str | os.PathLike[str]):
        self.file = Path(file)
        self.machine = machine_key()
        self.known = self._mine(self._read())
        self.fresh: dict[str, Answer] = {}

    def get(self, layer: str) -> Answer | None:
        """The answer for this layer, None where there is none."""
        return self.known.get(layer)

    def put(self, layer: str, answer: Answer) -> None:
        """Remember an answer; save() keeps it."""
        self.known[layer] = self.fresh[layer] = answer

    def save(self) -> None:
        """New answers to the file, beside what others have written there meanwhile."""
        if not self.fresh:
            return
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with self._locked():
                whole = self._read()
                mine = whole["machines"].setdefault(self.machine, {})
                mine.update((layer, {"best": a.best, "seconds": dict(a.seconds)}) for layer, a in self.fresh.items())
                self.known = {**self._mine(whole), **self.known}
                self._replace(json.dumps(whole, indent=1))
        except OSError as error:
            LOG.warning("answers cannot be kept in %s: %s", self.file, error)
        self.fresh.clear()

    def _read(self) -> dict[str, Any]:
        """The file; empty where there is none or where it is something else, which is a warning."""
        empty: dict[str, Any] = {"format": FORMAT, "machines": {}}
        try:
            whole = json.loads(self.file.read_text())
        except FileNotFoundError:
            return empty
        except (OSError, ValueError) as error:
            LOG.warning("%s is no file of tuning answers and is ignored: %s", self.file, error)
            return empty
        if not _is_ours(whole):
            LOG.warning("%s is no file of tuning answers of format %d and is ignored", self.file, FORMAT)
            return empty
        return whole

    def _mine(self, whole: Mapping[str, Any]) -> dict[str, Answer]:
        entries = whole["machines"].get(self.machine, {})
        return {layer: Answer(entry["best"], entry["seconds"]) for layer, entry in entries.items()}

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        if fcntl is None:
            yield
            return
        with open(self.file.with_name(self.file.name + ".lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                yield
            finally:                # a child forked meanwhile has the file open too, so that closing it here would not unlock it
                fcntl.flock(lock, fcntl.LOCK_UN)

    def _replace(self, text: str) -> None:
        handle, name = tempfile.mkstemp(prefix=self.file.name, dir=self.file.parent)
        try:
            with open(handle, "w") as file:
                file.write(text)
            os.replace(name, self.file)
        except BaseException:
            os.unlink(name)
            raise


def _is_ours(whole: object) -> bool:
    """Whether a JSON value has the form at the top of this file."""
    if not isinstance(whole, dict) or whole.get("format") != FORMAT or not isinstance(whole.get("machines"), dict):
        return False
    entries = [entry for layers in whole["machines"].values() for entry in (layers.values() if isinstance(layers, dict) else [None])]
    return all(isinstance(entry, dict) and isinstance(entry.get("best"), str) and isinstance(entry.get("seconds"), dict)
               and all(isinstance(value, (int, float)) for value in entry["seconds"].values()) for entry in entries)
