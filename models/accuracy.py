"""Measures the accuracy of trained networks in lower precision: `python -m models.accuracy [--write] [FOLDER]` prints README.md's table.

A row a network, its own metric in float32, in bfloat16, in 8 bits and with precision="auto", beside onnxruntime's own quantiser and
OpenVINO. Data is what wheels carry (models.data); scikit-learn, scikit-image, Pillow and onnxruntime are needed, OpenVINO is used where it
is installed. FOLDER: of published models, see PUBLISHED; else those that ship, alone.
"""
from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

import fastcnn
import models
from models import data

HERE = Path(__file__).parent
README, BEGIN, END = HERE / "README.md", "<!-- accuracy -->\n", "<!-- end of accuracy -->\n"
MAX_ERROR = 1e-2                                    # of precision="auto"
PATCH, ENLARGED = 96, 224                           # pixels of patches to calibrate with; of super_resolution_10's input
Feeds = Mapping[str, np.ndarray]
Run = Callable[[Feeds], Sequence[np.ndarray]]       # outputs, in order


@dataclass(frozen=True)
class Task:
    """A trained network, feeds to calibrate with, and its metric over held-out data, the higher the better, as it is written."""

    name: str
    model: onnx.ModelProto
    calibration: Sequence[Feeds]
    held_out: Sequence[Feeds]
    metric: Callable[[Run], float]
    written: str


def digits(folder: Path | None = None) -> Task:
    """Share of held-out digits that are told right."""
    train, _, test, labels = data.digits()
    proto = onnx.load(HERE / "trained" / "digits.onnx")
    name = proto.graph.input[0].name
    return Task("digits", proto, [{name: train[k:k + 32]} for k in range(0, 256, 32)], [{name: test}],
                lambda run: 100 * float((run({name: test})[0].argmax(1) == labels).mean()), "{:.2f} %")


def superres(folder: Path | None = None) -> Task:
    """Mean PSNR of three photographs enlarged twice."""
    proto = onnx.load(HERE / "trained" / "superres.onnx")
    name = proto.graph.input[0].name
    pairs = [data.degrade(photo, 2) for photo in data.photographs("test").values()]
    calibration = [{name: data.degrade(photo, 2)[0][None, None, :PATCH, :PATCH]} for photo in data.photographs("train").values()]

    def metric(run: Run) -> float:
        return float(np.mean([data.psnr(np.clip(run({name: low[None, None]})[0][0, 0], 0, 1), high) for low, high in pairs]))
    return Task("superres", proto, calibration, [{name: low[None, None]} for low, _ in pairs], metric, "{:.2f} dB")


def filters(folder: Path | None = None) -> Task:
    """Mean signal to noise of the maps of image_filters, against their float32 values: it has no other truth."""
    size = (240, 320)
    proto = models.build("image_filters", size=size)
    photos = {split: [_pixels(*place, size) for place in data.PHOTOGRAPHS[split]] for split in ("train", "test")}
    name = proto.graph.input[0].name
    exact = fastcnn.load(proto)
    held = [{name: photo} for photo in photos["test"]]
    truth = [exact.run(None, feeds) for feeds in held]

    def metric(run: Run) -> float:
        return float(np.mean([_signal_to_noise(y, z) for feeds, maps in zip(held, truth) for y, z in zip(run(feeds), maps)]))
    return Task("image_filters", proto, [{name: photo} for photo in photos["train"]], held, metric, "{:.1f} dB")


def mnist(folder: Path) -> Task:
    """Share of scikit-learn's digits, enlarged to MNIST's 28x28, that CNTK's network tells right."""
    proto = onnx.load(folder / "mnist_cntk_8" / "model.onnx")
    train, _, test, labels = data.digits()
    feeds = {split: [{"Input3": _as_mnist(x[0])} for x in xs] for split, xs in (("train", train[:128]), ("test", test))}

    def metric(run: Run) -> float:
        return 100 * float(np.mean([run(fed)[0].argmax() == label for fed, label in zip(feeds["test"], labels)]))
    return Task("mnist_cntk_8", proto, feeds["train"], feeds["test"], metric, "{:.2f} %")


def enlargement(folder: Path) -> Task:
    """Mean PSNR of three photographs enlarged three times by PyTorch's ESPCN."""
    proto = onnx.load(folder / "super_resolution_10" / "model.onnx")
    pairs = [data.degrade(photo, 3) for photo in data.photographs("test").values()]
    calibration = [{"input": _padded(data.degrade(photo, 3)[0])} for photo in data.photographs("train").values()]

    def metric(run: Run) -> float:
        found = [run({"input": _padded(low)})[0][0, 0, :high.shape[0], :high.shape[1]] for low, high in pairs]
        return float(np.mean([data.psnr(np.clip(y, 0, 1), high) for y, (_, high) in zip(found, pairs)]))
    return Task("super_resolution_10", proto, calibration, [{"input": _padded(low)} for low, _ in pairs], metric, "{:.2f} dB")


SHIPPED: dict[str, Callable[..., Task]] = {"digits": digits, "superres": superres, "image_filters": filters}
PUBLISHED: dict[str, Callable[..., Task]] = {"mnist_cntk_8": mnist, "super_resolution_10": enlargement}


# ---- engines ----


def runner(model: onnx.ModelProto, **options: Any) -> Run:
    """By fastcnn."""
    loaded = fastcnn.load(model, **options)
    return lambda feeds: loaded.run(None, feeds)


def quantized(task: Task) -> onnx.ModelProto:
    """The network in 8 bits by fastcnn.quantize with its defaults."""
    return fastcnn.quantize(task.model, task.calibration).proto


def by_onnxruntime(model: onnx.ModelProto) -> Run:
    """By onnxruntime, one thread."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda feeds: session.run(None, dict(feeds))


def onnxruntimes_own(task: Task) -> onnx.ModelProto:
    """The network in 8 bits by onnxruntime's quantize_static: Q/DQ, scales a channel, least and largest value, its defaults else."""
    import onnxruntime.quantization as tools
    from onnx import version_converter

    class Reader(tools.CalibrationDataReader):
        """The feeds, one after the other."""

        def __init__(self) -> None:
            self.left: Iterator[Feeds] = iter(task.calibration)

        def get_next(self) -> dict[str, np.ndarray] | None:
            feeds = next(self.left, None)
            return None if feeds is None else dict(feeds)

    model = task.model
    if next(entry.version for entry in model.opset_import if not entry.domain) < 13:
        model = version_converter.convert_version(model, 13)
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(Path(folder) / name) for name in ("float.onnx", "prepared.onnx", "bytes.onnx")]
        onnx.save(model, paths[0])
        tools.quant_pre_process(paths[0], paths[1], skip_symbolic_shape=True)
        for per_channel in (True, False):               # version 1.32 fails where an output has a scale a channel and a bias of one number
            try:
                tools.quantize_static(paths[1], paths[2], Reader(), quant_format=tools.QuantFormat.QDQ, per_channel=per_channel)
                break
            except ValueError:
                continue
        return onnx.load(paths[2])


def by_openvino(model: onnx.ModelProto, precision: str = "f32") -> Run | None:
    """By OpenVINO; None where it is not installed."""
    try:
        import openvino
    except ImportError:
        return None
    with tempfile.TemporaryDirectory() as folder:
        onnx.save(model, str(Path(folder) / "model.onnx"))
        core = openvino.Core()
        compiled = core.compile_model(core.read_model(str(Path(folder) / "model.onnx")), "CPU", {"INFERENCE_PRECISION_HINT": precision})
        return lambda feeds: [np.array(y) for y in compiled(dict(feeds)).values()]


# Column -> what runs a task.
COLUMNS: dict[str, Callable[[Task], Run | None]] = {
    "float32": lambda task: runner(task.model),
    "bf16": lambda task: runner(task.model, precision="bf16"),
    "int8": lambda task: runner(quantized(task)),
    "auto": lambda task: runner(task.model, precision="auto", max_error=MAX_ERROR, calibration=task.calibration),
    "int8, run by onnxruntime": lambda task: by_onnxruntime(quantized(task)),
    "int8, run by OpenVINO": lambda task: by_openvino(quantized(task)),
    "onnxruntime's own int8": lambda task: by_onnxruntime(onnxruntimes_own(task)),
    "OpenVINO bf16": lambda task: by_openvino(task.model, "bf16"),
}


def row(task: Task) -> str:
    """Of the table."""
    cells = []
    for make in COLUMNS.values():
        run = make(task)
        found = task.metric(run) if run is not None else None
        cells.append("" if found is None else "exact" if found == float("inf") else task.written.format(found))
    return f"| {task.name} | {' | '.join(cells)} |"


def table(folder: Path | None) -> list[str]:
    """Rows for the networks that ship, and for those of a folder."""
    tasks: list[Task] = [make() for make in SHIPPED.values()] + ([make(folder) for make in PUBLISHED.values()] if folder else [])
    return [f"| network | {' | '.join(COLUMNS)} |", "|---|" + "---:|" * len(COLUMNS), *map(row, tasks)]


def main(arguments: list[str] | None = None) -> None:
    """Parses the command line, prints the table, puts it into README.md."""
    parser = argparse.ArgumentParser(prog="python -m models.accuracy", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="of published models")
    parser.add_argument("--write", action="store_true", help="put the table into models/README.md")
    options = parser.parse_args(arguments)
    rows = table(options.folder)
    print("\n".join(rows))
    if options.write:
        before, _, rest = README.read_text().partition(BEGIN)
        README.write_text(before + BEGIN + "\n".join(rows) + "\n" + END + rest.partition(END)[2])


# ---- images ----


def _pixels(wheel: str, file: str, size: tuple[int, int]) -> np.ndarray:
    """(1, 3, H, W) float32 of a photograph, 0 to 1."""
    rgb = data.photograph(wheel, file).astype(np.float32) / 255
    return np.stack([data.resize(rgb[..., c], *size) for c in range(3)])[None]


def _as_mnist(digit: np.ndarray) -> np.ndarray:
    """(1, 1, 28, 28) of a digit of 8x8, white on black in the middle 20x20, 0 to 255."""
    out = np.zeros((1, 1, 28, 28), np.float32)
    out[0, 0, 4:24, 4:24] = 255 * data.resize(digit, 20, 20)
    return out


def _padded(low: np.ndarray) -> np.ndarray:
    """(1, 1, 224, 224): the image in the upper left corner, its last rows and columns repeated."""
    low = low[:ENLARGED, :ENLARGED]
    return np.pad(low, [(0, ENLARGED - n) for n in low.shape], mode="edge")[None, None]


def _signal_to_noise(y: np.ndarray, exact: np.ndarray) -> float:
    """10 log10(sum exact^2 / sum (y - exact)^2) in dB; infinite where they are equal."""
    noise = float(np.square(y.astype(np.float64) - exact).sum())
    return float(10 * np.log10(np.square(exact.astype(np.float64)).sum() / noise)) if noise else float("inf")


if __name__ == "__main__":
    main()
