"""Finds the layers that hold a network back:  python -m bench.layers.held FILE.onnx ... [--aim 1.5] [--worst 6] [--write SECTION]

Times every step of fastcnn and every node of onnxruntime (its profiler) in the whole network, in turns, one thread, and joins both by the
values they make. A layer's loss is what it takes beyond onnxruntime's time over the aim: the sum of all losses, less the gains, is what
keeps the network from the aim. Nodes of onnxruntime that change layouts are nobody's: they count for the network alone. Others that it made
of several and named itself (Gelu_token_3) belong to the layer that ran before them.
"""
from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

import fastcnn
from bench import report
from fastcnn import _native
from fastcnn.analysis.steps import Unit, units_of
from fastcnn.benchmark import machine
from fastcnn.benchmark.session import random_feeds
from fastcnn.machine.clock import peak_gflops

QUARTILE = 25               # of the runs: some are disturbed
ROUND_SECONDS = 0.5
SUFFIXES, PREFIX = ("_nchwc", "/MatMulAddFusion"), "fused "      # that onnxruntime adds to the names of nodes
LAYOUT = frozenset(["ReorderInput", "ReorderOutput", "Transpose", "Reshape"])


@dataclass(frozen=True)
class Layer:
    """A step of fastcnn. ours: its us; theirs: us of onnxruntime's nodes that compute the same; macs: 0 where not known."""

    name: str
    algorithm: str
    ours: float
    theirs: float
    macs: int

    def loss(self, aim: float) -> float:
        return self.ours - self.theirs / aim


class Ours:
    """A loaded network whose steps are timed."""

    def __init__(self, path: Path, feeds: Mapping[str, np.ndarray]):
        self.model = fastcnn.load(path, threads=1)
        self.model.run(None, feeds)
        engine = self.model._default
        assert engine is not None
        plan = next(iter(engine.plans.values()))
        if plan.direct is None:
            raise SystemExit(f"{path}: not one native stage")
        self.plan, self.stage, self.feeds = plan, plan.direct, list(feeds.values())
        self.workspace, self.times = _native.Workspace(), list[np.ndarray]()

    def run(self) -> None:
        seconds = np.zeros(len(self.stage.steps))
        results = [np.empty(shape, dtype) for shape, dtype in self.stage.allocations]
        self.stage.program.run(self.workspace, self.feeds + results, seconds)
        self.times.append(seconds)

    def units(self) -> list[tuple[Unit, float, int]]:
        """The units of the network with their us and multiply-adds."""
        us, steps = 1e6 * np.percentile(self.times, QUARTILE, axis=0), self.stage.steps
        found = []
        for unit in units_of(self.plan):
            macs = sum(steps[k].work for k, kind in unit.steps if unit.choices and kind != "copy")
            found.append((unit, float(sum(us[k] for k, _ in unit.steps)), macs))
        return found


class Theirs:
    """onnxruntime with its profiler."""

    def __init__(self, path: Path, feeds: Mapping[str, np.ndarray], folder: str):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_profiling, options.profile_file_prefix = True, f"{folder}/profile"
        self.session, self.feeds = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"]), feeds

    def run(self) -> None:
        self.session.run(None, dict(self.feeds))

    def nodes(self) -> dict[tuple[str, str], float]:
        """us of each node by its name and operator, in the order that they run in."""
        taken: dict[tuple[str, str], list[float]] = defaultdict(list)
        for event in json.loads(Path(self.session.end_profiling()).read_text()):
            if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
                taken[event["name"].removesuffix("_kernel_time"), event["args"]["op_name"]].append(event["dur"])
        return {node: float(np.percentile(times, QUARTILE)) for node, times in taken.items()}


def owners(graph: onnx.GraphProto, units: Sequence[Unit]) -> dict[str, int]:
    """Value or node name -> index of the unit that computes it; a value inside a unit belongs to that unit."""
    values = {name for node in graph.node for name in node.output}
    owner: dict[str, int] = {}
    for k, unit in enumerate(units):
        for name in unit.made:
            while name not in values and "." in name:           # made by a pass from the value of that name
                name = name.rpartition(".")[0]
            owner.setdefault(name, k)
    constants = {tensor.name for tensor in graph.initializer}
    for node in reversed(graph.node):
        mine = next((owner[name] for name in node.output if name in owner), None)
        if mine is not None:
            owner.setdefault(f"node {node.name}", mine)
            for name in node.input:
                if name not in constants:
                    owner.setdefault(name, mine)
    return owner


def layers_of(path: Path, seconds: float) -> tuple[list[Layer], float]:
    """The layers of a network, and us of onnxruntime's nodes that belong to none."""
    feeds = random_feeds(path)
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = Ours(path, feeds), Theirs(path, feeds, folder)
        for _ in range(max(2, round(seconds / ROUND_SECONDS))):
            for engine in (ours, theirs):
                timed(engine, ROUND_SECONDS)
        nodes = theirs.nodes()
    units = ours.units()
    taken = joined(nodes, owners(onnx.load(str(path), load_external_data=False).graph, [unit for unit, _, _ in units]))
    return [Layer(unit.made[-1] if unit.made else "border", unit.algorithm, us, taken.get(k, 0.0), macs)
            for k, (unit, us, macs) in enumerate(units)], taken.get(None, 0.0)


def joined(nodes: Mapping[tuple[str, str], float], owner: Mapping[str, int]) -> dict[int | None, float]:
    """us of onnxruntime's nodes, summed by the unit that they belong to."""
    taken, before = defaultdict[int | None, float](float), None
    for (name, operator), us in nodes.items():
        for suffix in SUFFIXES:
            name = name.removesuffix(suffix)
        mine = owner.get(name, owner.get(f"node {name.removeprefix(PREFIX)}"))
        before = before if mine is None else mine
        taken[before if mine is None and operator not in LAYOUT else mine] += us
    return taken


def timed(engine: Any, seconds: float) -> None:
    end = time.perf_counter() + seconds
    for count in range(1 << 30):
        engine.run()
        if count >= 1 and time.perf_counter() >= end:
            return


def table(network: str, layers: Sequence[Layer], others: float, aim: float, worst: int, peak: float) -> list[str]:
    """Rows of the layers with the largest losses."""
    ours, theirs = sum(layer.ours for layer in layers), sum(layer.theirs for layer in layers) + others
    whole = Layer(f"**{network}**", "all steps", ours, theirs, sum(layer.macs for layer in layers))
    rows = [whole, *sorted(layers, key=lambda layer: -layer.loss(aim))[:worst]]
    return [f"| {row.name} | {row.algorithm} | {row.ours:.0f} | {row.theirs:.0f} | {row.theirs / row.ours:.2f} | {_share(row, peak)} | "
            f"{row.loss(aim):.0f} |" for row in rows]


def _share(layer: Layer, peak: float) -> str:
    return f"{100 * 2e-3 * layer.macs / layer.ours / peak:.0f} %" if layer.macs else ""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.layers.held", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE.onnx")
    parser.add_argument("--aim", type=float, default=1.5, help="onnxruntime's time over ours that a network should reach")
    parser.add_argument("--worst", type=int, default=6, help="layers of each network")
    parser.add_argument("--seconds", type=float, default=3, help="of each engine and network")
    parser.add_argument("--write", metavar="SECTION", help=f"into this section of {report.RESULTS.name}, too")
    args = parser.parse_args(arguments)
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    peak = peak_gflops()
    lines = [f"{machine.cpu_model()}, {_native.current_isa()}, one thread, measured peak {peak:.0f} GFLOP/s. us; ratio: onnxruntime's "
             f"over ours; of peak: by the operations of the direct convolution; loss: against onnxruntime's time over {args.aim}.", "",
             "| layer | computed by | fastcnn | onnxruntime | ratio | of peak | loss |", "|---|---|---|---|---|---|---|"]
    for file in args.files:
        lines += table(file.stem, *layers_of(file, args.seconds), args.aim, args.worst, peak)
        print("\n".join(lines[-1 - args.worst:]), flush=True)
    if args.write:
        report.write_section(report.RESULTS, args.write, "\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
