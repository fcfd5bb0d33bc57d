"""Spark: a model as a pandas UDF over columns of arrays, by pyspark.ml.functions.predict_batch_udf. Knows nothing of Spark itself.

    make = fastcnn.spark.predict_batch_fn("resnet50.onnx")
    scores = predict_batch_udf(make, return_type=ArrayType(FloatType()), batch_size=16, input_tensor_shapes=[[3, 224, 224]])
    frame.withColumn("scores", scores("image"))
"""
from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np

from fastcnn.loading import load
from fastcnn.model import Model

Predict = Callable[..., "np.ndarray | dict[str, np.ndarray]"]


def predict_batch_fn(model: str | os.PathLike[str] | Model, threads: int = 1) -> Callable[[], Predict]:
    """The function for predict_batch_udf: called once in each Python worker, it loads the model and returns a function of a batch.

    model    a path that every worker sees, or a Model, which travels with the function
    threads  of each worker: Spark starts one a task slot
    A function of one array for each input, in order, that gives the output, or {name: output} where there are several; numbers are
    converted to the types of the inputs.
    """
    def make() -> Predict:
        own = model if isinstance(model, Model) else load(model, threads=threads)
        inputs, outputs = own.get_inputs(), [info.name for info in own.get_outputs()]
        dtypes = own._feeder.dtypes

        def predict(*columns: np.ndarray) -> np.ndarray | dict[str, np.ndarray]:
            feeds = {info.name: np.asarray(column, dtypes[info.name]) for info, column in zip(inputs, columns, strict=True)}
            results = own.run(None, feeds)
            return results[0] if len(results) == 1 else dict(zip(outputs, results))
        return predict
    return make
