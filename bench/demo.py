"""Demo of fastcnn on this machine, in about two minutes:  python -m bench.demo  (or `make demo`)

The shipped digit classifier on shipped images, the shipped super-resolution network on photographs (a PNG in out/),
and ResNet-18, MobileNetV2 and LeNet-5 beside onnxruntime. Ends with a summary.
"""
from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

import fastcnn
from bench.models import found_networks
from fastcnn.benchmark.session import bench
from fastcnn.benchmark.settings import Settings
from models import data

TRAINED = Path(data.__file__).parent / "trained"
NETWORKS = ("lenet5", "mobilenet_v2", "resnet18")
PICTURE = "flower.jpg"
SCALE = 2
INK = 0.4                 # of full: what counts as black in a drawing

console = Console(width=None if sys.stdout.isatty() else 118)


@dataclass(frozen=True)
class Options:
    """How long the benchmark takes, and where pictures go."""

    rounds: int
    seconds: float
    folder: Path


def main(arguments: list[str] | None = None) -> int:
    """Runs the three parts and prints what came out."""
    parser = argparse.ArgumentParser(prog="python -m bench.demo", description=__doc__,
                                     formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="of the benchmark, engines in turn (default %(default)s)")
    parser.add_argument("--seconds", type=float, default=0.4,
                        help="of measurement per engine and round (default %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for pictures (default %(default)s)")
    args = parser.parse_args(arguments)
    options = Options(args.rounds, args.seconds, args.out)
    info = fastcnn.cpu_info()
    console.print(f"fastcnn {fastcnn.__version__} on {info['model']}: {info['instruction_set']}, "
                  f"up to {info['threads']} threads\n")
    summary = []
    with progress_bar() as progress:
        for part in (classify, enlarge, compare):
            summary += part(progress, options)
    console.rule("Summary")
    for line in summary:
        console.print(f"  {line}", highlight=False)
    return 0


def progress_bar() -> Progress:
    """A progress bar per task, removed when the task is done."""
    return Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
                    console=console, transient=True)


# ---- the classifier ----


def classify(progress: Progress, options: Options) -> list[str]:
    """Digits one at a time, on one thread, and how many of the held-out ones are right."""
    stored = np.load(TRAINED / "digits.npz")
    images, labels = (stored["images"] / 16).astype(np.float32), stored["labels"]
    shown = set(np.unique(labels, return_index=True)[1].tolist())
    with fastcnn.load(TRAINED / "digits.onnx", threads=1) as model:
        table = Table(title=f"Handwritten digits, {len(images)} shipped images, the first of each class",
                      title_justify="left")
        for column in ("image", "class", "probability", "true label", "us per image"):
            table.add_column(column, justify="left" if column == "image" else "right", vertical="middle")
        times, right = [], 0
        for k in progress.track(range(len(images)), description="digits"):
            x = images[k:k + 1]
            probabilities = model(x)[0]
            times.append(median_seconds(lambda x=x: model(x), 200))
            right += int(probabilities.argmax() == labels[k])
            if k in shown:
                table.add_row(drawing(images[k, 0]), str(probabilities.argmax()), f"{probabilities.max():.4f}",
                              str(labels[k]),
                              f"{times[-1] * 1e6:.1f}", end_section=True)
        _, _, x, y = data.digits()
        held_out = int((model(x).argmax(1) == y).sum())
    console.print(table)
    result = (f"digits: {right} of {len(images)} shipped and {held_out} of {len(y)} held-out images right, "
              f"{statistics.median(times) * 1e6:.1f} us per image")
    console.print(result + "\n", highlight=False)
    return [result]


def drawing(image: np.ndarray) -> str:
    """An image as text, two pixels per character. image: (8, 8) in 0..1."""
    ink = image > INK
    return "\n".join("".join(" ▀▄█"[int(a) + 2 * int(b)] for a, b in zip(*rows, strict=True))
                     for rows in zip(ink[::2], ink[1::2], strict=True))


# ---- super-resolution ----


def enlarge(progress: Progress, options: Options) -> list[str]:
    """Held-out photographs made small, then twice as large by the network and by bicubic interpolation."""
    table = Table(title=f"Super-resolution x{SCALE}, luminance, held-out photographs", title_justify="left")
    for column in ("photograph", "from", "to", "bicubic", "network", "gain", "ms"):
        table.add_column(column, justify="left" if column == "photograph" else "right")
    lines = []
    with fastcnn.load(TRAINED / "superres.onnx") as model:
        for wheel, file in progress.track(data.PHOTOGRAPHS["test"], description="photographs"):
            rgb = data.photograph(wheel, file)
            low, high = data.degrade(data.luminance(rgb), SCALE)
            x = low[None, None]
            y = model(x)[0, 0]
            seconds = median_seconds(lambda x=x: model(x), 15)
            bicubic, network = data.psnr(data.enlarge(low, SCALE), high), data.psnr(y, high)
            table.add_row(file, f"{low.shape[1]}x{low.shape[0]}", f"{y.shape[1]}x{y.shape[0]}", f"{bicubic:.2f} dB",
                          f"{network:.2f} dB",
                          f"{network - bicubic:+.2f} dB", f"{seconds * 1e3:.2f}")
            if file == PICTURE:
                path = save_picture(options.folder, rgb, y)
                lines.append(f"super-resolution: {file} {network:.2f} dB, bicubic {bicubic:.2f} dB, {seconds * 1e3:.2f} ms, "
                             f"written to {path}")
    console.print(table)
    console.print(lines[0] + "\n", highlight=False)
    return lines


def save_picture(folder: Path, rgb: np.ndarray, y: np.ndarray) -> Path:
    """A PNG: left half bicubic, right half the network, colours of both bicubic.

    y: (H, W) luminance in 0..1 by the network.
    """
    height, width = y.shape
    small = Image.fromarray(rgb[:height, :width]).resize((width // SCALE, height // SCALE), Image.Resampling.BICUBIC)
    bicubic = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC).convert("YCbCr"))
    sharp = np.concatenate([np.rint(y * 255).astype(np.uint8)[..., None], bicubic[..., 1:]], axis=2)
    halves = np.concatenate([bicubic[:, :width // 2], sharp[:, width // 2:]], axis=1)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{Path(PICTURE).stem}_x{SCALE}.png"
    Image.fromarray(halves, "YCbCr").convert("RGB").save(path)
    return path


# ---- beside onnxruntime ----


def compare(progress: Progress, options: Options) -> list[str]:
    """Networks with random weights, engines in turn, on one thread and on all."""
    lines = []
    allowed = fastcnn.cpu_info()["threads"]
    task = progress.add_task("benchmark", total=len({1, allowed}) * len(NETWORKS) * 2 * options.rounds)
    how = Settings(rounds=options.rounds, seconds=options.seconds, warmup=0.2, pause=0.1)
    with tempfile.TemporaryDirectory() as folder:
        found = bench(found_networks(NETWORKS, Path(folder)), ["onnxruntime"], threads=sorted({1, allowed}), settings=how,
                      advance=lambda: progress.advance(task))
    for threads in sorted({1, allowed}):
        table = Table(title=f"Latency in ms, batch 1, {threads} thread{'s' * (threads > 1)}, "
                            f"median and p90 of {options.rounds} interleaved rounds",
                      title_justify="left")
        for column in ("network", "fastcnn", "p90", "onnxruntime", "p90", "ratio", "rounds",
                       "largest relative difference"):
            table.add_column(column, justify="left" if column == "network" else "right")
        for row in [row for row in found["results"] if row["threads"] == threads]:
            ours, theirs = (row["engines"][name] for name in ("fastcnn", "onnxruntime"))
            for entry in (ours, theirs):
                if "error" in entry:
                    raise SystemExit(f"{row['network']}: {entry['error']}")
            table.add_row(row["network"], f"{ours['median_ms']:.3f}", f"{ours['p90_ms']:.3f}",
                          f"{theirs['median_ms']:.3f}", f"{theirs['p90_ms']:.3f}",
                          f"{theirs['ratio']:.2f}", "{:.2f}-{:.2f}".format(*theirs["ratio_rounds"]),
                          f"{theirs['difference']:.1e}")
            lines.append(f"{row['network']}, {threads} thread{'s' * (threads > 1)}: fastcnn {ours['median_ms']:.3f} ms, "
                         f"onnxruntime {theirs['median_ms']:.3f} ms, ratio {theirs['ratio']:.2f}, "
                         f"largest relative difference {theirs['difference']:.1e}")
        console.print(table)
    console.print("ratio: onnxruntime's median over fastcnn's, so above 1 fastcnn is faster; "
                  "rounds: its lowest and highest in one round\n",
                  highlight=False)
    return lines


def median_seconds(run: Callable[[], object], count: int) -> float:
    """Median time of a call."""
    times = []
    for _ in range(count):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


if __name__ == "__main__":
    sys.exit(main())
