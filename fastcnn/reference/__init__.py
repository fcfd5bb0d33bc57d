"""Every ONNX operator by onnx.reference and numpy: the fallback, constant folding, shape arithmetic, and the oracle of tests."""
from fastcnn.reference.evaluate import check_supported, evaluate, evaluate_graph, infer_outputs, run_control_flow

__all__ = ["check_supported", "evaluate", "evaluate_graph", "infer_outputs", "run_control_flow"]
