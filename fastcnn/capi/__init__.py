"""Modules inside onnxruntime that applications import from: `fastcnn.capi.onnxruntime_pybind11_state` has its exceptions."""
from fastcnn.capi import _pybind_state, onnxruntime_inference_collection, onnxruntime_pybind11_state

__all__ = ["_pybind_state", "onnxruntime_inference_collection", "onnxruntime_pybind11_state"]
