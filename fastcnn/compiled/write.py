"""Writing a compiled file."""
from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from fastcnn.compiled.container import CHUNK, Writer
from fastcnn.compiled.description import described
from fastcnn.compiled.pack_keys import made_for, plain
from fastcnn.ir.graph import Graph
from fastcnn.mapping import open_regular
from fastcnn.plan.packs import Packs
from fastcnn.version import __version__


def save(path: str | os.PathLike[str], graph: Graph, packs: Packs, options: Mapping[str, Any], source: str | None) -> None:
    """Writes the graph after passes, the packs that may come from a file, options as they are, and the ONNX file at `source`, if any.

    Raises OSError, ConfigurationError for what a file cannot hold, FormatError where a file that constants lie in was changed.
    """
    entries: list[dict[str, Any]] = []
    with Writer(path) as writer:
        def store(array: np.ndarray) -> int:
            entries.append(writer.array(array))
            return len(entries) - 1

        header = {"version": __version__, "made_for": made_for(), "options": dict(options), "metadata": graph.metadata,
                  "graph": described(graph, store),
                  "packs": [[plain(key), store(packs[key])] for key in packs.specs if key in packs], "arrays": entries}
        writer.finish(header, _pieces(source) if source is not None else ())


def _pieces(path: str) -> Iterator[bytes]:
    with open_regular(path) as stream:
        while piece := stream.read(CHUNK):
            yield piece
