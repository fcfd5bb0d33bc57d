"""Cards of this package's operators on bytes."""
from __future__ import annotations

from fastcnn.ir.spec import Args
from fastcnn.operators import batching
from fastcnn.operators.card import Card


def product(args: Args, batched: frozenset[int]) -> bool:
    """Batch rule: weights are the same for every image; input 4 is a residual and has images too."""
    return 0 in batched and batched <= {0, 4}


BYTES: dict[str, Card] = {
    **dict.fromkeys(("QuantizeBytes", "DequantizeBytes", "ByteTable", "QAveragePool", "QGlobalAveragePool"), Card(batching.first_input)),
    **dict.fromkeys(("QAdd", "QMul"), Card(batching.broadcast)),
    **dict.fromkeys(("QConv", "QConvTranspose", "QMatMul"), Card(product)),
}
