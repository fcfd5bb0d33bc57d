"""Bodies of requests, read no further than allowed, and decompressed no further either."""
from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
from starlette.requests import Request

from fastcnn.serving.errors import RequestError

ALIGN = 64                      # bytes: tensors are read where they lie
WINDOWS = {"gzip": 31, "deflate": 15}           # zlib's wbits


async def body_of(request: Request, most: int, head: int) -> memoryview:
    """The body, so in memory that what follows its first `head` bytes is aligned. Raises RequestError."""
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and (len(length) > 18 or int(length) > most):
        raise _too_large(most)
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise _too_large(most)
        parts.append(part)
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding in ("", "identity"):
        return _joined(parts, size, head)
    if coding not in WINDOWS:
        raise RequestError(415, "Content-Encoding must be gzip, deflate or identity")
    plain = _decompressed(b"".join(parts), WINDOWS[coding], most)
    return _joined([plain], len(plain), head)


def _joined(parts: Sequence[bytes], size: int, head: int) -> memoryview:
    memory = np.empty(size + ALIGN, np.uint8)
    begin = -(memory.ctypes.data + head) % ALIGN
    body, at = memory[begin:begin + size].data, 0
    for part in parts:
        body[at:at + len(part)] = part
        at += len(part)
    return body


def _decompressed(body: bytes, window: int, most: int) -> bytes:
    decoder = zlib.decompressobj(window)
    try:
        plain = decoder.decompress(body, most + 1)
    except zlib.error:
        raise RequestError(400, "the body is not compressed as Content-Encoding says") from None
    if len(plain) > most:
        raise _too_large(most)
    if not decoder.eof or decoder.unused_data:
        raise RequestError(400, "the compressed body is cut off, or more follows it")
    return plain


def _too_large(most: int) -> RequestError:
    return RequestError(413, f"the body has more than {most} bytes")
