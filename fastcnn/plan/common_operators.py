"""Operators that many networks have, for who wants them imported at once; all others are imported when a model first asks for one.

Of thirty networks 13 have a Slice, Split or Gather, 8 a Resize, 5 a Softmax: 0.3 ms of a load for each module that is not there yet.
"""
from __future__ import annotations

from fastcnn.ops.movement import slicing
from fastcnn.ops.reduction import softmax
from fastcnn.ops.resampling import resize

COMMON = (slicing, softmax, resize)
