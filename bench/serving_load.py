"""The server under load: python -m bench.serving_load MODEL.onnx [--seconds 20] [--clients 8] [--rounds 2].

The application of `fastcnn serve` once with fastcnn and once with onnxruntime behind it, both with their default options or --threads, in
processes of their own; they take turns. Clients keep one connection each and send the next request as soon as the answer is there:
tensors in binary, each client inputs of its own, every answer compared with what the model gives for that input. Prints requests a second
and quantiles.
"""
from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import fastcnn
from fastcnn.benchmark.session import random_feeds
from fastcnn.cpu import default_threads
from fastcnn.serving.repository import Loading, sharing

ENGINES, INPUTS, NAME = ("fastcnn", "onnxruntime"), 4, "model"
LENGTH = "Inference-Header-Content-Length"


def serve(engine: str, path: str, loading: Loading) -> None:
    """A server on a free port, which it prints."""
    from fastcnn.model import Model
    from fastcnn.serving.app import Options, create_app
    from fastcnn.serving.server import run

    class OtherEngine(Model):
        """The model's inputs, outputs and batches, computed by onnxruntime."""

        def run(self, output_names: Any, feeds: Mapping[str, Any], run_options: object = None, **how: Any) -> list[Any]:
            found: list[Any] = session.run(output_names, dict(feeds))
            return found

    threads, _ = sharing(loading.threads, loading.workers, default_threads())
    model = fastcnn.load(path, threads=threads)
    if engine == "onnxruntime":
        import onnxruntime
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = loading.threads or (threads if loading.workers else 0)
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        model.__class__ = OtherEngine
    run(create_app({NAME: model}, Options(loading=loading)), port=0, listening=lambda host, port: print(port, flush=True))


@contextmanager
def server(engine: str, path: str, *options: str) -> Iterator[int]:
    """Its port; it has to end well."""
    command = [sys.executable, "-m", "bench.serving_load", path, "--serve", engine, *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "ORT_DISABLE_TELEMETRY": "1"})
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        if process.wait(60) not in (0, -15):
            raise RuntimeError(f"{engine}: the server ended with {process.returncode}")


def client(port: int, bodies: Sequence[tuple[bytes, int]], want: Sequence[np.ndarray], until: float, seconds: list[float]) -> None:
    """Requests one after the other. Raises RuntimeError for an answer that is wrong."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        k = 0
        while time.perf_counter() < until:
            begin = time.perf_counter()
            body, head = bodies[k % len(bodies)]
            connection.request("POST", f"/v2/models/{NAME}/infer", body, {LENGTH: str(head)})
            response = connection.getresponse()
            raw = response.read()
            if response.status != 200:
                raise RuntimeError(f"status {response.status}: {raw[:200]!r}")
            got = np.frombuffer(raw[int(response.headers[LENGTH]):], want[0].dtype)
            errors = [float(np.abs(got - y.reshape(-1)).max()) for y in want]
            if int(np.argmin(errors)) != k % len(bodies) or not min(errors) < 1e-3 * float(np.abs(want[0]).max()):
                raise RuntimeError(f"the answer is another one's, or wrong by {min(errors):g}")
            seconds.append(time.perf_counter() - begin)
            k += 1


def measured(engine: str, path: str, clients: int, length: float, options: Sequence[str]) -> np.ndarray:
    """Seconds of each request."""
    (name, base), = random_feeds(Path(path)).items()
    xs = [np.random.default_rng(k).normal(scale=1 + k % INPUTS, size=base.shape).astype(np.float32) for k in range(clients * INPUTS)]
    model = fastcnn.load(path)
    output = model.get_outputs()[0].name
    want = [model.run([output], {name: x})[0] for x in xs]
    bodies = []
    for x in xs:
        said = {"inputs": [{"name": name, "datatype": "FP32", "shape": list(x.shape), "parameters": {"binary_data_size": x.nbytes}}],
                "outputs": [{"name": output, "parameters": {"binary_data": True}}]}
        head = json.dumps(said).encode()
        bodies.append((head + x.tobytes(), len(head)))
    seconds, errors = [list[float]() for _ in range(clients)], list[BaseException]()

    def work(k: int, until: float, into: list[float]) -> None:
        try:
            own = slice(k * INPUTS, (k + 1) * INPUTS)
            client(port, bodies[own], want[own], until, into)
        except BaseException as error:
            errors.append(error)

    with server(engine, path, *options) as port:
        for span, into in ((2.0, [list[float]() for _ in range(clients)]), (length, seconds)):
            until = time.perf_counter() + span
            callers = [threading.Thread(target=work, args=(k, until, into[k])) for k in range(clients)]
            for caller in callers:
                caller.start()
            for caller in callers:
                caller.join()
    if errors:
        raise errors[0]
    return np.concatenate(seconds)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL.onnx")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, help="of a run of both engines; by default those of `fastcnn serve`, and onnxruntime's own")
    parser.add_argument("--workers", type=int, help="runs at once; by default as `fastcnn serve` has them")
    parser.add_argument("--engines", default=",".join(ENGINES), help="default %(default)s")
    parser.add_argument("--serve", choices=ENGINES, help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.serve:
        serve(args.serve, args.models[0], Loading(args.threads, args.workers))
        return 0
    given = {"--threads": args.threads, "--workers": args.workers}
    options = [word for name, value in given.items() if value for word in (name, str(value))]
    for path in args.models:
        found: dict[str, list[np.ndarray]] = {engine: [] for engine in args.engines.split(",")}
        for _ in range(args.rounds):
            for engine, rounds in found.items():
                rounds.append(measured(engine, path, args.clients, args.seconds / args.rounds, options))
        for engine, rounds in found.items():
            seconds = np.concatenate(rounds)
            print(f"| {Path(path).stem} | {engine} | {len(seconds) / args.seconds:.1f}/s | p50 {1e3 * np.median(seconds):.1f} ms "
                  f"| p99 {1e3 * np.quantile(seconds, 0.99):.1f} ms |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
