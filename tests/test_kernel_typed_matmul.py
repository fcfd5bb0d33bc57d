"""The step typed_matmul against numpy: types, strides, batches, blocks, threads."""
from __future__ import annotations

import numpy as np
import pytest
from step_helper import Guarded, run_step

from fastcnn.ops.layout import DTYPE_CODES
from fastcnn.ops.products.typed_products import PRODUCT_TYPES


@pytest.mark.parametrize("dtype", sorted(PRODUCT_TYPES, key=str), ids=str)
@pytest.mark.parametrize("batch, m, k, n", [(1, 1, 1, 1), (3, 5, 7, 11), (2, 3, 130, 257), (1, 64, 300, 20), (4, 2, 1, 600)])
def test_products(dtype, batch, m, k, n, isa):
    rng = np.random.default_rng(m)
    numbers = lambda *shape: (rng.normal(size=shape) * 9 if dtype.kind == "f" else rng.integers(0, 1 << 31, shape)).astype(dtype)  # noqa: E731
    a, b = numbers(batch, k, m), numbers(k, n)
    results = []
    for threads in (1, 3):
        y = Guarded(np.zeros((batch, m, n), dtype), output=True)
        assert run_step("typed_matmul", [y, Guarded(a), Guarded(b)], threads, ndim=1, shape=(batch,), y_strides=(m * n,),
                        a_strides=(k * m,), b_strides=(0,), m=m, n=n, k=k, a_m=1, a_k=m, b_k=n, y_m=n, dtype=DTYPE_CODES[dtype]) == 0
        results.append(y.array.copy())
    expected = a.swapaxes(1, 2) @ b          # integers wrap in numpy too
    if dtype.kind == "f":
        np.testing.assert_allclose(results[0], expected, rtol=1e-12, atol=1e-11)
    else:
        np.testing.assert_array_equal(results[0], expected)
    assert results[0].tobytes() == results[1].tobytes()
