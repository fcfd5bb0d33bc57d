"""fastcnn serve MODEL...: models over HTTP by the Open Inference Protocol."""
from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

import click

from fastcnn.ir.errors import ConfigurationError

EXTRA = "serving needs starlette, uvicorn, orjson and prometheus-client: pip install 'fastcnn[serve]'"
TOKEN = "FASTCNN_SERVE_TOKEN"
HELP = f"""Serves models over HTTP by the Open Inference Protocol, version 2, with its binary tensor data extension.

MODEL is a file, NAME=FILE, or a folder of .onnx and .fcnn files; a model is called as its file is unless NAME says otherwise.
Single requests are collected into batches. SIGHUP reads all files again, SIGTERM ends after the requests under way.
Requests have to show the token in ${TOKEN} or --token-file, where there is one; health checks do not.
"""


@click.command("serve", help=HELP)
@click.argument("models", metavar="MODEL...", nargs=-1, required=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; others than loopback want a token.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0: any that is free.")
@click.option("--threads", type=click.IntRange(1), help="Of a run; see --workers.")
@click.option("--workers", type=click.IntRange(1), help="Runs at once, for each model; by default the root of the number of CPUs. "
              "One thread each makes most requests a second, one worker answers a single request soonest.")
@click.option("--max-batch", type=click.IntRange(1), default=8, show_default=True, help="Images of a batch.")
@click.option("--max-delay-ms", type=click.FloatRange(0), default=0.0, show_default=True, help="So long a request waits for others.")
@click.option("--max-queue", type=click.IntRange(1), default=256, show_default=True, help="Requests that wait, for each model; 429 beyond.")
@click.option("--max-body", type=click.IntRange(1), default=64 << 20, show_default=True, help="Bytes of a request; 413 beyond.")
@click.option("--timeout", type=click.FloatRange(0, min_open=True), default=30.0, show_default=True, help="Seconds; 408 and 504 beyond.")
@click.option("--grace", type=click.IntRange(0), default=30, show_default=True, help="Seconds for requests under way when it ends.")
@click.option("--token-file", type=click.Path(dir_okay=False), help="The first line is the token.")
def command(models: Sequence[str], host: str, port: int, threads: int | None, workers: int | None, max_batch: int, max_delay_ms: float,
            max_queue: int, max_body: int, timeout: float, grace: int, token_file: str | None) -> None:
    try:
        from fastcnn.serving.app import Options, create_app
        from fastcnn.serving.repository import Loading, named
        from fastcnn.serving.server import run
    except ImportError as error:
        raise click.ClickException(f"{EXTRA} ({error})") from None
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    options = Options(max_body, timeout, _token(token_file), Loading(threads, workers, max_batch, max_delay_ms, max_queue))
    app = create_app(named(models), options)
    if options.token is None and not (host.startswith("127.") or host in ("localhost", "::1")):
        click.echo(f"fastcnn: warning: whoever reaches {host} may use these models: there is no token", err=True)

    def listening(bound: str, number: int) -> None:
        where = f"[{bound}]" if ":" in bound else bound
        click.echo(f"fastcnn: {', '.join(app.state.server.repository.live)} at http://{where}:{number}/v2")

    run(app, host, port, grace, listening)


def _token(file: str | None) -> str | None:
    """The bearer token in the file, else of the environment. Raises ConfigurationError."""
    if file is None:
        return os.environ.get(TOKEN) or None
    token = (Path(file).read_text().splitlines() or [""])[0].strip()
    if not token:
        raise ConfigurationError(f"{file}: its first line is empty")
    return token
