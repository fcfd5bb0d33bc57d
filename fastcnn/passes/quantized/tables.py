"""Functions of one byte as tables: whatever is computed in floats between two bytes, the result is one of 256 bytes."""
from __future__ import annotations

import numpy as np

from fastcnn.ir.graph import Node
from fastcnn.operators.cards import card_of
from fastcnn.passes.quantized.bytes import Region, Scale
from fastcnn.reference import evaluate

DEEPEST = 16            # nodes between the byte and the result
ALL = np.arange(256, dtype=np.uint8)


def byte_table(region: Region, value: str, target: Scale) -> tuple[str, np.ndarray] | None:
    """(unsigned bytes, table) where a float value, as bytes at a scale, is a function of each of them alone; None where it is not."""
    roots = _roots(region, value, DEEPEST)
    if not roots:
        return None
    y = np.asarray(_computed(region, value, roots[0]), np.float32)
    return (roots[0], quantised(y.reshape(-1), target)) if y.size == ALL.size else None


def quantised(x: np.ndarray, target: Scale) -> np.ndarray:
    """ONNX's QuantizeLinear of floats: halves to even, the zero point added after that."""
    with np.errstate(all="ignore"):
        whole = np.rint(x.astype(np.float32) / np.float32(target.scale)).astype(np.float64) + target.zero
    return np.clip(np.where(np.isnan(whole), target.zero, whole), 0, 255).astype(np.uint8)


def dequantised(u: np.ndarray, scale: float, zero: int) -> np.ndarray:
    """ONNX's DequantizeLinear of unsigned bytes."""
    return (u.astype(np.float32) - np.float32(zero)) * np.float32(scale)


def requantising(at: Scale, target: Scale) -> np.ndarray:
    """The table from bytes at one scale to bytes at another."""
    return quantised(dequantised(ALL, at.scale, at.zero), target)


def _roots(region: Region, value: str, depth: int) -> list[str]:
    """Bytes that a float value is a function of, the nearest first."""
    node = region.producer(value)
    if node is None or depth == 0:
        return []
    if node.op_type == "DequantizeBytes":
        return _sources(region, node.inputs[0])
    varying = _varying(region, node)
    if not varying:
        return []
    found = [_roots(region, v, depth - 1) for v in varying]
    return [root for root in found[0] if all(root in others for others in found[1:])]


def _sources(region: Region, name: str) -> list[str]:
    """Bytes, and those that they are looked up by."""
    found, node = [name], region.producer(name)
    while node is not None and node.op_type == "ByteTable" and region.graph.constants[node.inputs[1]].dtype == np.uint8:
        found.append(node.inputs[0])
        node = region.producer(node.inputs[0])
    return found if region.kind_of(found[-1]) == "uint8" else found[:-1]


def _varying(region: Region, node: Node) -> list[str]:
    """The inputs of an elementwise node of floats that are no numbers; none where it is another node."""
    card = card_of(node)
    if card is None or not (card.operands or card.function) or len(node.outputs) != 1 or node.captures or node.activation is not None:
        return []
    constants = region.graph.constants
    if any(v in constants and (constants[v].size != 1 or constants[v].dtype != np.float32) for v in node.reads):
        return []
    floats = region.kind_of(node.outputs[0]) == "float"
    return [v for v in dict.fromkeys(node.reads) if v not in constants] if floats else []


def _computed(region: Region, value: str, root: str) -> np.ndarray:
    """The float value for all 256 bytes."""
    constants = region.graph.constants
    if value in constants:
        return constants[value]
    node = region.producer(value)
    assert node is not None, f"{value} has been found to be made of {root}"
    if node.op_type == "DequantizeBytes":
        return dequantised(_looked_up(region, node.inputs[0], root), node.attrs["scale"], node.attrs["zero"])
    return np.asarray(evaluate(node, [_computed(region, v, root) if v else None for v in node.inputs], {}, region.graph.opsets)[0])


def _looked_up(region: Region, name: str, root: str) -> np.ndarray:
    if name == root:
        return ALL
    node = region.producer(name)
    assert node is not None, f"{name} has been found to be made of {root}"
    return np.asarray(region.graph.constants[node.inputs[1]])[_looked_up(region, node.inputs[0], root)]
