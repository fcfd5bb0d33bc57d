"""models.image_filters: every filter by hand on a photograph, against onnxruntime, and the sheet that `python -m models.filters` writes."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import fastcnn
import models
from models import data, filters
from models.image_filters import KERNELS, OUTPUTS, POOL, WEIGHTED_POOL, distance_weights, gaussian

SIZE = (64, 88)

pytestmark = pytest.mark.filterwarnings("error:.*no native kernel")


@pytest.fixture(scope="module")
def photograph() -> np.ndarray:
    """(H, W, 3) uint8: an eye of scikit-image's cat."""
    pytest.importorskip("PIL")
    pytest.importorskip("skimage")
    return data.photograph("skimage", "chelsea.png")[80:80 + SIZE[0], 100:100 + SIZE[1]]


@pytest.fixture(scope="module")
def image(photograph: np.ndarray) -> np.ndarray:
    return photograph.transpose(2, 0, 1)[None].astype(np.float32) / 255


@pytest.fixture(scope="module")
def results(image: np.ndarray) -> dict[str, np.ndarray]:
    with fastcnn.load(models.build("image_filters", size=SIZE), threads=2) as model:
        found = dict(zip(OUTPUTS, model.run(OUTPUTS, {"x": image})))
        assert not model.fallback_nodes
    return found


def by_hand(x: np.ndarray, kernel: np.ndarray, stride: int = 1) -> np.ndarray:
    """Every window times the kernel, in float64, edges continued."""
    kh, kw = kernel.shape
    before = (kh - stride) // 2, (kw - stride) // 2
    pads = [(0, 0), (0, 0), (before[0], kh - stride - before[0]), (before[1], kw - stride - before[1])]
    padded = np.pad(x.astype(np.float64), pads, "edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kh, kw), (2, 3))[:, :, ::stride, ::stride]
    return (windows * kernel).sum((-1, -2))


@pytest.mark.parametrize("name", KERNELS)
def test_filter_equals_windows_times_kernel(image, results, name):
    assert results[name].shape == image.shape
    np.testing.assert_allclose(results[name], by_hand(image, KERNELS[name]), rtol=0, atol=2e-6)


def test_sobel_magnitude(results):
    expected = np.hypot(results["sobel_columns"], results["sobel_rows"])
    np.testing.assert_allclose(results["sobel"], expected, rtol=0, atol=1e-6)


def test_poolings_average_the_same_places(image, results):
    means = image.reshape(1, 3, SIZE[0] // POOL, POOL, SIZE[1] // POOL, POOL).mean((3, 5))
    np.testing.assert_allclose(results["average"], means, rtol=0, atol=1e-6)
    weighted = by_hand(image, distance_weights(WEIGHTED_POOL), POOL)
    assert weighted.shape == means.shape
    np.testing.assert_allclose(results["weighted"], weighted, rtol=0, atol=2e-6)


def test_differences_are_between_neighbours(image, results):
    np.testing.assert_allclose(results["columns"][..., :-1], np.diff(image, axis=3), rtol=0, atol=1e-6)
    np.testing.assert_allclose(results["rows"][..., :-1, :], np.diff(image, axis=2), rtol=0, atol=1e-6)


def test_filters_leave_a_flat_image_as_it_is():
    flat = np.full((2, 3, *SIZE), 0.25, np.float32)
    y = dict(zip(OUTPUTS, fastcnn.load(models.build("image_filters", size=SIZE, batch="N")).run(OUTPUTS, {"x": flat})))
    for name, values in y.items():
        np.testing.assert_allclose(values, 0.0 if name in filters.EDGES else 0.25, rtol=0, atol=1e-6)


def test_distance_weights_fall_from_the_centre():
    weights = distance_weights(5)
    assert weights.sum() == pytest.approx(1)
    centre, side, corner = weights[2, 2], weights[2, 1], weights[0, 0]
    assert centre / side == pytest.approx(2) and centre / corner == pytest.approx(1 + 8**0.5)
    assert gaussian(1.0, 3).sum() == pytest.approx(1) and gaussian(1.0, 3).argmax() == 24


def test_image_filters_agree_with_onnxruntime(image, results):
    proto = models.build("image_filters", size=SIZE)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    for name, expected in zip(OUTPUTS, session.run(OUTPUTS, {"x": image})):
        np.testing.assert_allclose(results[name], expected, rtol=0, atol=2e-6)


def test_command_writes_one_sheet(tmp_path: Path, photograph, capsys):
    from PIL import Image

    Image.fromarray(photograph[:-3, :-5]).save(tmp_path / "photo.png")
    filters.main([str(tmp_path / "photo.png"), str(tmp_path / "sheet.png")])
    assert f"{len(OUTPUTS) + 1} pictures" in capsys.readouterr().out
    with Image.open(tmp_path / "sheet.png") as image:
        sheet = np.asarray(image)
    assert sheet.shape[1] == filters.COLUMNS * (filters.PANEL_WIDTH + filters.MARGIN) + filters.MARGIN
    top = filters.MARGIN + filters.CAPTION
    first = sheet[top:top + 200, filters.MARGIN:filters.MARGIN + filters.PANEL_WIDTH]
    assert abs(first.mean() - photograph.mean()) < 4          # the photograph itself, a little cut


def test_every_filter_has_a_caption():
    assert set(filters.CAPTIONS) == {"image", *OUTPUTS}
