"""A runtime for MLServer, REST and gRPC: "implementation": "fastcnn.serving.mlserver.FastCNNModel" in a model's model-settings.json.

"parameters": "uri" is the .onnx file, or a folder with a model.onnx; "extra" may have threads, max_batch, max_delay_ms, max_queue and
timeout (seconds) as `fastcnn serve` has them. Requests are collected into batches here: leave MLServer's own max_batch_size at 0.
"""
from __future__ import annotations

from typing import Any

import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.errors import InferenceError, InvalidModelURI, MLServerError
from mlserver.types import InferenceRequest, InferenceResponse, MetadataTensor
from mlserver.utils import get_model_uri

from fastcnn.ir.errors import ConfigurationError, FastCNNError, OverloadedError
from fastcnn.loading import load
from fastcnn.model import Model
from fastcnn.serving.tensors import described

FILES = ["model.onnx"]
OPTIONS: dict[str, Any] = {"threads": None, "max_batch": 8, "max_delay_ms": 0.0, "max_queue": 256, "timeout": 30.0}


class FastCNNModel(MLModel):                # type: ignore[misc]
    """One ONNX model."""

    async def load(self) -> bool:
        """Raises what fastcnn.load() raises, and InvalidModelURI."""
        uri = await get_model_uri(self.settings, wellknown_filenames=FILES)
        if not uri:
            raise InvalidModelURI(self.name)
        extra = (self.settings.parameters.extra or {}) if self.settings.parameters else {}
        if unknown := extra.keys() - OPTIONS.keys():
            raise ConfigurationError(f"model {self.name}: unknown options {', '.join(sorted(unknown))}; there are {', '.join(OPTIONS)}")
        options = {**OPTIONS, **extra}
        self._timeout = options["timeout"]
        self._model: Model = load(uri, threads=options["threads"])
        self._batcher = self._model.batcher(options["max_batch"], options["max_delay_ms"], max_queue=options["max_queue"])
        self.inputs = [MetadataTensor(**described(info)) for info in self._model.get_inputs()]
        self.outputs = [MetadataTensor(**described(info)) for info in self._model.get_outputs()]
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Raises InferenceError (400) for what the model refuses, MLServerError 429 when too many requests wait."""
        try:
            feeds = {given.name: NumpyCodec.decode_input(given) for given in payload.inputs}
        except Exception as error:          # numpy's, of data that is not what its shape and datatype say
            raise InferenceError(f"an input is not what its shape and datatype say: {error}") from error
        try:
            found = await self._batcher.arun(feeds, timeout=self._timeout)
        except OverloadedError as error:
            raise MLServerError(str(error), 429) from error
        except FastCNNError as error:
            raise InferenceError(str(error)) from error
        named = dict(zip([info.name for info in self._model.get_outputs()], found))
        wanted = [output.name for output in payload.outputs or []] or list(named)
        if missing := [name for name in wanted if name not in named]:
            raise InferenceError(f"the model has no output {missing[0]!r}, only {', '.join(map(repr, named))}")
        outputs = [NumpyCodec.encode_output(name, np.ascontiguousarray(named[name])) for name in wanted]
        return InferenceResponse(id=payload.id, model_name=self.name, model_version=self.version, outputs=outputs)

    async def unload(self) -> bool:
        """Requests that wait are answered first."""
        self._batcher.close()
        self._model.close()
        return True
