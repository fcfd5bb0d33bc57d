"""What the image filters make of a photograph, on one sheet:  python -m models.filters photo.png out.png

Needs Pillow.
"""
from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import fastcnn
import models
from models.image_filters import OUTPUTS, POOL

PANEL_WIDTH, COLUMNS, MARGIN, CAPTION = 360, 4, 8, 20               # of the sheet, in pixels
SIGNED = ("columns", "rows", "sobel_columns", "sobel_rows")         # around zero: shown around grey
EDGES = (*SIGNED, "sobel")
EDGE_CONTRAST = 3.0                                                 # edges of photographs are faint: shown this much stronger
CAPTIONS = {
    "image":         "photograph",
    "box":           "box 5x5",
    "gaussian":      "Gaussian, sigma 1.5",
    "sharpened":     "sharpened",
    "columns":       "[-1 1] along rows",
    "rows":          "[-1 1] along columns",
    "sobel_columns": "Sobel along rows",
    "sobel_rows":    "Sobel along columns",
    "sobel":         "Sobel, magnitude",
    "average":       "average pooling 8x8",
    "weighted":      "pooling weighted by distance, 16x16",
}


def filtered(photograph: np.ndarray) -> dict[str, np.ndarray]:
    """Filter name -> (H, W, 3) uint8 for showing, the photograph first.  photograph: (H, W, 3) uint8, cut to multiples of 8 pixels."""
    height, width = (extent // POOL * POOL for extent in photograph.shape[:2])
    x = photograph[:height, :width].transpose(2, 0, 1)[None].astype(np.float32) / 255
    with fastcnn.load(models.build("image_filters", size=(height, width))) as model:
        results = dict(zip(OUTPUTS, model.run(OUTPUTS, {"x": x})))
    return {"image": _picture("image", x), **{name: _picture(name, y) for name, y in results.items()}}


def _picture(name: str, x: np.ndarray) -> np.ndarray:
    """(1, 3, h, w) -> (h, w, 3) uint8: 0 is black, or grey where there are signs; edges with more contrast."""
    shown = x * EDGE_CONTRAST if name in EDGES else x
    shown = (shown + 1) / 2 if name in SIGNED else shown
    return np.rint(np.clip(shown, 0, 1)[0].transpose(1, 2, 0) * 255).astype(np.uint8)


def sheet(pictures: dict[str, np.ndarray]) -> np.ndarray:
    """All pictures with their captions in rows of four, as one (H, W, 3) uint8 image; small ones are enlarged by whole pixels."""
    from PIL import Image, ImageDraw

    height, width = next(iter(pictures.values())).shape[:2]
    panel = (PANEL_WIDTH, round(PANEL_WIDTH * height / width))
    step = (panel[0] + MARGIN, panel[1] + CAPTION + MARGIN)
    rows = -(-len(pictures) // COLUMNS)
    canvas = Image.new("RGB", (COLUMNS * step[0] + MARGIN, rows * step[1] + MARGIN), "white")
    draw = ImageDraw.Draw(canvas)
    for k, (name, picture) in enumerate(pictures.items()):
        x, y = MARGIN + k % COLUMNS * step[0], MARGIN + k // COLUMNS * step[1]
        method = Image.Resampling.LANCZOS if len(picture) > panel[1] else Image.Resampling.NEAREST
        canvas.paste(Image.fromarray(picture).resize(panel, method), (x, y + CAPTION))
        draw.text((x, y + 3), CAPTIONS[name], fill="black")
    return np.asarray(canvas)


def main(arguments: list[str] | None = None) -> None:
    """Reads a photograph, writes the sheet."""
    from PIL import Image

    parser = argparse.ArgumentParser(prog="python -m models.filters", description=__doc__)
    parser.add_argument("photograph", type=Path)
    parser.add_argument("out", type=Path, help="the sheet, a PNG")
    args = parser.parse_args(arguments)
    with Image.open(args.photograph) as image:
        pictures = filtered(np.asarray(image.convert("RGB")))
    Image.fromarray(sheet(pictures)).save(args.out)
    print(f"{args.out}: {len(pictures)} pictures")


if __name__ == "__main__":
    main()
