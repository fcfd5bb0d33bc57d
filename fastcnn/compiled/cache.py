"""Cache: compiled models of ONNX files in a folder, for load(cache=True). It is off unless somebody asks for it.

    <content>-<options>.fcnn   a compiled model without its ONNX file; both parts of the name are digests: of the bytes of the ONNX file and
                               its external data, and of everything else that decides what is in the compiled model
    <path>.json                which files a path was read from, how they looked, and the digest of their bytes

A load whose files look as they did (device, inode, size, times) reads none of them: it maps the compiled model. Otherwise the files are
read and their digest is taken, so that a file that was copied, or touched, finds its compiled model too.

Everything is written beside its place and renamed, so readers need no lock, and of two writers the last one wins, with the same content.
An entry's time is that of its last use; a writer deletes the entries that were used longest ago until the rest keeps the limit. Processes
that have mapped a deleted entry keep it. What fails here (a full disk, a read-only folder, a damaged entry) is told to the logger
`fastcnn.cache` and never fails a load.
"""
from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from fastcnn.compiled.pack_keys import made_for
from fastcnn.compiled.read import Compiled, opened
from fastcnn.ir.errors import ConfigurationError, FastCNNError
from fastcnn.ir.record import dataclass
from fastcnn.machine.current import cache_folder, current
from fastcnn.mapping import Mapping as File
from fastcnn.version import __version__

ENTRY, NOTE = ".fcnn", ".json"
DEFAULT_MB = 2048
# File systems keep times in steps: what was written so recently may be written again and look the same.
SETTLED_NS = 2_000_000_000
# A file of a writer that is older than this belongs to nobody.
ABANDONED_SECONDS = 3600
DIGITS = 32


@dataclass(frozen=True)
class Entry:
    """A compiled model in the cache: its file, bytes, time of the last use in seconds, and the ONNX files it was made from."""

    path: str
    size: int
    used: float
    models: Sequence[str]


@dataclass(frozen=True)
class Cache:
    """A folder, and the bytes that all entries in it may take."""

    folder: str
    limit: int

    def find(self, model: str) -> str | None:
        """The digest of the files of a path, where they look as they did when it was taken; reads none of them."""
        try:
            with open(self._note(model), "rb") as stream:
                note = json.load(stream)
            if all(_looks(path) == look for path, look in note["files"]):
                return str(note["content"])
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError) as error:
            _tell("the note of %r cannot be read: %s", model, error)
        return None

    def digest(self, model: str, files: Sequence[File]) -> str | None:
        """Of the contents of the mapped files that a model was read from, which is noted for find(); None where it was not mapped."""
        from hashlib import sha256
        files = list(dict.fromkeys(files))
        if not files or files[0].path != os.path.abspath(model):
            return None
        looks = [(file.path, _looks(file.path)) for file in files]
        whole = sha256()
        for file in files:
            whole.update(b"%d " % len(file))
            whole.update(file)
        content = whole.hexdigest()[:DIGITS]
        with _told("the note of %r cannot be written: %s", model):
            if all(look is not None and max(look[3:]) < time.time_ns() - SETTLED_NS for _, look in looks):
                self._make_folder()
                _replace(self._note(model), json.dumps({"files": looks, "content": content}).encode())
        return content

    def get(self, content: str, options: Mapping[str, Any]) -> Compiled | None:
        """The compiled model with this content and these options. A damaged one is deleted."""
        path = self._entry(content, options)
        try:
            if os.stat(path).st_uid not in (os.geteuid(), 0):
                return None
            found = opened(path)
        except FileNotFoundError:
            return None
        except (OSError, FastCNNError) as error:
            _tell("%s is not used and deleted: %s", path, error)
            with suppress(OSError):
                os.unlink(path)
            return None
        if found is None or found.graph is None:
            return None
        with suppress(OSError):
            os.utime(path)
        return found

    def put(self, content: str, options: Mapping[str, Any], save: Callable[[str], None]) -> None:
        """Has a compiled model written to its place by save(path), and the oldest deleted; one that passes the limit is not kept."""
        with _told("%r cannot be kept: %s", self.folder):
            self._make_folder()
            path = self._entry(content, options)
            save(path)
            if os.path.getsize(path) > self.limit:
                os.unlink(path)
            self.prune()

    def prune(self) -> None:
        """Deletes the entries used longest ago until the others keep the limit, notes without an entry, and what writers left behind."""
        held, kept = 0, set()
        for entry in sorted(self.entries(), key=lambda entry: -entry.used):
            held += entry.size
            if held <= self.limit:
                kept.add(os.path.basename(entry.path).partition("-")[0])
            else:
                with suppress(FileNotFoundError):
                    os.unlink(entry.path)
        for name, status in self._files():
            path = os.path.join(self.folder, name)
            unread = name.endswith(NOTE) and (_noted(path) or ("", ""))[1] not in kept
            if (unread or not name.endswith((ENTRY, NOTE))) and status.st_mtime < time.time() - ABANDONED_SECONDS:
                with suppress(FileNotFoundError):
                    os.unlink(path)

    def entries(self) -> list[Entry]:
        """What is in the cache, in no order."""
        files = list(self._files())
        models: dict[str, list[str]] = {}
        for note in [_noted(os.path.join(self.folder, name)) for name, _ in files if name.endswith(NOTE)]:
            if note is not None:
                models.setdefault(note[1], []).append(note[0])
        return [Entry(os.path.join(self.folder, name), status.st_size, status.st_mtime, sorted(models.get(name.partition("-")[0], ())))
                for name, status in files if name.endswith(ENTRY)]

    def clear(self) -> None:
        """Deletes everything in it. Raises OSError."""
        for name, _ in list(self._files()):
            with suppress(FileNotFoundError):
                os.unlink(os.path.join(self.folder, name))

    def _files(self) -> Iterator[tuple[str, os.stat_result]]:
        with suppress(FileNotFoundError), os.scandir(self.folder) as found:
            for file in found:
                if (ENTRY in file.name or NOTE in file.name) and file.is_file(follow_symlinks=False):
                    with suppress(FileNotFoundError):       # another process has deleted it
                        yield file.name, file.stat()

    def _note(self, model: str) -> str:
        return os.path.join(self.folder, _name(os.path.abspath(model)) + NOTE)

    def _entry(self, content: str, options: Mapping[str, Any]) -> str:
        rest = {"options": options, "version": __version__, "made_for": made_for(), "machine": str(current())}
        return os.path.join(self.folder, f"{content}-{_name(json.dumps(rest, sort_keys=True))}{ENTRY}")

    def _make_folder(self) -> None:
        os.makedirs(self.folder, mode=0o700, exist_ok=True)


def cache_of(asked: bool | str | os.PathLike[str] | None) -> Cache | None:
    """The cache that load(cache=) means: a folder, True for the folder of the user, None for what FASTCNN_MODEL_CACHE says: 0 or 1.

    Raises ConfigurationError.
    """
    if asked is None:
        said = os.environ.get("FASTCNN_MODEL_CACHE", "") or "0"
        if said not in ("0", "1"):
            raise ConfigurationError(f"FASTCNN_MODEL_CACHE={said!r}: expected 0 or 1")
        asked = said == "1"
    if asked is False:
        return None
    most = os.environ.get("FASTCNN_MODEL_CACHE_MB", "") or str(DEFAULT_MB)
    if not (most.isascii() and most.isdigit()):
        raise ConfigurationError(f"FASTCNN_MODEL_CACHE_MB={most!r}: expected a number of megabytes")
    if asked is not True and not isinstance(asked, (str, os.PathLike)):
        raise ConfigurationError(f"cache={asked!r}: expected True, False, None or a folder")
    return Cache(str(cache_folder() / "models") if asked is True else os.path.abspath(asked), int(most) * 1_000_000)


def _name(text: str) -> str:
    from hashlib import sha256
    return sha256(os.fsencode(text)).hexdigest()[:DIGITS]


def _looks(path: str) -> list[int] | None:
    """What changes when a file is replaced or written to."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return [status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _noted(path: str) -> tuple[str, str] | None:
    """(ONNX file, digest of the contents) of a note."""
    try:
        with open(path, "rb") as stream:
            note = json.load(stream)
        return str(note["files"][0][0]), str(note["content"])
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _replace(path: str, content: bytes) -> None:
    beside = f"{path}.{os.getpid()}.{os.urandom(4).hex()}"
    try:
        with open(beside, "xb") as stream:
            stream.write(content)
        os.replace(beside, path)
    finally:
        with suppress(OSError):
            os.unlink(beside)


def _tell(text: str, *values: object) -> None:
    import logging
    logging.getLogger("fastcnn.cache").warning(text, *values)


class _told:
    """A block whose failure to read or write is a warning in the log; text: takes the value and the error."""

    def __init__(self, text: str, value: str) -> None:
        self.text, self.value = text, value

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, (OSError, FastCNNError)):
            _tell(self.text, self.value, error)
            return True
        return False
