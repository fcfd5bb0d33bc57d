"""The server as an ASGI application: routes, authorisation, error responses."""
from __future__ import annotations

import asyncio
import hmac
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from fastcnn.ir.errors import ConfigurationError
from fastcnn.model import Model
from fastcnn.serving.bodies import body_of
from fastcnn.serving.errors import RequestError, as_request_error
from fastcnn.serving.images import FORMATS, feeds_of
from fastcnn.serving.metrics import OTHER, Metrics
from fastcnn.serving.openapi import description
from fastcnn.serving.protocol import HEADER_LENGTH, Inference, Wanted, decoded, encoded, header_length
from fastcnn.serving.repository import Live, Loading, Repository
from fastcnn.serving.tensors import described
from fastcnn.version import __version__

VERSION = "1"                   # of every model: there is one at a time
JSON, BINARY = "application/json", "application/octet-stream"
EXTENSIONS = ("binary_tensor_data", "model_repository")
# Open without a token: what load balancers ask.
OPEN = ("/v2/health/live", "/v2/health/ready")
log = logging.getLogger("fastcnn.serve")
Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Options:
    """Limits of a server.

    max_body   bytes of a request, decompressed ones too: 413 beyond
    timeout    seconds that a request's body may take to arrive (408), and from then on its answer (504)
    token      that requests have to show as "Authorization: Bearer TOKEN", but for health checks; None: nobody is asked.
               Models are loaded again over HTTP only where there is one
    loading    threads, batches and the queue (429 beyond) of each model
    """

    max_body: int = 64 << 20
    timeout: float = 30.0
    token: str | None = None
    loading: Loading = field(default_factory=Loading)

    def __post_init__(self) -> None:
        if self.max_body < 1 or not self.timeout > 0 or self.token == "":
            raise ConfigurationError(f"max_body={self.max_body}, timeout={self.timeout}: expected positive numbers; a token is not empty")


def create_app(models: Mapping[str, str | os.PathLike[str] | Model], options: Options | None = None) -> Starlette:
    """An ASGI application that serves models by name: paths, or models that are loaded already.

    Raises what load() raises, and ConfigurationError for names that are none. app.state.server is the Server.
    """
    server = Server(Repository(models, (options or Options()).loading), options or Options())

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await asyncio.get_running_loop().run_in_executor(None, server.repository.close)

    app = Starlette(routes=server.routes(), lifespan=lifespan,
                    exception_handlers={HTTPException: _http_error, Exception: _fault})         # type: ignore[dict-item]
    app.state.server = server
    return app


class Server:
    """The handlers of all routes."""

    def __init__(self, repository: Repository, options: Options):
        self.repository, self.options = repository, options
        self.metrics = Metrics(repository)
        self._token = options.token.encode() if options.token is not None else None

    def routes(self) -> list[Route]:
        model = "/v2/models/{name}"
        table: list[tuple[str, str, Handler]] = [
            ("GET", "/v2", self.server_metadata), ("GET", "/v2/health/live", self.health), ("GET", "/v2/health/ready", self.health),
            ("POST", "/v2/repository/index", self.index), ("POST", "/v2/repository/models/{name}/load", self.reload),
            ("GET", "/metrics", self.metrics_page), ("GET", "/openapi.json", self.openapi)]
        for prefix in (model, model + "/versions/{version}"):
            table += [("GET", prefix, self.model_metadata), ("GET", prefix + "/ready", self.model_ready),
                      ("POST", prefix + "/infer", self.infer)]
        return [Route(path, self._guarded(handler), methods=[method]) for method, path, handler in table]

    def _guarded(self, handler: Handler) -> Handler:
        """The handler for those who may ask; errors of requests become their answers."""
        async def guarded(request: Request) -> Response:
            try:
                if self._token is not None and request.url.path not in OPEN:
                    self._check_token(request.headers.get("authorization", ""))
                return await handler(request)
            except Exception as error:
                told = as_request_error(error)
                if told is None:
                    raise
                return refusal(told)
        return guarded

    def _check_token(self, header: str) -> None:
        scheme, _, token = header.partition(" ")
        assert self._token is not None
        if not hmac.compare_digest(token.strip().encode("latin-1", "replace"), self._token) or scheme.lower() != "bearer":
            raise RequestError(401, "a bearer token is needed")

    # ---- what there is ----

    async def server_metadata(self, request: Request) -> Response:
        return answer({"name": "fastcnn", "version": __version__, "extensions": list(EXTENSIONS)})

    async def health(self, request: Request) -> Response:
        """Answers health checks: always ready, as all models are loaded before the server listens."""
        return answer({"live": True} if request.url.path.endswith("live") else {"ready": True})

    async def model_metadata(self, request: Request) -> Response:
        live = self._live(request)
        return answer({"name": request.path_params["name"], "versions": [VERSION], "platform": "onnx_fastcnn",
                       "inputs": [described(info) for info in live.model.get_inputs()],
                       "outputs": [described(info) for info in live.model.get_outputs()]})

    async def model_ready(self, request: Request) -> Response:
        self._live(request)
        return answer({"name": request.path_params["name"], "ready": True})

    async def index(self, request: Request) -> Response:
        return answer([{"name": name, "version": VERSION, "state": "READY", "reason": ""} for name in self.repository.live])

    async def reload(self, request: Request) -> Response:
        """Read the file of a model again: the one that the server was started with. What the body asks for beyond that is ignored."""
        if self._token is None:
            raise RequestError(403, "models are loaded again by SIGHUP, or where a token is asked for")
        await self.repository.reload(request.path_params["name"])
        return answer({})

    async def metrics_page(self, request: Request) -> Response:
        return Response(self.metrics.text(), headers={"Content-Type": self.metrics.content_type})

    async def openapi(self, request: Request) -> Response:
        return answer(description(self._token is not None))

    def _live(self, request: Request) -> Live:
        if request.path_params.get("version", VERSION) != VERSION:
            raise RequestError(404, f"there is only version {VERSION} of a model")
        return self.repository.get(request.path_params["name"])

    # ---- inference ----

    async def infer(self, request: Request) -> Response:
        began, name = time.perf_counter(), request.path_params["name"]
        status = 500
        try:
            response = await self._infer(request, name)
            status = response.status_code
        except ClientDisconnect:
            raise RequestError(400, "the client went away before its request was complete") from None
        except Exception as error:
            told = as_request_error(error)
            status = told.status if told is not None else 500
            raise
        finally:
            self.metrics.answered(name if name in self.repository.live else OTHER, status, time.perf_counter() - began)
        return response

    async def _infer(self, request: Request, name: str) -> Response:
        self._live(request)
        try:
            with anyio.fail_after(self.options.timeout):
                body = await body_of(request, self.options.max_body, header_length(request.headers.get(HEADER_LENGTH)) or 0)
        except TimeoutError:
            raise RequestError(408, "the request took too long to arrive") from None
        with self.repository.using(name) as live:
            inference = await self._decoded(request, body, live)
            future = live.batcher.submit(inference.feeds, timeout=self.options.timeout)
            outputs = await asyncio.wrap_future(future)
            results = dict(zip([info.name for info in live.model.get_outputs()], outputs))
        parts, head = encoded(name, VERSION, inference, results)
        headers = {"Content-Type": JSON} if head is None else {"Content-Type": BINARY, HEADER_LENGTH: str(head)}
        return Response(parts[0] if len(parts) == 1 else b"".join(parts), headers=headers)

    async def _decoded(self, request: Request, body: memoryview, live: Live) -> Inference:
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type in FORMATS:
            decode = asyncio.get_running_loop().run_in_executor(None, feeds_of, body, media_type, live.model, live.preprocess)
            return Inference(None, await decode, [Wanted(info.name, False) for info in live.model.get_outputs()])
        return decoded(body, header_length(request.headers.get(HEADER_LENGTH)), live.model.get_inputs(), live.model.get_outputs())


def answer(value: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, {"Content-Type": JSON})


def refusal(error: RequestError) -> Response:
    """The protocol's form of an error."""
    response = answer({"error": error.sentence}, error.status)
    if error.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    if error.status == 429:
        response.headers["Retry-After"] = "1"
    return response


async def _http_error(request: Request, error: HTTPException) -> Response:
    """Starlette's own: no such path, no such method."""
    response = answer({"error": error.detail}, error.status_code)
    response.headers.update(error.headers or {})
    return response


async def _fault(request: Request, error: Exception) -> Response:
    """The answer to an unexpected exception, which is logged and not shown to the client."""
    return answer({"error": "the server failed; its log says how"}, 500)
