"""The format of a compiled file: a fixed prelude, arrays, a JSON header and, optionally, the ONNX file that it was made from.

    prelude    64 bytes: MAGIC, format, CRC-32 of the header, offset and size of the header, size of the file, offset and size of the
               ONNX file (0: none), CRC-32 of what is before it. Every version writes it so: any finds the ONNX file of any other
    arrays     each at a multiple of ALIGN bytes; the header says type, shape, offset and CRC-32 of each
    header     JSON
    ONNX file

Numbers are little-endian. Nothing in a file is taken for what it says before it has been compared with the size of the file.
"""
from __future__ import annotations

import json
import mmap
import os
import struct
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from math import prod
from typing import IO, Any

import numpy as np

from fastcnn.ir.errors import FormatError
from fastcnn.ir.record import dataclass
from fastcnn.mapping import check_file, give_back, open_regular, recall
from fastcnn.onnx_proto.types import element_name, numpy_type

MAGIC = b"\x93FCNN\r\n\x1a"
FORMAT = 1
PRELUDE = struct.Struct("<8sIIQQQQQ")
CHECK = struct.Struct("<I")
ALIGN = 64
CHUNK = 1 << 24
# Axes of an array, and elements along one.
MOST_AXES, MOST_ELEMENTS = 64, 1 << 48

Entry = dict[str, Any]          # of an array in the header


@dataclass(frozen=True)
class Container:
    """An open compiled file: the parsed header, and access to the arrays of its table.

    data  the mapped file, or a copy of the bytes     source  offset and size of the ONNX file in it
    """

    data: Any
    path: str
    header: Mapping[str, Any]
    end: int
    source: tuple[int, int]

    def array(self, entry: Entry) -> np.ndarray:
        """The array of a table entry, a read-only view of the file. Raises FormatError for one that does not lie in it."""
        shape = entry["shape"]
        if not isinstance(shape, list) or len(shape) > MOST_AXES or not all(_is_count(n) and n <= MOST_ELEMENTS for n in shape):
            raise self.damaged(f"an array of shape {shape}")
        if "strings" in entry:
            return self._strings(entry["strings"], tuple(shape))
        element, offset = entry["type"], entry["offset"]
        if not isinstance(element, str) or element == "string" or not _is_count(offset) or offset % ALIGN:
            raise self.damaged(f"an array of {element!r} at {offset!r}")
        dtype = numpy_type(element)
        count = prod(shape)
        if not PRELUDE.size <= offset <= offset + count * dtype.itemsize <= self.end:
            raise self.damaged(f"an array of {count} {dtype} at {offset} in {self.end} bytes")
        array = np.frombuffer(self.data, dtype, count, offset) if count else np.empty(0, dtype)
        return array.reshape(shape)

    def _strings(self, values: Any, shape: tuple[int, ...]) -> np.ndarray:
        if not isinstance(values, list) or len(values) != prod(shape) or not all(isinstance(value, str) for value in values):
            raise self.damaged("an array of strings")
        array = np.empty(len(values), object)
        array[:] = values
        return array.reshape(shape)

    def verify(self, entries: Iterable[Entry]) -> None:
        """Reads all arrays. Raises FormatError where a checksum does not match."""
        for entry in entries:
            if "strings" not in entry and _sum_of(self.array(entry)) != entry["crc"]:
                raise self.damaged(f"the array at {entry['offset']} has another checksum than was written")

    def onnx(self) -> bytes | None:
        """The ONNX file in it."""
        offset, size = self.source
        return bytes(self.data[offset:offset + size]) if size else None

    def damaged(self, what: str) -> FormatError:
        return FormatError(f"{self.path}: a damaged compiled model ({what})")


def is_compiled(data: bytes) -> bool:
    """Whether a file that begins with these bytes is a compiled model."""
    return data[:len(MAGIC)] == MAGIC


def open_container(model: str | os.PathLike[str] | bytes) -> Container | None:
    """The compiled file at a path or in bytes, None for what is none; of another FORMAT the header is empty. Raises FormatError."""
    if isinstance(model, (bytes, bytearray, memoryview)):
        return _opened(_in_pages(model), "model bytes") if is_compiled(model[:len(MAGIC)]) else None
    try:
        with open_regular(model) as stream:
            if not is_compiled(stream.read(len(MAGIC))):
                return None
            return _opened(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ), repr(os.fsdecode(model)))
    except (OSError, ValueError):           # whoever reads ONNX files says what is wrong
        return None


def _opened(data: mmap.mmap, path: str) -> Container:
    nothing = Container(data, path, {}, 0, (0, 0))
    if len(data) < PRELUDE.size + CHECK.size:
        raise nothing.damaged("cut off")
    prelude = data[:PRELUDE.size]
    _, form, header_crc, at, size, whole, source_at, source_size = PRELUDE.unpack(prelude)
    if CHECK.unpack(data[PRELUDE.size:PRELUDE.size + CHECK.size])[0] != zlib.crc32(prelude):
        raise nothing.damaged("its first bytes have another checksum than was written")
    if whole != len(data):
        raise nothing.damaged(f"{len(data)} bytes, {whole} were written")
    for begin, count in ((at, size), (source_at, source_size)):
        if begin + count > whole or (count and begin < PRELUDE.size + CHECK.size):
            raise nothing.damaged(f"{count} bytes at {begin} of {whole}")
    if form != FORMAT:
        return Container(data, path, {}, 0, (source_at, source_size))
    text = data[at:at + size]
    if zlib.crc32(text) != header_crc:
        raise nothing.damaged("its header has another checksum than was written")
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise nothing.damaged(f"its header is no JSON: {error}") from None
    if not isinstance(header, dict):
        raise nothing.damaged("its header is no object")
    return Container(data, path, header, at, (source_at, source_size))


def _in_pages(data: bytes) -> mmap.mmap:
    """A copy that is aligned to a page as a mapped file is: kernels rely on the alignment of arrays."""
    pages = mmap.mmap(-1, len(data), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    pages.write(data)
    return pages


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _sum_of(array: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)


class Writer:
    """Writes arrays to a temporary file one by one; finish() adds header and prelude and renames the file."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.path.abspath(path)
        self.name = f"{self.path}.{os.getpid()}.{os.urandom(4).hex()}"
        self.file: IO[bytes] = os.fdopen(os.open(self.name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666), "w+b")
        self.file.write(bytes(ALIGN))

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()
        with suppress(OSError):             # it has another name where all went well
            os.unlink(self.name)

    def array(self, array: np.ndarray) -> Entry:
        """Writes an array and returns its entry for the header."""
        if array.dtype.kind in "OUST":
            return {"strings": [str(value) for value in array.reshape(-1)], "shape": list(array.shape)}
        recall(array)
        self._pad()
        offset, flat = self.file.tell(), np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        self.file.write(flat.data)
        check_file(array)
        entry = {"type": element_name(array.dtype), "shape": list(array.shape), "offset": offset, "crc": zlib.crc32(flat.data)}
        give_back(array)
        return entry

    def finish(self, header: Mapping[str, Any], source: Iterable[bytes]) -> None:
        """source: the ONNX file in pieces."""
        self._pad()
        self.file.write(bytes(ALIGN))       # kernels of bytes read a word past the last
        at, text = self.file.tell(), json.dumps(header, separators=(",", ":")).encode()
        self.file.write(text)
        source_at = self.file.tell()
        for piece in source:
            self.file.write(piece)
        whole = self.file.tell()
        prelude = PRELUDE.pack(MAGIC, FORMAT, zlib.crc32(text), at, len(text), whole, source_at, whole - source_at)
        self.file.seek(0)
        self.file.write(prelude + CHECK.pack(zlib.crc32(prelude)))
        self.file.flush()
        os.fsync(self.file.fileno())        # a machine that stops now finds the old file or the whole new one
        os.replace(self.name, self.path)

    def _pad(self) -> None:
        self.file.write(bytes(-self.file.tell() % ALIGN))
