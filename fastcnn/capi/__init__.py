"""Where onnxruntime keeps its exceptions: `fastcnn.capi.onnxruntime_pybind11_state`."""
from fastcnn.capi import onnxruntime_pybind11_state

__all__ = ["onnxruntime_pybind11_state"]
