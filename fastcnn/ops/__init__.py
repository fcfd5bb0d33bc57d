"""The operators with native kernels: (domain, ONNX name) -> Op. Everything else runs in the fallback."""
from __future__ import annotations

from fastcnn.ops.base import Op
from fastcnn.ops.conv import Conv, ConvTranspose
from fastcnn.ops.linear import Gemm, MatMul

OPS: dict[tuple[str, str], Op] = {
    ("", "Conv"): Conv(),
    ("", "ConvTranspose"): ConvTranspose(),
    ("", "Gemm"): Gemm(),
    ("", "MatMul"): MatMul(),
}
