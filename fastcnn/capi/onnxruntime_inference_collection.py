"""Where onnxruntime defines its classes in Python; applications import them from here for annotations."""
from fastcnn.compat import InferenceSession, IOBinding, OrtDevice, OrtValue, copy_tensors
from fastcnn.compat.devices import get_ort_device_type

__all__ = [
    "IOBinding", "InferenceSession", "OrtDevice", "OrtValue", "copy_tensors", "get_ort_device_type",
]
