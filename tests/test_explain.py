"""fastcnn.explain(): the strongest patches are the strongest, cut where the unit sees; evidence adds up; pictures and the page."""
from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from browser import looked_at, needs_browser
from graph_helper import floats, model, node

import fastcnn
import fastcnn_cli
import models
from fastcnn.explanation import pictures
from fastcnn.explanation.cam import ending
from fastcnn.explanation.evidence import occlusion, squares
from fastcnn.explanation.filters import first_filters
from fastcnn.explanation.patches import PADDING, Strongest, box_of, cut

pytest.importorskip("PIL", reason="images need Pillow: pip install 'fastcnn[cli]'")
DIGITS = str(Path(__file__).parent.parent / "models" / "trained" / "digits.onnx")
PLAIN = fastcnn.Preprocess(size=(17, 15), crop=None, scale=1.0)
RNG = np.random.default_rng(5)
IMAGES = [RNG.integers(0, 256, (17, 15, 3), np.uint8) for _ in range(7)]


def network(batch: int | str = "n") -> fastcnn.Model:
    """Two convolutions with a pooling between: strides, padding and dilation."""
    nodes = [node("Conv", ["x", "w"], ["a"], "first", strides=[2, 1], pads=[1, 1, 1, 1]), node("Relu", ["a"], ["b"], "relu"),
             node("MaxPool", ["b"], ["c"], "pool", kernel_shape=[2, 2]), node("Conv", ["c", "v"], ["y"], "last", dilations=[1, 2])]
    weights = {"w": floats(5, 3, 3, 3, seed=1), "v": floats(4, 5, 2, 2, seed=2)}
    return fastcnn.load(model(nodes, {"x": [batch, 3, 17, 15]}, ["y"], weights), threads=1)


@pytest.mark.parametrize("per_image", [1, 3])
def test_strongest_are_those_of_all_images(per_image):
    y = RNG.standard_normal((10, 6, 5, 4)).astype(np.float32)
    table = Strongest([1, 5], 4, 0, per_image)
    for first in range(0, 10, 3):
        table.add(y[first:first + 3], first)
    for k, channel in enumerate([1, 5]):
        each = np.sort(y[:, channel].reshape(10, -1), axis=1)[:, -per_image:]
        np.testing.assert_array_equal(table.values[k], np.sort(each.ravel())[::-1][:4].astype(np.float64))
        for j in range(4):
            assert y[table.images[k, j], channel].flat[table.units[k, j]] == table.values[k, j]


def test_strongest_of_one_image_are_apart_and_what_never_is_active_has_none():
    y = np.zeros((1, 2, 9, 9), np.float32)
    y[0, 0, 4, 4], y[0, 0, 4, 5], y[0, 0, 0, 0], y[0, 0, 8, 8] = 9, 8, 7, np.nan
    table = Strongest([0, 1], 3, 2, 3)
    table.add(y, 0)
    assert [divmod(int(table.units[0, j]), 9) for j in table.active(0)] == [(4, 4), (0, 0)]
    assert table.active(1) == []


@pytest.mark.parametrize("batch", ["n", 3], ids=["symbolic", "fixed"])
def test_patches_are_exactly_what_the_unit_sees(batch):
    """The rest of the image may be anything; inside of the patch hardly a pixel may change."""
    with network(batch) as net:
        found = fastcnn.explain(net, IMAGES, layers=["first", "last"], patches=3, preprocess=PLAIN, batch=2)
        inside = 0
        for layer in found.layers:
            for channel in layer.channels:
                values = [patch.value for patch in channel.patches]
                assert len(values) == 3 and values == sorted(values, reverse=True)
                for patch in channel.patches:
                    pixels = IMAGES[int(patch.source.split()[1])]
                    top, left, bottom, right = patch.box
                    np.testing.assert_array_equal(patch.pixels, cut(pixels, patch.box))
                    other = np.full_like(pixels, 77)
                    area = np.s_[max(top, 0):bottom, max(left, 0):right]
                    other[area] = pixels[area]
                    assert unit(net, layer, channel.channel, patch.unit, other) == pytest.approx(patch.value, rel=1e-5)
                    other[area] = 255 - other[area]
                    inside += unit(net, layer, channel.channel, patch.unit, other) != pytest.approx(patch.value, rel=1e-3)
        assert inside > 20
        assert [layer.fields[0].size for layer in found.layers] == [3, 7]


def unit(net: fastcnn.Model, layer: object, channel: int, place: tuple[int, ...], pixels: np.ndarray) -> float:
    """One unit's value for an image; the model may have a fixed batch."""
    count = net.get_inputs()[0].shape[0]
    value = {"first": "b", "last": "y"}[layer.layer]
    y, = net.run([value], {"x": PLAIN.batch([pixels] * (count if isinstance(count, int) else 1))})
    return float(y[(0, channel, *place)])


def test_boxes_that_leave_the_image_are_padded():
    from fastcnn.analysis.records import ReceptiveField
    fields = [ReceptiveField("x", axis, 3.0, 2.0, -1.0) for axis in (2, 3)]
    assert box_of((0, 2), fields, (6, 6)) == (-1, 3, 2, 6) and box_of((), fields, (6, 7)) == (0, 0, 6, 7)
    patch = cut(np.full((6, 6, 1), 9, np.uint8), (-1, 3, 2, 6))
    assert patch[0, 0].tolist() == list(PADDING) and (patch[1:] == 9).all() and patch.shape == (3, 3, 3)
    assert (cut(np.zeros((6, 6, 1), np.uint8), (-9, 0, -6, 3)) == PADDING).all()


def test_image_filters_find_the_edges_that_they_are_made_for():
    """Sobel along the columns: dark on the left, bright on the right; along the rows: dark above, bright below."""
    image = np.full((48, 48, 3), 90, np.uint8)
    image[8:20, 10:30] = 250
    image[30:40, 5:25, :2] = 10
    net = fastcnn.load(models.build("image_filters", size=(48, 48)), threads=1)
    found = fastcnn.explain(net, [image, image[::-1].copy(), image[:, ::-1].copy()], layers=["sobel_columns", "sobel_rows"], patches=4,
                            preprocess=fastcnn.Preprocess(size=(48, 48)))
    columns, rows = found.layers
    patches = [[patch.pixels[..., channel.channel].astype(int) for channel in layer.channels for patch in channel.patches]
               for layer in (columns, rows)]
    assert len(patches[0]) == len(patches[1]) == 12
    assert all((p[:, 2] > p[:, 0]).all() for p in patches[0]) and all((p[2] > p[0]).all() for p in patches[1])


# ---- evidence ----


def classifier(pooling: str, linear: str) -> onnx.ModelProto:
    """Convolution, global pooling and a linear layer in some spelling; or none."""
    weights = {"w": floats(6, 3, 3, 3, seed=1), "b": floats(4, seed=3)}
    nodes = [node("Conv", ["x", "w"], ["m"], "conv", pads=[1, 1, 1, 1])]
    if linear == "before":
        nodes, weights["k"] = [*nodes, node("Conv", ["m", "k"], ["n"], "classes")], floats(4, 6, 1, 1, seed=4)
    last = "n" if linear == "before" else "m"
    if pooling == "mean":
        nodes.append(node("ReduceMean", [last], ["p"], "mean", axes=[-1, 2], keepdims=0))
    else:
        nodes += [node("GlobalAveragePool", [last], ["q"], "pool"), node("Flatten", ["q"], ["p"], "flat")]
    if linear == "gemm":
        nodes, weights["k"] = [*nodes, node("Gemm", ["p", "k", "b"], ["s"], "fc", transB=1)], floats(4, 6, seed=4)
    if linear == "matmul":
        nodes += [node("MatMul", ["p", "k"], ["r"], "fc"), node("Add", ["r", "b"], ["s"], "bias")]
        weights["k"] = floats(6, 4, seed=4)
    nodes.append(node("Identity", ["p" if linear == "before" else "s"], ["y"], "out"))
    used = {name for n in nodes for name in n.input}
    return model(nodes, {"x": ["n", 3, 17, 15]}, ["y"], {name: value for name, value in weights.items() if name in used}, opset=13)


@pytest.mark.parametrize("pooling, linear", [("pool", "gemm"), ("mean", "matmul"), ("pool", "matmul"), ("mean", "before"),
                                             ("pool", "before")])
def test_cam_adds_up_to_the_score(pooling, linear):
    with fastcnn.load(classifier(pooling, linear), threads=1) as net:
        found = fastcnn.explain(net, IMAGES, classes=[0, 3], preprocess=PLAIN, shown=2)
        assert len(found.evidence) == 4
        for evidence in found.evidence:
            bias = floats(4, seed=3)[evidence.class_] if linear != "before" else 0.0
            assert evidence.cam.shape == (17, 15)
            assert evidence.cam.mean() + bias == pytest.approx(evidence.score, rel=1e-4, abs=1e-3)


def test_cam_is_none_where_scores_are_no_means_of_maps():
    with fastcnn.load(DIGITS, threads=1) as net:
        assert ending(net._graph, "probabilities") is None
    flat = [node("Flatten", ["x"], ["f"], "flat"), node("Gemm", ["f", "k"], ["y"], "fc")]
    with fastcnn.load(model(flat, {"x": [1, 3, 2, 2]}, ["y"], {"k": floats(12, 4)}), threads=1) as net:
        assert ending(net._graph, "y") is None


def test_occlusion_is_where_the_score_comes_from():
    """The score is the mean of a quarter of the image, whose background is black."""
    pixels = np.zeros((32, 32, 1), np.uint8)
    pixels[2:8, 20:28] = 200
    heat = occlusion(pixels, 0, lambda images: np.array([[image[:16, 16:].mean()] for image in images]), 7)
    assert heat[4, 24] > 0 and heat.min() == 0 and not heat[16:].any() and not heat[:, :16].any()
    covered = np.zeros((13, 11), int)
    for top, left, side in squares(13, 11):
        covered[top:top + side, left:left + side] += 1
        assert top + side <= 13 and left + side <= 11
    assert covered.min() > 0


# ---- pictures ----


def test_first_filters_are_those_that_read_the_image():
    with network() as net:
        name, weights = first_filters(net._graph, "x")
        assert name == "first" and weights.shape == (5, 3, 3, 3)
        tiles = pictures.filter_tiles(weights)
    assert len(tiles) == 5 and tiles[0].shape[2] == 3
    filters = np.zeros((1, 1, 1, 3), np.float32)
    filters[0, 0, 0] = [-2, 0, 2]
    assert pictures.filter_tiles(filters)[0][0, [0, 30, 62], 0].tolist() == [0, 128, 255]


def test_pictures_have_the_size_and_colour_that_they_say():
    tile = np.arange(12, dtype=np.uint8).reshape(3, 4, 1)
    assert pictures.fitted(tile, 16).shape == (12, 16, 3) and pictures.fitted(np.zeros((300, 100, 3), np.uint8), 60).shape == (60, 20, 3)
    sheet = pictures.grid([tile, tile, tile], 2, gap=1, colour=(1, 2, 3))
    assert sheet.shape == (7, 9, 3) and sheet[3, 0].tolist() == [1, 2, 3] and sheet[5, 5].tolist() == [1, 2, 3]
    heat = np.array([[1.0, -1.0]])
    red = pictures.overlay(np.full((8, 8, 1), 100, np.uint8), heat, 64)
    assert red[32, 2, 0] > red[32, 2, 2] and red[32, 61, 2] > red[32, 61, 0]
    assert pictures.map_tile(np.array([[1.0, 3.0], [np.nan, 2.0]])).dtype == np.uint8


def test_explain_refuses_what_is_not_there():
    with network() as net:
        for words, options in {"no images": {"images": []}, "no layer 'nowhere'": {"layers": ["nowhere"]}, "0 to 4, no 7": {
                "layers": ["first"], "channels": [7]}}.items():
            with pytest.raises(fastcnn.InputError, match=words):
                fastcnn.explain(net, **{"images": IMAGES, "preprocess": PLAIN, **options})
    with fastcnn.load(classifier("pool", "gemm")) as net, pytest.raises(fastcnn.InputError, match="0 to 3"):
        fastcnn.explain(net, IMAGES, classes=[4], preprocess=PLAIN)
    two = model([node("Conv", ["x", "w"], ["a"], "c"), node("Mul", ["a", "z"], ["y"], "m")], {"x": [1, 3, 17, 15], "z": [1]}, ["y"],
                {"w": floats(2, 3, 1, 1)})
    with fastcnn.load(two) as net, pytest.raises(fastcnn.InputError, match="the model wants z too"):
        fastcnn.explain(net, IMAGES, preprocess=PLAIN)


# ---- the command ----


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    image, data = pytest.importorskip("PIL.Image"), pytest.importorskip("sklearn.datasets").load_digits()
    (tmp_path / "in").mkdir()
    for k in range(20):
        image.fromarray((data.images[k] * 255 / 16).astype("uint8")).save(tmp_path / "in" / f"{data.target[k]}-{k}.png")
    return tmp_path


def test_cli_explain_writes_pictures_and_a_page(capsys, digits):
    pytest.importorskip("click")
    code = fastcnn_cli.main(["explain", DIGITS, str(digits / "in"), "--channels", "0-1,30", "--shown", "1", "--output",
                             str(digits / "out")])
    printed = capsys.readouterr()
    assert code == 0 and "conv3" in printed.out and "14x14 /2 -6" in printed.out, printed.err
    names = {file.name for file in (digits / "out").iterdir()}
    assert {"index.html", "filters.png", "evidence-1.png", "patches-1-conv0.png", "maps-4-conv3.png"} <= names and len(names) == 11
    page = (digits / "out" / "index.html").read_text()
    assert "channel 30" in page and "http" not in page.replace("http-equiv", "") and page.count("<img") == 2 + 1 + 4 * 3 * 2
    code = fastcnn_cli.main(["explain", DIGITS, str(digits / "in"), "--layer", "fc", "--output", str(digits / "out"), "--json"])
    found = json.loads(capsys.readouterr().out)
    assert code == 0 and found["images"] == 20 and len(found["evidence"]) == 4
    strongest = [Path(c["patches"][0]["source"]).name[0] for c in found["layers"][0]["channels"]]
    assert strongest == [str(k) for k in range(10)], "a class is activated most by an image of it, which it sees as a whole"


@needs_browser
def test_explain_page_in_a_browser(digits):
    with fastcnn.load(DIGITS, threads=1) as net:
        found = fastcnn.explain(net, sorted((digits / "in").iterdir()), channels=[0, 1], shown=1)
    seen = looked_at(found.save(digits / "out", [f"digit {k}" for k in range(10)])[-1],
                     "document.querySelector('summary').click();seen.open=document.querySelector('details').open;"
                     "seen.words=document.body.innerText;")
    assert seen["errors"] == [] and seen["broken"] == 0 and seen["open"]
    assert "digit 0" in seen["words"] and "conv3 (Conv), sees 14x14" in seen["words"]


@pytest.mark.parametrize("arguments, words", [
    ([], "Missing argument 'IMAGES...'"),
    (["nowhere.png"], "'nowhere.png': no such file"),
    (["--layer", "conv9"], "no layer 'conv9'"),
    (["--channels", "a-b"], "--channels a-b: expected numbers and ranges"),
    (["--channels", "99"], "channels 0 to 31, no 99"),
    (["--class", "10"], "the model has 0 to 9"),
])
def test_cli_explain_errors(capsys, digits, arguments, words):
    pytest.importorskip("click")
    images = [str(digits / "in")] if arguments and arguments[0].startswith("--") else []
    code = fastcnn_cli.main(["explain", DIGITS, *images, *arguments, "--output", str(digits / "out")])
    err = capsys.readouterr().err
    assert code == 2 and err.count("\n") == 1 and words in err
