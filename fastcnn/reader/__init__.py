"""An ONNX file, bytes or ModelProto as a checked Graph, and graphs with other inputs."""
from fastcnn.reader.model_file import read
from fastcnn.reader.rebind import constant_info, with_constants, with_inputs, with_sizes

__all__ = ["constant_info", "read", "with_constants", "with_inputs", "with_sizes"]
