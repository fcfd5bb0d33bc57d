"""The step local_conv against naive float64: borders, strides, dilations, gaps, batches, panels, activations, thread counts."""
from __future__ import annotations

import numpy as np
import pytest
from images import Image, run_image_step
from step_helper import Guarded, assert_close, tolerance, unary_number

from fastcnn import _native
from fastcnn.ops.convolution.local_conv import pack


def naive(x, w, bias, strides, dilations, pads):
    oh, ow, kh, kw, _, m = w.shape
    y = np.zeros((len(x), oh, ow, m))
    for i, j, r, s in np.ndindex(oh, ow, kh, kw):
        iy, ix = i * strides[0] - pads[0] + r * dilations[0], j * strides[1] - pads[1] + s * dilations[1]
        if 0 <= iy < x.shape[1] and 0 <= ix < x.shape[2]:
            y[:, i, j] += x[:, iy, ix].astype(np.float64) @ w[i, j, r, s].astype(np.float64)
    return y + bias


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("n, ic, oc", [(1, 1, 1), (1, 3, 16), (1, 16, 17), (2, 5, 70), (15, 4, 33)])
@pytest.mark.parametrize("kernel, strides, dilations, pads", [
    ((3, 3), (1, 1), (1, 1), (1, 1)), ((2, 3), (2, 1), (1, 2), (0, 2)), ((1, 1), (1, 1), (1, 1), (0, 0)),
    ((3, 2), (1, 2), (2, 1), (-1, 0))], ids=str)
@pytest.mark.parametrize("gap, fn", [(0, "None"), (3, "Relu"), (0, "Tanh")])
def test_local_conv(isa, n, ic, oc, kernel, strides, dilations, pads, gap, fn, threads):
    rng = np.random.default_rng(ic)
    x, (oh, ow) = Image(n, 6, 5, ic, gap), (3, 4)
    x.array[...] = rng.standard_normal(x.array.shape)
    w = rng.standard_normal((oh, ow, *kernel, ic, oc)).astype(np.float32)
    bias = rng.standard_normal((oh, ow, oc)).astype(np.float32)
    nv = min(4, -(-oc // _native.vector_length()))
    y = Image(n, oh, ow, oc, gap, output=True)
    got = run_image_step(
        "local_conv", y, x, Guarded(pack(w, nv)), Guarded(bias), threads=threads, n=n, kh=kernel[0], kw=kernel[1], sh=strides[0],
        sw=strides[1], dh=dilations[0], dw=dilations[1], pt=pads[0], pl=pads[1], ih=6, iw=5, oh=oh, ow=ow, ic=ic, oc=oc, nv=nv,
        fn=unary_number(fn))
    want = naive(x.array, w, bias, strides, dilations, pads)
    want = {"None": want, "Relu": np.maximum(want, 0), "Tanh": np.tanh(want)}[fn]
    assert_close(got, want, tolerance(ic * kernel[0] * kernel[1]))
