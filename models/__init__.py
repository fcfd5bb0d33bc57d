"""The classic convolutional networks as ONNX models with seeded random weights.

    >>> import models
    >>> model = models.build("resnet50", batch="N")

Needs onnx and numpy only.  `models.NETWORKS` lists what can be built, `models/README.md` describes it and the two small trained networks.
"""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx

from models.alexnet import alexnet
from models.builder import Builder
from models.densenet import densenet121
from models.espcn import espcn
from models.googlenet import googlenet
from models.lenet import lenet5
from models.mobilenet import mobilenet_v1, mobilenet_v2
from models.resnet import resnet18, resnet34, resnet50
from models.squeezenet import squeezenet1_1
from models.tasks import TASKS
from models.unet import unet
from models.vgg import vgg11, vgg16, vgg19
from models.writer import Writer, random_source, state_source

IMAGE = (3, 224, 224)
CLASSES = (1000,)

NETWORKS: dict[str, Builder] = {
    "lenet5":        Builder(lenet5, (1, 32, 32), (10,), 60_000, None, "LeCun et al. 1998"),
    "alexnet":       Builder(alexnet, (3, 227, 227), CLASSES, 60_965_224, 724_000_000, "Krizhevsky et al. 2012"),
    "vgg11":         Builder(vgg11, IMAGE, CLASSES, 132_863_336, 7_609_000_000, "Simonyan, Zisserman 2015"),
    "vgg16":         Builder(vgg16, IMAGE, CLASSES, 138_357_544, 15_470_000_000, "Simonyan, Zisserman 2015"),
    "vgg19":         Builder(vgg19, IMAGE, CLASSES, 143_667_240, 19_632_000_000, "Simonyan, Zisserman 2015"),
    "googlenet":     Builder(googlenet, IMAGE, CLASSES, 6_998_552, 1_500_000_000, "Szegedy et al. 2015"),
    "resnet18":      Builder(resnet18, IMAGE, CLASSES, 11_689_512, 1_814_000_000, "He et al. 2016"),
    "resnet34":      Builder(resnet34, IMAGE, CLASSES, 21_797_672, 3_664_000_000, "He et al. 2016"),
    "resnet50":      Builder(resnet50, IMAGE, CLASSES, 25_557_032, 4_089_000_000, "He et al. 2016"),
    "squeezenet1_1": Builder(squeezenet1_1, IMAGE, CLASSES, 1_235_496, 349_000_000, "Iandola et al. 2016"),
    "mobilenet_v1":  Builder(mobilenet_v1, IMAGE, CLASSES, 4_200_000, 569_000_000, "Howard et al. 2017"),
    "mobilenet_v2":  Builder(mobilenet_v2, IMAGE, CLASSES, 3_504_872, 301_000_000, "Sandler et al. 2018"),
    "densenet121":   Builder(densenet121, IMAGE, CLASSES, 7_978_856, 2_834_000_000, "Huang et al. 2017"),
    "unet":          Builder(unet, (3, 256, 256), (1, 256, 256), 7_763_041, None, "Ronneberger et al. 2015; Buda et al. 2019"),
    "espcn":         Builder(espcn, (1, 360, 640), (1, 1080, 1920), None, None, "Shi et al. 2016"),
    **TASKS,
}
OPSET = 17  # unless the network needs a later one


def build(name: str, *, seed: int = 0, batch: int | str = 1, opset: int | None = None, state: Mapping[str, np.ndarray] | None = None,
          size: tuple[int, ...] | None = None, weights: bool = True, **options: Any) -> onnx.ModelProto:
    """The network `name` with input "x" (batch, C, H, W) and output "y", weights drawn from `seed` or taken from `state`.

    batch    a number, or a name such as "N" for a symbolic batch axis
    state    weights by name, a torch state dict as numpy arrays: torchvision's own for the families that say so
    size     (H, W), or (D, H, W) of a video, in place of the published one; the network must be able to work on it
    weights  False: tensors without values, which can be counted (`models.count`) and not run
    options  what the network's function takes besides, its width for instance
    Raises ValueError for an unknown name, an opset before 13 or before the network's operators, a batch where the network takes single
    images, or a state that lacks a weight.
    """
    if name not in NETWORKS:
        raise ValueError(f"unknown network {name!r} (one of {', '.join(NETWORKS)})")
    builder = NETWORKS[name]
    opset = max(OPSET, builder.opset) if opset is None else opset
    if opset < builder.opset > 13:
        raise ValueError(f"{name}: opset {opset} not supported (at least {builder.opset})")
    if builder.single and batch != 1:
        raise ValueError(f"{name}: batch {batch!r} not supported (it takes one image at a time)")
    source = None if not weights else random_source(seed) if state is None else state_source(state)
    net = Writer(name, source, opset)
    x = net.input("x", (batch, builder.input[0], *(size or builder.input[1:])))
    y = builder.function(net, x, **options)
    if y is None:
        return net.model
    output = builder.output or ()
    return net.finish(y, "y", (batch, *([f"d{k}" for k in range(len(output))] if size or options else output)))
