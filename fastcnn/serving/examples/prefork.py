"""Worker processes that share one copy of the weights: the model is loaded and packed before gunicorn forks.

    MODEL=resnet50.onnx gunicorn --preload -w 4 -k uvicorn_worker.UvicornWorker 'fastcnn.serving.examples.prefork:create()'

With four workers on four cores each model takes one thread. The protocol is that of `fastcnn serve`; metrics are those of the worker that
answers.
"""
from __future__ import annotations

import os
from pathlib import Path

from starlette.applications import Starlette

from fastcnn.serving.app import Options, create_app
from fastcnn.serving.repository import Loading


def create() -> Starlette:
    """Called once, before the workers are forked."""
    path = os.environ["MODEL"]
    return create_app({Path(path).stem: path}, Options(loading=Loading(threads=int(os.environ.get("THREADS", "1")), workers=1)))
