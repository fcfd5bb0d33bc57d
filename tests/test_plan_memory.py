"""Large results begin at a vector's boundary, whatever their type, as do those of a batch in parts; they are the caller's."""
from __future__ import annotations

import numpy as np
import pytest
from graph_helper import model, node
from onnx import TensorProto, helper

import fastcnn
from fastcnn import _native
from fastcnn.plan.memory import LARGE_BYTES, empty


@pytest.mark.parametrize("dtype", ["float32", "uint8", "int64", "bool", "float16", "float64"])
def test_large_arrays_are_aligned(dtype):
    for count in (0, 1, LARGE_BYTES // 8 - 1, LARGE_BYTES, LARGE_BYTES + 3):
        array = empty((1, count), np.dtype(dtype))
        assert array.shape == (1, count) and array.dtype == dtype and array.flags.c_contiguous and array.flags.writeable
        assert array.nbytes < LARGE_BYTES or array.ctypes.data % _native.ALIGN == 0


@pytest.mark.parametrize("to", [TensorProto.FLOAT, TensorProto.INT64, TensorProto.UINT8])
def test_large_results_are_aligned(to):
    x = np.arange(70_000, dtype=np.float32).reshape(2, 35_000) % 200
    loaded = fastcnn.load(model([node("Cast", ["x"], ["y"], to=to)], {"x": ["n", "m"]}, ["y"], opset=17, types={"y": to}))
    first, second = (loaded.run(None, {"x": x})[0] for _ in range(2))
    assert first.ctypes.data % _native.ALIGN == 0 and first.flags.writeable and not np.shares_memory(first, second)
    np.testing.assert_array_equal(first, x.astype(helper.tensor_dtype_to_np_dtype(to)))
