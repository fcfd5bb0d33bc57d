"""Writes an explanation as PNG files and one HTML page that shows them."""
from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

import numpy as np

from fastcnn.analysis.text import seen
from fastcnn.explanation import pictures
from fastcnn.explanation.evidence import Evidence
from fastcnn.explanation.found import Detected, Detector, Found
from fastcnn.preprocess import opened

SHEET_COLUMNS, FILTER_COLUMNS, PATCH_COLUMNS = 4, 16, 3
MOST_FILTERS = 256
STYLE = """body{font:14px system-ui,sans-serif;margin:24px;color:#222;max-width:1280px}figure{display:inline-block;margin:6px 10px 6px 0;
vertical-align:top}figcaption{font-size:12px;color:#555;max-width:260px}img{image-rendering:pixelated;border:1px solid #ccc}
h2{margin-top:28px}p{max-width:760px}"""


def save(found: Found, folder: Path, labels: Sequence[str] | None) -> list[Path]:
    """Writes all files to a folder, the page last."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, pixels in _sheets(found):
        files.append(folder / name)
        opened(pixels).save(files[-1])
    page = folder / "index.html"
    page.write_text(html(found, labels))
    return [*files, page]


def _sheets(found: Found) -> Iterator[tuple[str, np.ndarray]]:
    """(file name, pixels) of the separate pictures."""
    if found.filters is not None:
        yield "filters.png", filter_sheet(found)
    for k, layer in enumerate(found.layers):
        name = f"{k + 1}-{re.sub(r'[^A-Za-z0-9]+', '_', layer.layer).strip('_')}"
        yield f"patches-{name}.png", pictures.grid([block(channel) for channel in layer.channels], SHEET_COLUMNS, gap=12)
        if layer.maps is not None:
            yield f"maps-{name}.png", pictures.grid([pictures.map_tile(plane) for plane in layer.maps], SHEET_COLUMNS)
    for k, evidence in enumerate(found.evidence):
        yield f"evidence-{k + 1}.png", pictures.grid(evidence_tiles(evidence), 3, gap=8)


def filter_sheet(found: Found) -> np.ndarray:
    """The first filters as one picture."""
    weights = found.filters[1] if found.filters is not None else np.zeros((1, 1, 1, 1), np.float32)
    tiles = pictures.filter_tiles(weights[:MOST_FILTERS], found.preprocess.colour == "BGR")
    return pictures.grid(tiles[:MOST_FILTERS], FILTER_COLUMNS, colour=pictures.BLUE)


def block(channel: Detector) -> np.ndarray:
    """The patches of a channel, the strongest first."""
    tiles = [pictures.fitted(patch.pixels) for patch in channel.patches]
    return pictures.grid(tiles or [np.full((pictures.CELL, pictures.CELL, 1), 200, np.uint8)], PATCH_COLUMNS, colour=pictures.BLUE)


def evidence_tiles(evidence: Evidence) -> list[np.ndarray]:
    """The image, the evidence by occlusion, and by class activation map where there is one."""
    cell = 4 * pictures.CELL
    maps = [evidence.occlusion, *([evidence.cam] if evidence.cam is not None else [])]
    return [pictures.fitted(evidence.pixels, cell), *(pictures.overlay(evidence.pixels, heat, cell) for heat in maps)]


def html(found: Found, labels: Sequence[str] | None = None) -> str:
    """The page."""
    title = escape(f"{found.model or 'model'}: what its layers detect")
    parts = [f"<h1>{title}</h1><p>{found.images} image{'s' * (found.images != 1)}. A patch is exactly what the unit sees of an image, "
             "its receptive field; lilac is padding. Patches stand from the strongest on.</p>"]
    parts += [_evidence(evidence, labels) for evidence in found.evidence]
    if found.evidence:
        parts.insert(1, "<h2>Evidence for a class</h2><p>Red speaks for the class, blue against it. Occlusion: how far the score falls "
                        "when a square of the image gets the colour of its background. Class activation map: what each place of the last "
                        "map adds to the score.</p>")
    if found.filters is not None:
        parts.append(f"<h2>Filters of {escape(found.filters[0])}</h2><p>What the first convolution multiplies pixels with; grey is 0.</p>"
                     f"{_image(filter_sheet(found))}")
    parts += [_layer(layer) for layer in found.layers]
    return (f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{title}</title><style>{STYLE}</style></head>"
            f"<body>{''.join(parts)}</body></html>")


def _evidence(evidence: Evidence, labels: Sequence[str] | None) -> str:
    name = labels[evidence.class_] if labels and evidence.class_ < len(labels) else f"class {evidence.class_}"
    words = ["", "occlusion", "class activation map"]
    told = f"{escape(evidence.source)}<br>{escape(name)}: {evidence.score:.4g}"
    return "<div>" + "".join(_figure(tile, told if k == 0 else words[k]) for k, tile in enumerate(evidence_tiles(evidence))) + "</div>"


def _layer(layer: Detected) -> str:
    sees = seen(layer.fields)
    head = f"<h2>{escape(layer.layer)} ({escape(layer.op_type)}){f', sees {escape(sees)}' if sees else ''}</h2>"
    blocks = "".join(_figure(block(channel), _channel(channel)) for channel in layer.channels)
    if layer.maps is None:
        return head + blocks
    named = zip(layer.maps, layer.channels)
    maps = "".join(_figure(pictures.map_tile(plane), f"channel {channel.channel}") for plane, channel in named)
    return f"{head}{blocks}<details><summary>Maps of the first image</summary>{maps}</details>"


def _channel(channel: Detector) -> str:
    if not channel.patches:
        return f"channel {channel.channel}: nothing activated it"
    sources = ", ".join(dict.fromkeys(Path(patch.source).name for patch in channel.patches))
    return (f"channel {channel.channel}: {channel.patches[0].value:.3g} to {channel.patches[-1].value:.3g}"
            f"<br><span title='{escape(sources)}'>{escape(sources if len(sources) < 40 else sources[:38] + '…')}</span>")


def _figure(pixels: np.ndarray, caption: str) -> str:
    return f"<figure>{_image(pixels)}<figcaption>{caption}</figcaption></figure>"


def _image(pixels: np.ndarray) -> str:
    buffer = io.BytesIO()
    opened(np.ascontiguousarray(pictures.coloured(pixels))).save(buffer, "PNG")
    return f"<img alt='' src='data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}'>"
