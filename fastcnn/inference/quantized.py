"""Shapes of quantised operators."""
from __future__ import annotations

from fastcnn.inference.pointwise import broadcast
from fastcnn.inference.site import Outputs, Site


def dynamically_quantized(site: Site) -> Outputs:
    """y like x, scale and zero point single numbers."""
    shapes = [site.shape(0), (), ()]
    return shapes[:len(site.node.outputs)]


def quantized_binary(site: Site) -> Outputs:
    """QLinearAdd and QLinearMul: a and b stand at 0 and 3."""
    return [broadcast([site.shape(0), site.shape(3)])]
