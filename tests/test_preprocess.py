"""Preprocess: what is guessed from a graph, and pixels to feeds against the same in float64."""
from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from graph_helper import floats, model, node

import fastcnn
from fastcnn.preprocess import IMAGENET_MEAN, METADATA, Preprocess

Image = pytest.importorskip("PIL.Image", reason="images need Pillow")


def loaded(shape: list[int | str], *nodes: onnx.NodeProto, kind: int = onnx.TensorProto.FLOAT, said: str | None = None) -> fastcnn.Model:
    """A network that begins with these nodes and ends with a pooling."""
    last = nodes[-1].output[0] if nodes else "x"
    constants = {"mean": floats(3, 1, 1), "w": floats(4, 3, 3, 3)}
    proto = model([*nodes, node("ReduceMax", [last], ["y"], "end")], {"x": shape}, ["y"], constants, types={"x": kind})
    if said is not None:
        proto.metadata_props.add(key=METADATA, value=said)
    return fastcnn.load(proto, threads=1)


CONV = node("Conv", ["x", "w"], ["c"], "c")


@pytest.mark.parametrize("net, expected", [
    (lambda: loaded(["N", 3, 224, 224], CONV), {"size": (224, 224), "layout": "NCHW", "crop": 0.875, "mean": IMAGENET_MEAN}),
    (lambda: loaded([1, 3, "H", "W"], CONV), {"size": (224, 224), "layout": "NCHW"}),
    (lambda: loaded([1, 96, 128, 3]), {"size": (96, 128), "layout": "NHWC", "colour": "RGB"}),
    (lambda: loaded([1, 1, 28, 28]), {"size": (28, 28), "colour": "L", "crop": None, "mean": (0.0,), "scale": 1 / 255}),
    (lambda: loaded([1, 3, 224, 224], node("Sub", ["x", "mean"], ["s"], "s")), {"scale": 1.0, "mean": (0.0,)}),
    (lambda: loaded([1, 64, 64, 3], kind=onnx.TensorProto.UINT8), {"dtype": "uint8", "scale": 1.0}),
    (lambda: loaded([1, 3, 8, 8], said='{"size": [8, 8], "mean": [104, 117, 123], "scale": 1, "colour": "BGR"}'),
     {"colour": "BGR", "mean": (104, 117, 123), "size": (8, 8)}),
])
def test_preprocess_guess(net, expected):
    with net() as opened:
        guessed = Preprocess.guess(opened)
        assert {name: getattr(guessed, name) for name in expected} == expected
        known = Preprocess.guess(opened, size=(32, 32))
        assert known.size == (32, 32) and known.layout == guessed.layout


def test_preprocess_guess_refuses_what_is_no_image_and_bad_metadata():
    with loaded([1, 5]) as net, pytest.raises(fastcnn.InputError, match="no input of the model is an image"):
        Preprocess.guess(net)
    for said in ("nonsense", '{"height": 3}'):
        with loaded([1, 3, 8, 8], said=said) as net, pytest.raises(fastcnn.ConfigurationError, match=METADATA):
            Preprocess.guess(net)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("colour", ["RGB", "BGR"])
def test_preprocess_array_is_the_formula(layout, colour):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, 3), np.uint8)
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
    x = Preprocess((6, 5), mean=mean, std=std, layout=layout, colour=colour)(pixels)
    wanted = pixels[..., ::-1] if colour == "BGR" else pixels
    wanted = (wanted.astype(np.float64) / 255 - mean) / std
    wanted = wanted.transpose(2, 0, 1) if layout == "NCHW" else wanted
    assert x.dtype == np.float32 and x.flags.c_contiguous
    np.testing.assert_allclose(x, wanted[None], rtol=1e-5, atol=1e-6)


def test_preprocess_crops_the_centre_and_stretches():
    pixels = np.zeros((40, 80, 3), np.uint8)
    pixels[:, 30:50] = 255                                    # a bar in the middle
    cropped = Preprocess((20, 20), crop=1.0)(pixels)
    stretched = Preprocess((20, 20))(pixels)
    assert cropped.shape == stretched.shape == (1, 3, 20, 20)
    assert (cropped[0, 0].mean() - 10 / 20) < 0.06 and abs(stretched[0, 0].mean() - 20 / 80) < 0.06


def test_preprocess_uint8_grey_and_batches(tmp_path):
    Image.fromarray(np.full((4, 4), 7, np.uint8)).save(tmp_path / "grey.png")
    x = Preprocess((4, 4), colour="L", dtype="uint8").batch([tmp_path / "grey.png", np.full((4, 4, 1), 9, np.uint8)])
    assert x.dtype == np.uint8 and x.shape == (2, 1, 4, 4) and set(x[0].ravel()) == {7} and set(x[1].ravel()) == {9}


def test_preprocess_picture_undoes_the_scale():
    pixels = np.random.default_rng(1).integers(0, 256, (5, 4, 3), np.uint8)
    for colour in ("RGB", "BGR"):
        how = Preprocess((5, 4), colour=colour)
        np.testing.assert_array_equal(how.picture(how(pixels)[0]), pixels)


@pytest.mark.parametrize("wrong", [{"layout": "CHWN"}, {"colour": "XYZ"}, {"mean": (1, 2)}, {"std": (0,)}, {"crop": 2.0}, {"size": (0, 4)}])
def test_preprocess_refuses_fields_without_sense(wrong):
    with pytest.raises(fastcnn.ConfigurationError):
        Preprocess(**wrong)


def test_preprocess_round_trips_through_json():
    how = Preprocess((3, 4), crop=0.5, mean=(1, 2, 3), layout="NHWC")
    assert Preprocess(**json.loads(json.dumps(how.to_dict()))) == how


def test_preprocess_is_a_name_of_the_package():
    assert fastcnn.Preprocess is Preprocess


# ---- folded into the model ----


@pytest.mark.parametrize("how", [Preprocess((16, 16), mean=IMAGENET_MEAN, std=(0.2, 0.3, 0.4)),
                                 Preprocess((16, 16), scale=1.0, mean=(104, 117, 123), colour="BGR")], ids=["RGB", "BGR"])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_preprocess_folded_gives_the_same_at_the_borders_too(how, layout):
    """Padding is 0 in the normalised image: a mean taken into the weights must not reach it."""
    shape = ["N", 3, 16, 16] if layout == "NCHW" else ["N", 16, 16, 3]
    nodes = [] if layout == "NCHW" else [node("Transpose", ["x"], ["t"], "t", perm=[0, 3, 1, 2])]
    nodes.append(node("Conv", ["t" if nodes else "x", "w"], ["y"], "c", pads=[1, 1, 1, 1]))
    pixels = np.random.default_rng(3).integers(0, 256, (2, 16, 16, 3), np.uint8)
    with fastcnn.load(model(nodes, {"x": shape}, ["y"], {"w": floats(4, 3, 3, 3)}), threads=1, accuracy="strict") as net:
        guessed = Preprocess(**{**how.to_dict(), "layout": layout})
        wanted, whole = net(guessed.batch(list(pixels))), guessed.folded(net)
        got = whole.run(None, {"image": pixels})[0]
    assert whole.get_inputs()[0].type == "tensor(uint8)" and list(whole.get_inputs()[0].shape) == ["N", 16, 16, 3]
    np.testing.assert_allclose(got, wanted, rtol=0, atol=2e-5 * np.abs(wanted).max())


def test_preprocess_folded_takes_images_of_any_size():
    with loaded([1, 3, 8, 8], CONV) as net:
        whole = Preprocess((8, 8)).folded(net, any_size=True)
        even = np.full((1, 24, 40, 3), 51, np.uint8)
        wanted = net(np.full((1, 3, 8, 8), 0.2, np.float32))
    np.testing.assert_allclose(whole.run(None, {"image": even})[0], wanted, rtol=1e-5)
    assert not whole.fallback_nodes


def test_preprocess_folded_into_a_network_of_bytes_moves_them():
    with loaded([1, 3, 8, 8], kind=onnx.TensorProto.UINT8) as net:
        whole = Preprocess((8, 8), dtype="uint8").folded(net)
        pixels = np.random.default_rng(0).integers(0, 256, (1, 8, 8, 3), np.uint8)
        np.testing.assert_array_equal(whole.run(None, {"image": pixels})[0], net(pixels.transpose(0, 3, 1, 2).copy()))
