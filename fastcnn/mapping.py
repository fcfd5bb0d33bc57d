"""Weights in pages of their own, of a mapped file or computed by passes: read when they are packed, and given back after that."""
from __future__ import annotations

import errno
import mmap
import os
import stat
from collections.abc import Callable, Iterable
from typing import BinaryIO
from weakref import WeakValueDictionary

import numpy as np

from fastcnn.ir.errors import FormatError

# Shorter weights are copied: they become aligned, and no step reads a page of a file for them.
VIEWED_BYTES = 1 << 16


class Mapping(mmap.mmap):
    """A whole file, read-only. It stays readable when the file is deleted or another is renamed to its place."""

    path: str
    stamp: tuple[int, int, int]

    def __new__(cls, stream: BinaryIO, path: str | os.PathLike[str]) -> Mapping:
        """Raises OSError or ValueError for what cannot be mapped: pipes, empty files."""
        mapping = super().__new__(cls, stream.fileno(), 0, access=mmap.ACCESS_READ)
        mapping.path, mapping.stamp = os.path.abspath(path), _stamp(os.fstat(stream.fileno()))
        return mapping

    def forget(self) -> None:
        """The pages leave this process's memory; whoever reads them again has them back."""
        self.madvise(mmap.MADV_DONTNEED)

    def check(self) -> None:
        """Raises FormatError when the file was written to in place: what is not packed yet is lost."""
        try:
            now = _stamp(os.stat(self.path))
        except OSError:
            now = self.stamp
        if (now[0] == self.stamp[0] and now != self.stamp) or self.size() < len(self):
            raise FormatError(f"{self.path!r} was changed in place after it was loaded, and not all of its weights had been packed")


class Derived(mmap.mmap):
    """Pages of an array that fill(array) computes, from a file or not: once given back, they are zeros until recall() fills them again."""

    fill: Callable[[np.ndarray], None]
    file: Mapping | None
    there: bool
    kept: bool

    def __new__(cls, nbytes: int, fill: Callable[[np.ndarray], None], file: Mapping | None) -> Derived:
        pages = super().__new__(cls, -1, nbytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        pages.fill, pages.file, pages.there, pages.kept = fill, file, True, False
        return pages

    def forget(self) -> None:
        """Gives the pages back, unless a step reads them."""
        if not self.kept:
            self.madvise(mmap.MADV_DONTNEED)
            self.there = False


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """The file, open for reading. Raises OSError for pipes, devices, sockets and folders, without waiting for anybody to write to them."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "Not a regular file", os.fspath(path))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


_LIVING: WeakValueDictionary[tuple[str, tuple[int, int, int]], Mapping] = WeakValueDictionary()


def mapped(stream: BinaryIO, path: str | os.PathLike[str]) -> Mapping:
    """The mapping of an open file, one for all who ask while its content stays. Raises OSError or ValueError as Mapping does."""
    key = os.path.abspath(path), _stamp(os.fstat(stream.fileno()))
    found = _LIVING.get(key)
    if found is None:
        found = _LIVING[key] = Mapping(stream, path)
    return found


def bytes_at(data: bytes | Mapping, offset: int, count: int) -> np.ndarray:
    """data[offset:offset + count] as uint8, read-only: a view where it is long."""
    array = np.frombuffer(data, np.uint8, count, offset)
    if count < VIEWED_BYTES:
        array = array.copy()
        array.setflags(write=False)
    return array


def _stamp(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_ino, status.st_size, status.st_mtime_ns


def mapping_of(array: np.ndarray) -> Mapping | None:
    """The file whose pages an array views or is derived from."""
    owner = _owner(array)
    return owner.file if isinstance(owner, Derived) else owner if isinstance(owner, Mapping) else None


def is_lent(array: np.ndarray) -> bool:
    """Whether the array's memory may change or be given back: what runs look at has to be resident()."""
    return isinstance(_owner(array), (Mapping, Derived))


def is_derived(array: np.ndarray) -> bool:
    """Whether the array is derived()."""
    return isinstance(_owner(array), Derived)


def _owner(array: np.ndarray) -> object:
    owner: object = array
    while isinstance(owner, (np.ndarray, memoryview)):
        owner = owner.base if isinstance(owner, np.ndarray) else owner.obj
    return owner


def derived(source: np.ndarray, fill: Callable[[np.ndarray], None]) -> np.ndarray:
    """What fill(array) writes to an array like `source`, from which it computes it; long ones in pages that can be given back."""
    array = np.empty_like(source, subok=False)
    if array.nbytes >= VIEWED_BYTES:
        array = np.ndarray(array.shape, array.dtype, Derived(array.nbytes, fill, mapping_of(source)), strides=array.strides)
    fill(array)
    return array


def filler(array: np.ndarray) -> Callable[[np.ndarray], None]:
    """What writes the contents of an array to another, without holding on to pages that can be filled again."""
    owner = _owner(array)
    return owner.fill if isinstance(owner, Derived) else lambda out: np.copyto(out, array)


def recall(array: np.ndarray) -> None:
    """The contents of a derived array are there again."""
    owner = _owner(array)
    if isinstance(owner, Derived) and not owner.there:
        base = array
        while isinstance(base.base, np.ndarray):
            base = base.base
        owner.fill(base)
        owner.there = True


def mappings_of(arrays: Iterable[np.ndarray]) -> list[Mapping]:
    """The files under the arrays, each once."""
    return list({id(m): m for m in map(mapping_of, arrays) if m is not None}.values())


def forget(array: np.ndarray) -> None:
    """Mapping.forget() of the file under an array, if there is one."""
    mapping = mapping_of(array)
    if mapping is not None:
        mapping.forget()


def give_back(array: np.ndarray) -> None:
    """The pages under an array go where they can be read or computed again: recall() it before its contents are looked at."""
    owner = _owner(array)
    if isinstance(owner, (Mapping, Derived)):
        owner.forget()


def resident(array: np.ndarray) -> np.ndarray:
    """The array as steps can read it at any time: contiguous, aligned and not from a file."""
    owner = _owner(array)
    if isinstance(owner, Derived):
        recall(array)
        owner.kept = True
    if array.flags.c_contiguous and array.flags.aligned and not isinstance(owner, Mapping):
        return array
    return np.array(array, order="C")
