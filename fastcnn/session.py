"""InferenceSession: onnxruntime's class for the calls that most users make."""
from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import Any

from fastcnn.cpu import default_threads
from fastcnn.model import Model
from fastcnn.reader import read

PROVIDER = "CPUExecutionProvider"


class SessionOptions:
    """onnxruntime's options; intra_op_num_threads (0: the default) means something here, other attributes are kept and ignored."""

    def __init__(self) -> None:
        self.intra_op_num_threads = 0
        self._config: dict[str, str] = {}

    def add_session_config_entry(self, key: str, value: str) -> None:
        """Kept, without effect."""
        self._config[key] = value

    def get_session_config_entry(self, key: str) -> str:
        """What add_session_config_entry was given; KeyError otherwise."""
        return self._config[key]


class RunOptions:
    """onnxruntime's per-run options; accepted, without effect."""


class InferenceSession(Model):
    """A Model made by onnxruntime's constructor.

    path_or_bytes  path, serialised bytes or ModelProto;  sess_options  SessionOptions;  providers  anything beyond the CPU
    warns and is left out. run(), get_inputs() and get_outputs() are Model's.
    """

    def __init__(self, path_or_bytes: Any, sess_options: SessionOptions | None = None, providers: Sequence[Any] | None = None,
                 provider_options: Sequence[Any] | None = None, **kwargs: Any) -> None:
        names = [provider[0] if isinstance(provider, tuple) else provider for provider in providers or ()]
        foreign = [name for name in names if name != PROVIDER]
        if foreign:
            warnings.warn(f"fastcnn runs on the CPU; not available: {', '.join(map(str, foreign))}", UserWarning, stacklevel=2)
        threads = getattr(sess_options, "intra_op_num_threads", 0) or default_threads()
        super().__init__(read(os.fspath(path_or_bytes) if isinstance(path_or_bytes, os.PathLike) else path_or_bytes), threads)

    def get_providers(self) -> list[str]:
        """Always the CPU."""
        return [PROVIDER]
