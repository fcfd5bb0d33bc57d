"""The module through which onnxruntime reaches its native one; applications do the same."""
import fastcnn.capi.onnxruntime_pybind11_state as state
from fastcnn.capi.onnxruntime_pybind11_state import *

__all__: list[str] = []
__all__ += state.__all__
