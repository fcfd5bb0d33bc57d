"""fastcnn bench MODEL...: fastcnn.bench() as a table, Markdown, JSON and a picture."""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from fastcnn.benchmark import report
from fastcnn.benchmark.session import bench, found_models
from fastcnn.benchmark.settings import LATENCY, SCENARIOS, Settings, contenders
from fastcnn.benchmark.worker.engines import ENGINES, OURS
from fastcnn.cli import show
from fastcnn.cli.options import AS_JSON, shapes_of
from fastcnn.ir.errors import ConfigurationError
from fastcnn.reader import read

DEFAULT = "onnxruntime"
HELP = """Times each MODEL, a file or a folder of them, in fastcnn and other engines: a process for each, pinned to the same CPUs, in turn.

load ms: without imports and conversion. peak MB: of the whole process. difference: the largest to the first engine, over its largest
output. ratio: median over the first engine's; above 1, the first is faster.

--scenario has MLPerf's terms. single-stream: 90th percentile of queries one after another. server: queries arrive as a Poisson
process and wait in a line, at --rate, or at the highest rate whose 99th percentile is within --limit-ms. offline: images a second.

As onnxruntime_perf_test: -x, -r, -t, -e cpu. As benchmark_app: -m, -b, -t, -d CPU, -niter, -nthreads, -shape, -infer_precision.
"""


@click.command("bench", help=HELP)
@click.argument("paths", nargs=-1, metavar="MODEL...", type=click.Path())
@click.option("-m", "more", multiple=True, type=click.Path(), metavar="MODEL", help="Another way to name a model.")
@click.option("--against", metavar="ENGINE,...", help=f"Of {', '.join(list(ENGINES)[1:])}, or none; {DEFAULT} where it is installed.")
@click.option("--threads", "-x", "-nthreads", default="1", show_default=True, metavar="N,...", help="Threads of every engine.")
@click.option("--batch", "-b", default="1", show_default=True, metavar="N,...", help="Images in a run.")
@click.option("--precision", "-infer_precision", default="float32", show_default=True, metavar="P,...",
              help="float32, bf16, strict, int8 (quantised here): fastcnn at each of them, others at those they have.")
@click.option("--shape", "-shape", "shapes", multiple=True, metavar="[NAME=]1x3x224x224", help="Of an input that the file leaves open.")
@click.option("--seconds", "-t", type=click.FloatRange(0), default=5.0, show_default=True, help="Of measurement of an engine, all rounds.")
@click.option("--runs", "-r", "-niter", type=click.IntRange(1), help="So many runs of an engine in all, instead of seconds.")
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True, help="In each, every engine has a turn.")
@click.option("--warmup", type=click.FloatRange(0), default=0.3, show_default=True, help="Seconds before each turn that do not count.")
@click.option("--pause", type=click.FloatRange(0), default=0.3, show_default=True, help="Seconds between turns: threads stop spinning.")
@click.option("--cpus", metavar="N,...", help="CPUs that every engine is pinned to; the first ones allowed, as many as threads.")
@click.option("--python", "pythons", multiple=True, metavar="ENGINE=PATH", help="Interpreter of an engine in another environment.")
@click.option("--scenario", type=click.Choice(SCENARIOS), default=LATENCY, show_default=True)
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="Queries a second that arrive at the server.")
@click.option("--limit-ms", type=click.FloatRange(0, min_open=True), default=15.0, show_default=True, help="For the server's p99.")
@click.option("-e", "-d", "device", type=click.Choice(["cpu"], case_sensitive=False), default="cpu", help="The only device.")
@AS_JSON
@click.option("--markdown", is_flag=True, help="Print Markdown instead of a table.")
@click.option("--plot", type=click.Path(dir_okay=False), metavar="OUT.png", help="Draw the ratios, or the times of fastcnn alone.")
def command(paths: Sequence[str], more: Sequence[str], against: str | None, threads: str, batch: str, precision: str, shapes: Sequence[str],
            seconds: float, runs: int | None, cpus: str | None, pythons: Sequence[str], device: str, as_json: bool, markdown: bool,
            plot: str | None, **others: Any) -> None:
    models = found_models([*paths, *more])
    if not models:
        raise click.UsageError("Missing argument 'MODEL...'.")
    engines = _engines(against)
    counts, batches, precisions = _numbers("--threads", threads), _numbers("--batch", batch), precision.split(",")
    rounds = min(others.pop("rounds"), runs or 1 << 30)
    how = Settings(rounds=rounds, seconds=seconds / rounds, runs=-(-runs // rounds) if runs else None,
                   cpus=_numbers("--cpus", cpus, 0) if cpus else None, pythons=_pythons(pythons), **others)
    given = shapes_of(shapes, [info.name for info in read(models[0]).inputs]) if shapes else None
    turns = len(models) * len(batches) * len(counts) * len(contenders(engines, precisions)) * how.turns()
    with show.progress(turns, 2, as_json) as advance:
        found = bench(models, engines, threads=counts, batch=batches, precision=precisions, shapes=given, settings=how, advance=advance)
    facts, results = found["machine"], found["results"]
    if plot:
        _plot(facts, results, how, plot)
    if as_json:
        show.as_json(found)
        return
    rows = report.detailed(results) if how.scenario == LATENCY else report.loaded(results)
    columns = report.COLUMNS if how.scenario == LATENCY else report.LOAD_COLUMNS
    lines = report.remarks(results)
    if markdown:
        click.echo(report.markdown(facts, columns, rows, lines), nl=False)
        return
    show.lines([report.heading(facts), *(f"{name}: {said}" for name, said in facts["settings"].items() if name != OURS)])
    show.table(columns, rows)
    show.lines(lines)


def _engines(against: str | None) -> list[str]:
    if against is None:
        return [DEFAULT] if ENGINES[DEFAULT].version() else []
    return [] if against == "none" else [name.strip() for name in against.split(",") if name.strip()]


def _numbers(option: str, text: str, least: int = 1) -> list[int]:
    parts = text.split(",")
    if not all(part.strip().isdigit() and int(part) >= least for part in parts):
        raise ConfigurationError(f"{option} {text}: expected numbers with commas between, such as 1,2")
    return [int(part) for part in parts]


def _pythons(options: Sequence[str]) -> dict[str, str]:
    found = dict[str, str]()
    for option in options:
        engine, _, path = option.partition("=")
        if engine not in ENGINES or not Path(path).is_file():
            raise ConfigurationError(f"--python {option}: expected ENGINE=PATH, an engine of {', '.join(ENGINES)} and its interpreter")
        found[engine] = path
    return found


def _plot(facts: dict[str, Any], results: list[dict[str, Any]], how: Settings, out: str) -> None:
    if how.scenario != LATENCY:
        raise ConfigurationError(f"--plot draws latencies, not --scenario {how.scenario}")
    from fastcnn.benchmark.plot import draw
    draw(facts, results, Path(out))
