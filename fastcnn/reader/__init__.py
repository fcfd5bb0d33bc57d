"""An ONNX file, bytes or ModelProto as a checked Graph."""
from fastcnn.reader.model_file import read

__all__ = ["read"]
