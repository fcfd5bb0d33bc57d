"""fastcnn: runs ONNX convolutional networks on CPUs.

    import fastcnn
    model = fastcnn.load("resnet50.onnx")
    probabilities, = model.run(None, {"input": image})

`import fastcnn as ort` also works for the common uses of onnxruntime: InferenceSession and what it returns.
"""
from fastcnn.cpu import cpu_info, select_instruction_set
from fastcnn.errors import ConfigurationError, ExecutionError, FastCNNError, InputError, ModelError, ShapeError, UnsupportedOperatorError
from fastcnn.graph import ValueInfo
from fastcnn.model import Model, load
from fastcnn.session import InferenceSession, RunOptions, SessionOptions
from fastcnn.version import __version__

__all__ = [
    "ConfigurationError", "ExecutionError", "FastCNNError", "InferenceSession", "InputError", "Model", "ModelError", "RunOptions",
    "SessionOptions", "ShapeError", "UnsupportedOperatorError", "ValueInfo", "__version__", "cpu_info", "load",
]

select_instruction_set()
