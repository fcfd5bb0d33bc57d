"""Operators that are newer than the model's opset, which some exporters write: accepted where their meaning is unambiguous."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from fastcnn.ir.errors import ModelError
from fastcnn.ir.graph import Node
from fastcnn.schema.form import EXPERIMENTAL, check_form, newest_opset, signature

Constants = Mapping[str, np.ndarray]


def later_version(node: Node, constants: Constants) -> int | None:
    """The opset that a node is written in, if its operator is newer than the model's opset; None for other nodes and unknown operators.

    It is the first opset that has the operator in this form; later opsets only extend it, except for those in MEANINGS.
    Raises ModelError when the form fits no opset, or several with different meanings.
    """
    if node.domain or node.op_type in EXPERIMENTAL or signature(node.op_type, node.version, "") is not None:
        return None
    newest = newest_opset(node.version + 1)
    if signature(node.op_type, newest, "") is None:
        return None
    meaning = MEANINGS.get(node.op_type)
    wanted = meaning(node, constants) if meaning is not None else 0
    if wanted is None:
        raise ModelError(f"{node.where()}: no such operator in opset {node.version} of domain 'ai.onnx'; later opsets have it in "
                         "different meanings, and the node does not say which")
    refusal = None
    for version in range(max(node.version + 1, wanted), newest + 1):
        found = signature(node.op_type, version, "")
        try:
            if found is not None:
                check_form(node, found)
                return version
        except ModelError as error:
            refusal = refusal or error
    raise ModelError(f"{refusal} (in opset {node.version} there is no such operator)")


def early_warning(opset: int, early: Iterable[tuple[str, int]]) -> str:
    """The warning about such operators."""
    listed = ", ".join(f"{op} (opset {version})" for op, version in sorted(early))
    return f"the model says opset {opset}, but has operators that came later: {listed}"


def _group_normalization(node: Node, constants: Constants) -> int | None:
    """Scale and bias a group (18) or a channel (21); both where each channel is a group."""
    scale = constants.get(node.input(1))
    if scale is None:
        return None
    return 18 if scale.size == node.attrs.get("num_groups") else 21


def _grid_sample(node: Node, constants: Constants) -> int | None:
    """The modes have other names since 20."""
    return 20 if node.attrs.get("mode") in ("linear", "cubic") else 16


def _roi_align(node: Node, constants: Constants) -> int | None:
    """The default of coordinate_transformation_mode is half_pixel; before 16, without the attribute, it was the other."""
    return 16 if "coordinate_transformation_mode" in node.attrs else None


def _dft(node: Node, constants: Constants) -> int | None:
    """The axis, 1 by default, is an attribute in 17, since 20 an input, the last but one by default."""
    return 17 if "axis" in node.attrs else 20 if node.input(2) else None


# Operators whose meaning changed after they came: which opset a node means.
MEANINGS: dict[str, Callable[[Node, Constants], int | None]] = {
    "DFT": _dft,
    "GridSample": _grid_sample,
    "GroupNormalization": _group_normalization,
    "RoiAlign": _roi_align,
    "Scan": lambda node, constants: None,        # 8 counts a batch axis and the lengths of sequences, 9 does not
}
