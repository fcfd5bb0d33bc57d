"""The models of a server by name: loaded at the start, replaced while requests go on."""
from __future__ import annotations

import asyncio
import logging
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fastcnn.calls.batcher import Batcher
from fastcnn.cpu import default_threads
from fastcnn.ir.errors import ConfigurationError, FastCNNError
from fastcnn.loading import load
from fastcnn.model import Model
from fastcnn.preprocess import Preprocess
from fastcnn.serving.errors import RequestError
from fastcnn.serving.images import preprocess_of

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
SUFFIXES = (".onnx", ".fcnn")
log = logging.getLogger("fastcnn.serve")


@dataclass(frozen=True)
class Loading:
    """Arguments of fastcnn.load() and Model.batcher() for all models.

    threads, workers  threads of a run, and runs at once; None: see sharing()
    """

    threads: int | None = None
    workers: int | None = None
    max_batch: int = 8
    max_delay_ms: float = 0.0
    max_queue: int = 256


def sharing(threads: int | None, workers: int | None, cpus: int) -> tuple[int, int]:
    """(threads of a run, runs at once) that share the CPUs: what is None follows from the other.

    One thread and as many runs as CPUs answer most requests a second, all CPUs on one run answer a single request soonest. Where nothing
    is said there are as many runs as the root of the number of CPUs, rounded up.
    """
    if workers is None:
        workers = math.ceil(math.sqrt(cpus)) if threads is None else max(1, cpus // threads)
    return max(1, cpus // workers) if threads is None else threads, workers


class Live:
    """A loaded model that answers requests until it is retired and the last of them is answered."""

    def __init__(self, model: Model, how: Loading):
        self.model = model
        _, workers = sharing(model.threads, how.workers, default_threads())
        self.batcher: Batcher = model.batcher(how.max_batch, how.max_delay_ms, max_queue=how.max_queue, workers=workers)
        self.preprocess: Preprocess | None = preprocess_of(model)
        self.requests, self.retired = 0, False

    def retire(self) -> None:
        """No more requests come."""
        self.retired = True
        self._end_if_idle()

    def release(self) -> None:
        self.requests -= 1
        self._end_if_idle()

    def _end_if_idle(self) -> None:
        if self.retired and not self.requests:
            asyncio.get_running_loop().run_in_executor(None, self.close)

    def close(self) -> None:
        """Ends when what waits has run."""
        self.batcher.close()
        self.model.close()


class Repository:
    """Models by name; all methods but the loading itself belong to the thread of the event loop.

    sources  name -> path, or a Model that is loaded already, which cannot be loaded again
    """

    def __init__(self, sources: Mapping[str, str | os.PathLike[str] | Model], how: Loading):
        self.sources, self.how = dict(sources), how
        self._loading = asyncio.Lock()
        self.live: dict[str, Live] = {}
        for name, source in self.sources.items():
            if not NAME.fullmatch(name):
                raise ConfigurationError(f"{name!r} is no name of a model: letters, digits, '_', '.' and '-', at most 128")
            self.live[name] = Live(source if isinstance(source, Model) else self._load(name), how)

    @contextmanager
    def using(self, name: str) -> Iterator[Live]:
        """The model of this name; it stays as it is until the end of the block. Raises RequestError 404."""
        live = self.get(name)
        live.requests += 1
        try:
            yield live
        finally:
            live.release()

    def get(self, name: str) -> Live:
        live = self.live.get(name)
        if live is None:
            raise RequestError(404, "there is no model of this name")
        return live

    async def reload(self, name: str) -> None:
        """Read the model's file again; requests under way are answered by the old one. Raises RequestError, the old one stays then."""
        self.get(name)
        if isinstance(self.sources[name], Model):
            raise RequestError(409, "this model was not loaded from a file by the server")
        async with self._loading:
            try:
                model = await asyncio.get_running_loop().run_in_executor(None, self._load, name)
            except FastCNNError as error:
                log.error("model %s stays as it was: %s", name, error)
                raise RequestError(409, "the model's file cannot be loaded; the model stays as it was") from error
            old, self.live[name] = self.live[name], Live(model, self.how)
        old.retire()
        log.info("model %s was loaded again", name)

    async def reload_all(self) -> None:
        """Every model that has a file; what fails is in the log."""
        for name, source in self.sources.items():
            if not isinstance(source, Model):
                try:
                    await self.reload(name)
                except RequestError:
                    continue

    def close(self) -> None:
        """Answer what waits, then free everything."""
        for live in self.live.values():
            live.close()

    def _load(self, name: str) -> Model:
        source = self.sources[name]
        assert not isinstance(source, Model)
        threads, _ = sharing(self.how.threads, self.how.workers, default_threads())
        model = load(source, threads=threads)
        if all(isinstance(extent, int) for info in model.get_inputs() for extent in (info.shape or ("",))[1:]):
            model.prepare()
        log.info("model %s: %r", name, model)
        return model


def named(arguments: Sequence[str]) -> dict[str, str]:
    """Name -> path of arguments such as model.onnx, name=model.onnx and folders of .onnx and .fcnn files. Raises ConfigurationError."""
    found: dict[str, str] = {}
    for argument in arguments:
        name, _, path = argument.rpartition("=") if not os.path.exists(argument) else ("", "", argument)
        paths = sorted(file for file in Path(path).iterdir() if file.suffix in SUFFIXES) if os.path.isdir(path) else [Path(path)]
        if not paths or (name and len(paths) != 1):
            raise ConfigurationError(f"{argument}: no .onnx or .fcnn file in this folder, or one name for several")
        for file in paths:
            own = name or file.stem
            if own in found:
                raise ConfigurationError(f"{argument}: two models are called {own!r}: say NAME={file}")
            found[own] = str(file)
    return found
