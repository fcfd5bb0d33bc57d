"""Ray: batches of a Dataset through a model in actors, and a Ray Serve deployment (pip install 'fastcnn[ray]').

    predicted = fastcnn.ray.predict(ray.data.read_images("photos", mode="RGB"), "resnet50.onnx", column="image", preprocess=True, actors=4)
"""
from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import ray
from ray import serve
from ray.data import ActorPoolStrategy, Dataset

from fastcnn.ir.errors import ConfigurationError
from fastcnn.loading import load
from fastcnn.model import Model
from fastcnn.preprocess import Preprocess

Batch = dict[str, np.ndarray]


def own_threads() -> int:
    """The number of CPUs that Ray gave to the calling actor or task; 1 outside of both and for a fraction of a CPU."""
    if not ray.is_initialized():
        return 1
    return max(1, int(ray.get_runtime_context().get_assigned_resources().get("CPU", 1)))


class Predictor:
    """A class for Dataset.map_batches(): adds the model's outputs to each batch as columns.

    model       path, or a Model, which pickles; it is loaded once an actor, with as many threads as that has CPUs
    columns     input -> column with its images, or the column of the only input; None: columns are called as the inputs
    preprocess  True: the column has pictures (H, W, C) of 0 to 255, to be resized and normalised as Preprocess.guess() finds
    keep        whether the columns of the inputs stay
    Batches are read where they lie in Ray's memory: give map_batches zero_copy_batch=True.
    """

    def __init__(self, model: str | os.PathLike[str] | Model, columns: str | Mapping[str, str] | None = None, preprocess: bool = False,
                 keep: bool = False):
        source = model._source if isinstance(model, Model) and model._source is not None else model
        self.model = source if isinstance(source, Model) else load(source, threads=own_threads())
        names = [info.name for info in self.model.get_inputs()]
        if isinstance(columns, str) and len(names) != 1:
            raise ConfigurationError(f"columns={columns!r}: the model has {len(names)} inputs, say which: {', '.join(names)}")
        self.columns = {names[0]: columns} if isinstance(columns, str) else dict(columns) if columns else {name: name for name in names}
        self.preprocess = Preprocess.guess(self.model) if preprocess else None
        self.keep = keep

    def __call__(self, batch: Batch) -> Batch:
        feeds = {name: self._feed(batch[column]) for name, column in self.columns.items()}
        results = self.model.run(None, feeds)
        kept = {name: value for name, value in batch.items() if self.keep or name not in self.columns.values()}
        return {**kept, **dict(zip([info.name for info in self.model.get_outputs()], results))}

    def _feed(self, column: np.ndarray) -> np.ndarray:
        if self.preprocess is not None:
            return self.preprocess.batch(list(column))
        return np.stack(list(column)) if column.dtype == np.object_ else column


def predict(dataset: Dataset, model: str | os.PathLike[str] | Model, column: str | Mapping[str, str] | None = None, *, actors: int = 1,
            num_cpus: float = 1, batch_size: int = 16, preprocess: bool = False, keep: bool = False) -> Dataset:
    """The dataset with the model's outputs as columns, by `actors` actors of num_cpus CPUs each; columns, preprocess, keep: see Predictor.

    Batches of an actor that dies run in another.
    """
    return dataset.map_batches(
        Predictor, batch_size=batch_size, batch_format="numpy", zero_copy_batch=True, num_cpus=num_cpus,
        compute=ActorPoolStrategy(size=actors), fn_constructor_args=(model, column, preprocess, keep))


class Served:
    """A replica of a deployment: takes feeds, returns outputs by name, and runs single requests as batches."""

    def __init__(self, model: str | os.PathLike[str] | Model, max_batch: int, max_delay_ms: float, max_queue: int, timeout: float):
        self.model = model if isinstance(model, Model) else load(model, threads=own_threads())
        self.batcher = self.model.batcher(max_batch, max_delay_ms, max_queue=max_queue)
        self.timeout = timeout

    async def __call__(self, feeds: Batch) -> Batch:
        """Raises what Model.run() raises, and TimeLimitError."""
        found = await self.batcher.arun(feeds, timeout=self.timeout)
        return dict(zip([info.name for info in self.model.get_outputs()], found))


def deployment(model: str | os.PathLike[str] | Model, *, replicas: int = 1, num_cpus: float = 1, max_batch: int = 8,
               max_delay_ms: float = 0.0, max_queue: int = 256, timeout: float = 30.0, **options: Any) -> serve.Application:
    """An application for serve.run(), whose handle takes feeds: `await handle.remote({"x": image})`.

    max_batch, max_delay_ms, max_queue  as Model.batcher() has them, for each replica; timeout: seconds; options: serve.deployment's own
    """
    made = serve.deployment(num_replicas=replicas, ray_actor_options={"num_cpus": num_cpus}, max_ongoing_requests=max_queue,
                            **options)(Served)
    application: serve.Application = made.bind(model, max_batch, max_delay_ms, max_queue, timeout)
    return application


__all__ = ["Predictor", "Served", "deployment", "own_threads", "predict"]
