"""fastcnn cache: the compiled models that load(cache=True) keeps."""
from __future__ import annotations

from datetime import datetime

import click

from fastcnn.cli import show
from fastcnn.cli.options import AS_JSON
from fastcnn.compiled import Cache, cache_of

HELP = """The compiled models that fastcnn.load(cache=True) and FASTCNN_MODEL_CACHE=1 keep, the last used first.

Deleting them is safe at any time: processes that use one keep it, and the next load makes it again.
"""


@click.command("cache", help=HELP)
@AS_JSON
@click.option("--folder", type=click.Path(file_okay=False), help="As given to load(cache=); the folder of the user by default.")
@click.option("--clear", is_flag=True, help="Delete all of them.")
def command(as_json: bool, folder: str | None, clear: bool) -> None:
    cache = cache_of(folder or True)
    assert isinstance(cache, Cache)
    if clear:
        cache.clear()
    found = sorted(cache.entries(), key=lambda entry: -entry.used)
    if as_json:
        show.as_json({"folder": cache.folder, "limit": cache.limit, "entries": [
            {"path": entry.path, "size": entry.size, "used": entry.used, "models": entry.models} for entry in found]})
        return
    if found:
        show.table(("last used", "MB", "model"), [[f"{datetime.fromtimestamp(entry.used):%Y-%m-%d %H:%M}", f"{entry.size / 1e6:.1f}",
                                                   ", ".join(entry.models) or "?"] for entry in found])
    show.lines([f"{cache.folder}: {sum(entry.size for entry in found) / 1e6:.1f} of at most {cache.limit / 1e6:.0f} MB"])
