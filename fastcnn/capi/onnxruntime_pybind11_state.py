"""What onnxruntime's native module exports, under the name that users import it from: exceptions, classes, functions."""
import fastcnn.compat as compat
import fastcnn.compat.exceptions as exceptions
from fastcnn.compat import *
from fastcnn.compat.exceptions import *

__all__: list[str] = []
__all__ += compat.__all__
__all__ += exceptions.__all__
