"""Shapes of quantised operators."""
from __future__ import annotations

from collections.abc import Sequence

from fastcnn.inference.pointwise import broadcast
from fastcnn.inference.site import Mismatch, Outputs, Site
from fastcnn.inference.windows import convolution, transposed
from fastcnn.ir.graph import Node


def dynamically_quantized(site: Site) -> Outputs:
    """DynamicQuantizeLinear: y has the shape of x, its scale and zero point are scalars."""
    shapes = [site.shape(0), (), ()]
    return shapes[:len(site.node.outputs)]


def quantized_binary(site: Site) -> Outputs:
    """QLinearAdd, QLinearMul: inputs 0 and 3 broadcast together."""
    return [broadcast([site.shape(0), site.shape(3)])]


def byte_product(site: Site) -> Outputs:
    """QMatMul: (..., N) for x (..., K) and w (N, K)."""
    x, w = site.shape(0), site.shape(1)
    if x is None or w is None:
        return [None]
    if len(w) != 2 or len(x) < 2 or (isinstance(x[-1], int) and x[-1] != w[1]):
        raise Mismatch(f"rows of {list(x)} for weights {list(w)}")
    return [[*x[:-1], w[0]]]


def byte_convolution(site: Site) -> Outputs:
    """QConv: as Conv without a bias."""
    return convolution(site, 1, len(site.node.inputs))


def byte_transposed(site: Site) -> Outputs:
    """QConvTranspose: as ConvTranspose, with inputs of its own behind the weights."""
    return transposed(site, bias=len(site.node.inputs), residual=4)


def byte_types(node: Node, kinds: Sequence[str | None]) -> list[str | None]:
    """Type strings of the outputs of this package's operators on bytes."""
    if node.op_type == "ByteTable":
        return [kinds[1]]
    kind = {"QuantizeBytes": "uint8", "DequantizeBytes": "float"}.get(node.op_type) or node.attrs.get("to", "uint8")
    return [f"tensor({kind})"]
