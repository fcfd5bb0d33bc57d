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

from models.builder import Builder
from models.classifiers import CLASSIFIERS
from models.espcn import espcn
from models.tasks import TASKS
from models.unet import unet
from models.writer import Writer, random_source, state_source

NETWORKS: dict[str, Builder] = {
    **CLASSIFIERS,
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
