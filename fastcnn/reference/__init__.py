"""Computes every ONNX operator by onnx.reference and numpy, for fallback nodes, constant folding, shape arithmetic and tests."""
from fastcnn.reference.evaluate import check_supported, evaluate, evaluate_graph, infer_outputs, run_control_flow

__all__ = ["check_supported", "evaluate", "evaluate_graph", "infer_outputs", "run_control_flow"]
