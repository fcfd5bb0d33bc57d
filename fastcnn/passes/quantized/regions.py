"""Rewrites quantised operators onto bytes: DequantizeLinear, operator, QuantizeLinear become one node that makes no float.

Two forms of models come to the same nodes: operators between DequantizeLinear and QuantizeLinear, and those that have scales among their
inputs (QLinearConv and its like). Activations are unsigned bytes inside; signed ones get 128 added where they enter, zero points too.
What is not covered stays between DequantizeBytes and QuantizeBytes, or as it is.
"""
from __future__ import annotations

from collections.abc import Callable

from fastcnn.ir.graph import Graph, Node
from fastcnn.passes.facts import limits_of
from fastcnn.passes.quantized.absorption import absorbed
from fastcnn.passes.quantized.bytes import Region, Scale, on_bytes
from fastcnn.passes.quantized.goal import ALL_FLOATS, Goal
from fastcnn.passes.quantized.integer_forms import INTEGER_FORMS
from fastcnn.passes.quantized.linear_forms import LINEAR_FORMS
from fastcnn.passes.quantized.moves import is_move, move
from fastcnn.passes.quantized.pointwise import affine, average, binary, concat, prelu
from fastcnn.passes.quantized.products import conv, conv_transpose, gemm, matmul
from fastcnn.passes.quantized.stored import widen_stored
from fastcnn.passes.quantized.tables import byte_table

# Whether the result of a node has been made of bytes.
Maker = Callable[[Region, Node, Goal], bool]
PRODUCTS: dict[str, Maker] = {"Conv": conv, "ConvTranspose": conv_transpose, "Gemm": gemm, "MatMul": matmul}
MAKERS: dict[str, Maker] = {**PRODUCTS, "Add": binary, "Sub": binary, "Mul": binary, "AveragePool": average, "GlobalAveragePool": average,
                            "ReduceMean": average, "Concat": concat, "PRelu": prelu,
                            "BatchNormalization": affine}
FORMS = LINEAR_FORMS | INTEGER_FORMS
QUANTISED = frozenset({"QuantizeLinear", "DequantizeLinear"}) | {op_type for _, op_type in FORMS}


def quantized_regions(graph: Graph) -> bool:
    """Rewrites nodes that quantise, and what stands between them."""
    region = Region(graph)
    for node in graph.nodes:
        if not _rewritten(region, node):
            region.keep(node)
    if region.changed:
        graph.nodes = region.rewritten
        absorbed(graph)
    return widen_stored(graph) or region.changed


def _rewritten(region: Region, node: Node) -> bool:
    rule = FORMS.get((node.domain, node.op_type))
    if rule is not None:
        return rule(region, node)
    if node.domain or node.activation is not None:
        return False
    if node.op_type == "QuantizeLinear":
        return _quantize(region, node)
    if node.op_type == "DequantizeLinear":
        return _dequantize(region, node)
    if node.op_type in PRODUCTS:
        return not _is_quantised(region, node) and PRODUCTS[node.op_type](region, node, Goal(None, node.outputs[0], node.outputs[0]))
    return move(region, node)


def _dequantize(region: Region, node: Node) -> bool:
    kind = region.kind_of(node.input(0), node.input(2))
    at = region.scale(node, 1, 2, kind)
    if at is None or node.input(0) in region.graph.constants or region.kind_of(node.outputs[0]) not in ("float", ""):
        return False
    source = region.bytes_of(node.input(0), kind)
    region.add("DequantizeBytes", [source], node.outputs[0], node.input(0), "float", scale=at.scale, zero=at.zero)
    return True


def _quantize(region: Region, node: Node) -> bool:
    value, y = node.input(0), node.outputs[0]
    kind = region.kind_of(y, node.input(2)) or ("uint8" if not node.input(2) else "")
    target = region.scale(node, 1, 2, kind)
    if target is None or region.kind_of(value) != "float" or value in region.graph.constants:
        return False
    output = region.target(y, kind)
    made = _made(region, value, target, output)
    region.give(y, kind, made)
    return True


def _made(region: Region, value: str, target: Scale, output: str) -> str:
    """The name of the bytes of a float value at a scale: `output`, or what has been there already."""
    source = region.operand(value)
    if source is not None and source.at == target and source.name not in region.graph.constants:
        return source.name
    found = byte_table(region, value, target)
    if found is not None:
        return region.add("ByteTable", [found[0], region.constant(f"{output}/table", found[1])], output, value)
    inner, limits = _without_limits(region, value)
    core = region.producer(inner)
    if core is not None and core.activation is None and not core.domain and _is_alone(region, value, inner):
        maker = MAKERS.get(core.op_type)
        if maker is not None and maker(region, core, Goal(target, output, value, limits)):
            return output
        if inner == value and is_move(core) and len(core.outputs) == 1 and core.op_type not in ("Concat", "MaxPool", "Pad"):
            source_bytes = _made(region, core.inputs[0], target, region.fresh(f"{core.inputs[0]}/bytes"))
            region.put(on_bytes(core, {0: source_bytes}, [output]), value)
            return output
    return region.add("QuantizeBytes", [value], output, value, scale=target.scale, zero=target.zero)


def _without_limits(region: Region, value: str) -> tuple[str, tuple[float, float]]:
    """(value that a Relu or Clip is applied to, its limits)."""
    node = region.producer(value)
    limits = limits_of(region.graph, node) if node is not None else None
    return (node.inputs[0], limits) if node is not None and limits is not None else (value, ALL_FLOATS)


def _is_alone(region: Region, value: str, inner: str) -> bool:
    """Whether nothing else needs the floats."""
    return region.is_read_once(value) and region.is_read_once(inner)


def _is_quantised(region: Region, node: Node) -> bool:
    """Whether all that reads a product is a QuantizeLinear, be it after a Relu or a Clip: the product is made with that."""
    value = node.outputs[0]
    if not region.is_read_once(value):
        return False
    reader = region.graph.consumers()[value][0]
    if reader.op_type in ("Relu", "Clip") and region.is_read_once(reader.outputs[0]):
        reader = region.graph.consumers()[reader.outputs[0]][0]
    return reader.op_type == "QuantizeLinear"
