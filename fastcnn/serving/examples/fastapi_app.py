"""A FastAPI service of one image model: `MODEL=resnet50.onnx uvicorn fastcnn.serving.examples.fastapi_app:app`, then

    curl -H 'Content-Type: image/jpeg' --data-binary @cat.jpg http://127.0.0.1:8000/classify
"""
from __future__ import annotations

import io
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Body, FastAPI, HTTPException, Request, Response
from PIL import Image, UnidentifiedImageError

from fastcnn.ir.errors import OverloadedError
from fastcnn.loading import load
from fastcnn.preprocess import Preprocess

TOP = 5


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """The model is loaded once; requests are collected into batches."""
    app.state.model = load(os.environ["MODEL"])
    app.state.preprocess = Preprocess.guess(app.state.model)
    with app.state.model.batcher(max_batch=8, max_queue=64) as app.state.batcher:
        yield


app = FastAPI(title="An image classifier", lifespan=lifespan)


@app.post("/classify")
def classify(request: Request, picture: Annotated[bytes, Body(media_type="image/jpeg")]) -> dict[str, Any]:
    """The likeliest classes. FastAPI calls plain functions in threads, so decoding images keeps nobody waiting."""
    state = request.app.state
    try:
        image = state.preprocess(Image.open(io.BytesIO(picture), formats=["JPEG", "PNG"]))
    except (UnidentifiedImageError, OSError, ValueError):
        raise HTTPException(400, "this is no JPEG or PNG") from None
    try:
        scores = state.batcher.submit({state.model.get_inputs()[0].name: image}, timeout=10).result()[0][0]
    except OverloadedError:
        raise HTTPException(429, "too many requests wait") from None
    best = scores.argsort()[::-1][:TOP]
    return {"classes": [{"class": int(k), "score": float(scores[k])} for k in best]}


@app.get("/metrics")
def metrics(request: Request) -> Response:
    """For Prometheus."""
    return Response(request.app.state.model.stats().openmetrics(), media_type="application/openmetrics-text; version=1.0.0")
