"""Memory of weights that is released after packing: pages of a mapped file, or pages computed by passes that can be computed again.

Weights are read once, when they are packed. After that their pages need not stay in memory: those of a file can be read again, and a
Derived array knows how to refill its own.
"""
from __future__ import annotations

import errno
import mmap
import os
import stat
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, NamedTuple, Protocol
from weakref import WeakValueDictionary

import numpy as np

from fastcnn.ir.errors import FormatError

# Pages of a file under shorter weights are released with those of a longer one, or when the passes end: the call, and mapping them again
# for the next weights, take longer than packing them.
RELEASED_BYTES = 1 << 20
# What arrays in memory of their own are based on.
OWNED = frozenset({type(None), bytes})
# Shorter weights are copied: they become aligned, and no step reads a page of a file for them.
VIEWED_BYTES = 1 << 16


class Guard(Protocol):
    """The native module's handler of SIGBUS, which keeps a process alive that reads a mapped file after it has been cut short."""

    def MappedFile(self, data: Any) -> Any:
        """An object whose attribute `cut` says whether the mapped file has been cut short. It must be dropped before `data` is."""

    def begin_reading_files(self) -> None:
        """From now on, missing pages of mapped files read as zeros."""

    def end_reading_files(self) -> None:
        """From now on, reading a missing page ends the process again."""


_guards: list[Guard] = []


def guard_reads(guard: Guard) -> None:
    """Sets the Guard. A module that may import the native module calls this once; this file may not import it."""
    _guards[:] = [guard]


class Stamp(NamedTuple):
    """Identifies a file and its content, to notice writes. Programs can set all times of a file but that of its last change."""

    file: tuple[int, int]
    content: tuple[int, int]
    changed: int
    names_and_rights: tuple[int, int, int, int]

    def was_written(self, now: Stamp) -> bool:
        """Whether the file's content has changed since. A new name or other permissions change the time too, but do not count."""
        if now.file != self.file:
            return False
        return now.content != self.content or (now.changed != self.changed and now.names_and_rights == self.names_and_rights)


def _stamp(status: os.stat_result) -> Stamp:
    return Stamp((status.st_dev, status.st_ino), (status.st_size, status.st_mtime_ns), status.st_ctime_ns,
                 (status.st_mode, status.st_uid, status.st_gid, status.st_nlink))


class Mapping(mmap.mmap):
    """A whole file, read-only. It stays readable when the file is deleted or another is renamed to its place.

    Read it inside of reading(): if the file is cut short meanwhile, the missing bytes read as zeros and check() raises afterwards.
    """

    path: str
    stamp: Stamp
    memory: list[Any]

    def __new__(cls, stream: BinaryIO, path: str | os.PathLike[str]) -> Mapping:
        """Raises OSError or ValueError for what cannot be mapped: pipes, empty files."""
        stamp = _stamp(os.fstat(stream.fileno()))
        mapping = super().__new__(cls, stream.fileno(), 0, access=mmap.ACCESS_READ)
        mapping.path, mapping.stamp = os.path.abspath(path), stamp
        mapping.memory = [guard.MappedFile(mapping) for guard in _guards]
        return mapping

    def forget(self) -> None:
        """Releases the file's pages from this process's memory; reading them again loads them again."""
        self.madvise(mmap.MADV_DONTNEED)

    @property
    def cut(self) -> bool:
        """Whether missing pages were read as zeros."""
        return any(memory.cut for memory in self.memory)

    def check(self) -> None:
        """Raises FormatError where the file was written to in place: weights that are not packed yet are lost."""
        try:
            written = self.stamp.was_written(_stamp(os.stat(self.path)))
        except OSError:
            written = False
        if written or self.cut or self.size() < len(self):
            raise FormatError(f"{self.path!r} was changed in place while it was loaded, or after that when not all of its weights had been "
                              "packed")


class Derived(mmap.mmap):
    """Pages of an array that fill(array) can compute again. After forget() they read as zeros until recall() refills them."""

    fill: Callable[[np.ndarray], None]
    file: Mapping | None
    there: bool
    kept: bool

    def __new__(cls, nbytes: int, fill: Callable[[np.ndarray], None], file: Mapping | None) -> Derived:
        pages = super().__new__(cls, -1, nbytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        pages.fill, pages.file, pages.there, pages.kept = fill, file, True, False
        return pages

    def forget(self) -> None:
        """Releases the pages, unless a step still reads them."""
        if not self.kept:
            self.madvise(mmap.MADV_DONTNEED)
            self.there = False


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Opens a regular file for reading. Raises OSError for pipes, devices, sockets and folders, without blocking on a pipe."""
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


class _Read(threading.local):
    """Per thread: the mapped files that the innermost reading() block has to check."""

    files: list[Mapping] | None = None


_LIVING: WeakValueDictionary[tuple[str, Stamp], Mapping] = WeakValueDictionary()
_read = _Read()


@contextmanager
def reading(files: Iterable[Mapping] = ()) -> Iterator[None]:
    """Context manager for reading these files and those mapped inside. Raises FormatError where one was changed in place meanwhile."""
    outer, _read.files = _read.files, list(files)
    for guard in _guards:
        guard.begin_reading_files()
    try:
        for file in _read.files:
            file.check()
        try:
            yield
        finally:                                # whatever was raised may have come of the change
            for file in _read.files:
                file.check()
    finally:
        for guard in _guards:
            guard.end_reading_files()
        _read.files = outer


def files_read() -> list[Mapping]:
    """The files that the innermost block of reading() around this thread looks after, in the order in which they were mapped."""
    return list(_read.files or ())


def mapped(stream: BinaryIO, path: str | os.PathLike[str]) -> Mapping:
    """The Mapping of an open file, shared by all callers while its content is the same. Raises OSError, ValueError as Mapping does."""
    key = os.path.abspath(path), _stamp(os.fstat(stream.fileno()))
    found = _LIVING.get(key)
    if found is None or found.cut:
        found = _LIVING[key] = Mapping(stream, path)
    if _read.files is not None:
        _read.files.append(found)
    return found


def bytes_at(data: bytes | Mapping, offset: int, count: int) -> np.ndarray:
    """data[offset:offset + count] as read-only uint8: a view, or a copy where it is short."""
    if 0 < count < VIEWED_BYTES:
        return np.frombuffer(data[offset:offset + count], np.uint8)         # a bytes object, whose contents are aligned
    return np.frombuffer(data, np.uint8, count, offset)


def mapping_of(array: np.ndarray) -> Mapping | None:
    """The mapped file that an array views or is computed from, else None."""
    owner = _owner(array)
    return owner.file if isinstance(owner, Derived) else owner if isinstance(owner, Mapping) else None


def is_lent(array: np.ndarray) -> bool:
    """Whether the array lies in a mapped file or in Derived pages, which may change or be released; steps need resident() arrays."""
    return isinstance(_owner(array), (Mapping, Derived))


def is_derived(array: np.ndarray) -> bool:
    """Whether the array lies in Derived pages."""
    return isinstance(_owner(array), Derived)


def _owner(array: np.ndarray) -> object:
    owner: object = array.base
    while owner is not None:
        if isinstance(owner, np.ndarray):
            owner = owner.base
        elif type(owner) is memoryview:
            owner = owner.obj
        else:
            break
    return owner


def derived(source: np.ndarray, fill: Callable[[np.ndarray], None]) -> np.ndarray:
    """A new array like `source` that fill(array) computes from it; a long one lies in Derived pages."""
    array = np.empty_like(source, subok=False)
    if array.nbytes >= VIEWED_BYTES:
        array = np.ndarray(array.shape, array.dtype, Derived(array.nbytes, fill, mapping_of(source)), strides=array.strides)
    fill(array)
    return array


def filler(array: np.ndarray) -> Callable[[np.ndarray], None]:
    """A function that writes the array's contents to another array; for Derived pages it is their fill(), which does not keep the pages."""
    owner = _owner(array)
    return owner.fill if isinstance(owner, Derived) else lambda out: np.copyto(out, array)


def recall(array: np.ndarray) -> None:
    """Refills the pages of a Derived array that were released; does nothing for other arrays."""
    owner = _owner(array)
    if isinstance(owner, Derived) and not owner.there:
        base = array
        while isinstance(base.base, np.ndarray):
            base = base.base
        owner.fill(base)
        check_file(array)
        owner.there = True


def check_file(array: np.ndarray) -> None:
    """Mapping.check() of the file under an array, if there is one."""
    mapping = mapping_of(array)
    if mapping is not None:
        mapping.check()


def mappings_of(arrays: Iterable[np.ndarray]) -> list[Mapping]:
    """The mapped files under the arrays, each once."""
    based = [array for array in arrays if type(array.base) not in OWNED]
    return list({id(m): m for m in map(mapping_of, based) if m is not None}.values())


def forget(array: np.ndarray) -> None:
    """Mapping.forget() of the file under an array, if there is one."""
    mapping = mapping_of(array) if array.nbytes >= RELEASED_BYTES else None
    if mapping is not None:
        mapping.forget()


def give_back(array: np.ndarray) -> None:
    """Releases the pages under an array where they can be read or computed again. recall() it before reading it again."""
    owner = _owner(array)
    if isinstance(owner, Derived) or (isinstance(owner, Mapping) and array.nbytes >= RELEASED_BYTES):
        owner.forget()


def resident(array: np.ndarray) -> np.ndarray:
    """The array, or a copy, that steps can read at any time: contiguous, aligned, in no mapped file and in no pages that are released."""
    owner = None if type(array.base) in OWNED else _owner(array)
    if isinstance(owner, Derived):
        recall(array)
        owner.kept = True
    if array.flags.c_contiguous and array.flags.aligned and not isinstance(owner, Mapping):
        return array
    copy = np.array(array, order="C")
    check_file(array)
    return copy
