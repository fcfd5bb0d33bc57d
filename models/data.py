"""The data of the two trained networks: scikit-learn's digits and the photographs inside the scikit-learn and scikit-image wheels.

Nothing is downloaded.  scikit-learn, scikit-image and Pillow are imported by the functions that need them.
"""
from __future__ import annotations

from pathlib import Path

import numpy as np

TEST_DIGITS = 450  # of 1797
SPLIT_SEED = 0

# (wheel, file inside it) of each photograph; "test" is never trained on
PHOTOGRAPHS = {
    "train": (
        ("skimage", "astronaut.png"),
        ("skimage", "brick.png"),
        ("skimage", "camera.png"),
        ("skimage", "coffee.png"),
        ("skimage", "coins.png"),
        ("skimage", "grass.png"),
        ("skimage", "gravel.png"),
        ("skimage", "ihc.png"),
        ("skimage", "rocket.jpg"),
    ),
    "test": (
        ("sklearn", "china.jpg"),
        ("sklearn", "flower.jpg"),
        ("skimage", "chelsea.png"),
    ),
}


def digits() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(train_x, train_y, test_x, test_y): x (n, 1, 8, 8) float32 in 0..1 (the grey levels 0..16 over 16), y (n,) int64.

    1347 images to train on and 450 held out, by a seeded permutation of scikit-learn's 1797.
    """
    from sklearn.datasets import load_digits

    data = load_digits()
    x = (data.images[:, None] / 16).astype(np.float32)
    y = data.target.astype(np.int64)
    order = np.random.default_rng(SPLIT_SEED).permutation(len(x))
    test, train = order[:TEST_DIGITS], order[TEST_DIGITS:]
    return x[train], y[train], x[test], y[test]


def photographs(split: str) -> dict[str, np.ndarray]:
    """File name -> (H, W) float32 luminance in 0..1, for split "train" or "test"."""
    return {file: luminance(photograph(wheel, file)) for wheel, file in PHOTOGRAPHS[split]}


def photograph(wheel: str, file: str) -> np.ndarray:
    """(H, W, 3) uint8 of one photograph in a wheel."""
    from PIL import Image

    with Image.open(_folder(wheel) / file) as image:
        return np.asarray(image.convert("RGB"))


def luminance(rgb: np.ndarray) -> np.ndarray:
    """y = (0.299 r + 0.587 g + 0.114 b) / 255 (ITU-R BT.601).  rgb: (H, W, 3) uint8; y: (H, W) float32 in 0..1."""
    return (rgb.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)) / np.float32(255)


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Pillow's bicubic on float32 (a = -0.5, antialiased when it shrinks), clipped to 0..1.  image: (H, W) in 0..1."""
    from PIL import Image

    resized = Image.fromarray(image.astype(np.float32)).resize((width, height), Image.Resampling.BICUBIC)
    return np.clip(np.asarray(resized), 0, 1)


def degrade(image: np.ndarray, scale: int) -> tuple[np.ndarray, np.ndarray]:
    """(low, high): high is the image cropped to multiples of `scale`, low is high shrunk `scale` times by `resize`."""
    height, width = (extent // scale for extent in image.shape)
    high = image[: height * scale, : width * scale]
    return resize(high, height, width), high


def enlarge(low: np.ndarray, scale: int) -> np.ndarray:
    """Bicubic enlargement by `resize`: the baseline super-resolution is compared with.  low: (H, W)."""
    return resize(low, low.shape[0] * scale, low.shape[1] * scale)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """-10 log10(mean (a - b)^2) in dB, for images in 0..1; over the whole image, borders included."""
    return float(-10 * np.log10(np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2)))


def _folder(wheel: str) -> Path:
    if wheel == "sklearn":
        import sklearn.datasets

        return Path(sklearn.datasets.__file__).parent / "images"
    import skimage

    return Path(skimage.__file__).parent / "data"
