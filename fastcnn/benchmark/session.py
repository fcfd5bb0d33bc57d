"""fastcnn.bench(): times networks in several engines, side by side."""
from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np

from fastcnn.analysis.inputs import input_specs, random_arrays
from fastcnn.benchmark import scenarios
from fastcnn.benchmark.batch import save_with_batch
from fastcnn.benchmark.machine import describe
from fastcnn.benchmark.processes import EngineError, Worker
from fastcnn.benchmark.report import BUSY, Row, difference, summarise
from fastcnn.benchmark.settings import INT8, LATENCY, SCENARIOS, Contender, Settings, contenders, installed
from fastcnn.feeds import tensor_dtype
from fastcnn.ir.errors import ConfigurationError, InputError
from fastcnn.reader import read

Shapes = Mapping[str, Sequence[int]]
CALIBRATION = 4                 # feeds that a network is quantised with


def bench(models: Sequence[str | os.PathLike[str]], against: Sequence[str] = (), *, threads: Sequence[int] = (1,),
          batch: Sequence[int] = (1,), precision: Sequence[str] = ("float32",), shapes: Shapes | Sequence[int] | None = None,
          settings: Settings | None = None, advance: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Times networks in fastcnn and other engines: a process for each, on the same CPUs, in turn, round by round.

    models     .onnx files and folders of them         against    names of engines: onnxruntime, openvino, ncnn, torch, litert
    threads    numbers of threads, batch  numbers of images in a run: each network is measured at each of them
    precision  "float32", "bf16", "strict" (fastcnn's accuracy="strict"), "weights-bf16" and "weights-int8" (its weights=), "int8": what
               fastcnn.quantize makes of the network, with random inputs, in all engines that run it; other engines run those that they have
    shapes     of inputs, where the file leaves them open         advance    called after each turn of an engine
    Returns {"machine": where and with what, "results": a row for each network, batch and number of threads}; row["engines"] has for
    each engine the seconds of every run by rounds, min, median, p10, p90 and p99 in ms, images a second, seconds of loading and of the
    first run, the most bytes its process had, the largest difference to the first engine relative to its largest output, the ratio of
    medians, or "error". Raises ConfigurationError, InputError, and what reading the file raises.
    """
    how = settings or Settings()
    if how.scenario not in SCENARIOS:
        raise ConfigurationError(f"scenario={how.scenario!r}: expected one of {', '.join(SCENARIOS)}")
    rivals = contenders(against, precision)
    engines = list(dict.fromkeys(rival.engine for rival in rivals))
    facts = describe(engines, scenario=how.scenario)
    facts["versions"].update({name: installed(name, how) for name in engines[1:]})
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for path in found_models(models):
            for images in batch:
                try:
                    file = save_with_batch(path, images, Path(folder))
                except ValueError as error:
                    raise InputError(f"{str(path)!r}: {error}") from None
                feeds = _feeds(file, images, shapes)
                files = {rival.precision: file for rival in rivals}
                if INT8 in files:
                    files[INT8] = quantized(file, feeds, Path(folder))
                results += [_measured(name_of(path), files, feeds, rivals, count, how, advance) for count in threads]
    return {"machine": facts, "results": results}


def found_models(paths: Sequence[str | os.PathLike[str]]) -> list[Path]:
    """Files, and the .onnx files in folders. Raises InputError for what is not there."""
    found: list[Path] = []
    for path in map(Path, paths):
        files = sorted(path.rglob("*.onnx")) if path.is_dir() else [path] if path.is_file() else []
        if not files:
            raise InputError(f"{str(path)!r}: {'a folder without .onnx files' if path.is_dir() else 'no such file'}")
        found += files
    return found


def name_of(path: Path) -> str:
    """A network's name: that of its file, or of its folder where the file has a generic name such as model.onnx."""
    return path.stem if path.stem != "model" else path.resolve().parent.name or path.stem


def _feeds(file: Path, images: int, shapes: Shapes | Sequence[int] | None) -> dict[str, np.ndarray]:
    inputs = read(file).inputs
    return random_arrays(input_specs(inputs, {info.name: tensor_dtype(info.type) for info in inputs}, shapes, images))


def random_feeds(file: Path, images: int = 1) -> dict[str, np.ndarray]:
    """Seeded random inputs of the types and shapes that the file declares."""
    return _feeds(file, images, None)


def quantized(file: Path, feeds: Mapping[str, np.ndarray], folder: Path) -> Path:
    """The network in 8 bits, calibrated with random feeds: good for timing it, not for its accuracy."""
    from fastcnn.post_training import quantize
    rng = np.random.default_rng(1)
    others = [{name: rng.permuted(x.reshape(-1)).reshape(x.shape) for name, x in feeds.items()} for _ in range(CALIBRATION - 1)]
    out = folder / f"{file.stem}.int8.onnx"
    quantize(file, [feeds, *others], out, layer_error=float("inf"), faster_only=False)
    return out


def _measured(name: str, files: Mapping[str, Path], feeds: dict[str, np.ndarray], rivals: Sequence[Contender], threads: int, how: Settings,
              advance: Callable[[], None]) -> Row:
    """One network, by precision, at one batch size and number of threads: loaded everywhere, outputs compared, then the rounds."""
    cpus = how.cpus_for(threads)
    images = max((x.shape[0] for x in feeds.values() if x.ndim), default=1)
    entries: dict[str, Row] = {}
    with ExitStack() as stack:
        workers = {}
        for rival in rivals:
            python = how.pythons.get(rival.engine, sys.executable)
            workers[rival.label] = stack.enter_context(closing(Worker(rival.engine, threads, cpus, python)))
        alive, first = [], list[np.ndarray]()
        for rival in rivals:
            entry: Row = {"rounds": [], "cpu_share": []}
            entries[rival.label], worker = entry, workers[rival.label]
            try:
                entry |= worker.load(str(files[rival.precision]), feeds, rival.precision)
                outputs, entry["first_seconds"] = worker.outputs()
                alive.append(rival.label)
            except EngineError as error:
                entry["error"] = str(error)
                _skip(how.turns(), advance)
                continue
            if rival is rivals[0]:
                first = outputs
            elif first:
                entry["difference"] = difference(outputs, first)
        _rounds({label: workers[label] for label in alive}, entries, images, threads, how, advance)
    digest = hashlib.sha256(files[rivals[0].precision].read_bytes()).hexdigest()
    row: Row = {"network": name, "batch": images, "threads": threads, "cpus": cpus, "engines": entries, "sha256": digest,
                "inputs": {key: list(x.shape) for key, x in feeds.items()}}
    if how.scenario == LATENCY:
        summarise(entries, images)
    return row


def _rounds(workers: Mapping[str, Worker], entries: dict[str, Row], images: int, threads: int, how: Settings,
            advance: Callable[[], None]) -> None:
    """Runs the rounds of turns; an engine that fails drops out."""
    failed = set[str]()
    for k in range(how.turns()):
        for label in [label for label in workers if label not in failed]:
            entry = entries[label]
            time.sleep(how.pause)
            try:
                if how.scenario == LATENCY:
                    times, share = undisturbed(workers[label], threads, how)
                    entry["rounds"].append(times)
                    entry["cpu_share"].append(share)
                else:
                    entry |= scenarios.measured(workers[label], images, how)
                entry["peak_bytes"] = workers[label].peak()
            except EngineError as error:
                entries[label] = {"rounds": [], "cpu_share": [], "error": str(error)}
                failed.add(label)
                _skip(how.turns() - k - 1, advance)
            advance()


def _skip(turns: int, advance: Callable[[], None]) -> None:
    for _ in range(turns):
        advance()


def undisturbed(worker: Worker, threads: int, how: Settings) -> tuple[list[float], float]:
    """Times of an engine's turn and the share of its CPUs that it had; with one thread a turn that others disturbed is taken again."""
    best: tuple[list[float], float] = [], -1.0
    for _ in range(1 + how.again):
        times, share = worker.time(0.0, how.warmup, how.runs) if how.runs else worker.time(how.seconds, how.warmup)
        best = max(best, (times, share / threads), key=lambda turn: turn[1])
        if threads > 1 or best[1] >= BUSY:
            break
    return best
