"""The names that onnxruntime's native module exports: classes and functions of fastcnn.compat, and its exceptions."""
import fastcnn.compat as compat
import fastcnn.compat.exceptions as exceptions
from fastcnn.compat import *
from fastcnn.compat.exceptions import *

__all__: list[str] = []
__all__ += compat.__all__
__all__ += exceptions.__all__
