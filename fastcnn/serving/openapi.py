"""The OpenAPI 3.1 description of the server."""
from __future__ import annotations

from typing import Any

from fastcnn.serving.images import FORMATS
from fastcnn.serving.protocol import HEADER_LENGTH
from fastcnn.serving.tensors import BY_DTYPE, MOST_AXES
from fastcnn.version import __version__

Schema = dict[str, Any]
# Statuses and what they say.
REFUSALS = {400: "The request is malformed.", 401: "A bearer token is needed.", 403: "This needs a server with a token.",
            404: "There is no such model or version.", 408: "The request took too long to arrive.",
            409: "The model stays as it was.", 413: "The request is too large.", 415: "The body's type or coding is not known here.",
            422: "The model failed at what these inputs hold.", 429: "Too many requests wait.", 504: "The answer took too long."}


def _object(required: list[str], **properties: Schema) -> Schema:
    return {"type": "object", "required": required, "properties": properties}


def _list(items: Schema, **more: Any) -> Schema:
    return {"type": "array", "items": items, **more}


TEXT, FLAG, PARAMETERS = {"type": "string"}, {"type": "boolean"}, {"type": "object"}
EXTENT = {"type": "integer", "minimum": 0, "maximum": (1 << 48) - 1}
KIND = {"type": "string", "enum": sorted(BY_DTYPE.values())}
DATA = {"type": "array", "description": "Elements in row-major order, flat or nested as the shape is; null is NaN or infinite in answers."}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


SCHEMAS = {
    "Error": _object(["error"], error=TEXT),
    "Server": _object(["name", "version", "extensions"], name=TEXT, version=TEXT, extensions=_list(TEXT)),
    "Health": {"type": "object", "properties": {"live": FLAG, "ready": FLAG}},
    "Ready": _object(["name", "ready"], name=TEXT, ready=FLAG),
    "Tensor": _object(["name", "datatype", "shape"], name=TEXT, datatype=TEXT, shape=_list({"type": "integer", "minimum": -1})),
    "Model": _object(["name", "versions", "platform", "inputs", "outputs"], name=TEXT, versions=_list(TEXT), platform=TEXT,
                     inputs=_list(_ref("Tensor")), outputs=_list(_ref("Tensor"))),
    "Index": _list(_object(["name", "version", "state"], name=TEXT, version=TEXT, state=TEXT, reason=TEXT)),
    "Input": _object(["name", "datatype", "shape"], name=TEXT, datatype=KIND, shape=_list(EXTENT, maxItems=MOST_AXES), data=DATA,
                     parameters=PARAMETERS),
    "Output": _object(["name"], name=TEXT, parameters=PARAMETERS),
    "Inference": _object(["inputs"], id=TEXT, parameters=PARAMETERS, inputs=_list(_ref("Input")), outputs=_list(_ref("Output"))),
    "Result": _object(["name", "datatype", "shape"], name=TEXT, datatype=KIND, shape=_list(EXTENT), data=DATA, parameters=PARAMETERS),
    "Results": _object(["model_name", "model_version", "outputs"], model_name=TEXT, model_version=TEXT, id=TEXT,
                       outputs=_list(_ref("Result"))),
    "Nothing": {"type": "object"},
}
BINARY_SCHEMA = {"type": "string", "format": "binary"}
NAME = {"name": "name", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
VERSION = {"name": "version", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
LENGTH = {"name": HEADER_LENGTH, "in": "header", "required": False, "schema": {"type": "string", "pattern": "^[0-9]+$"},
          "description": "Bytes of JSON at the beginning of the body; the raw bytes of tensors follow in the order of the inputs."}


def description(token: bool) -> Schema:
    """The document; token: whether one is asked for."""
    paths: Schema = {
        "/v2": {"get": _operation("What this server is.", "Server", [])},
        "/v2/health/live": {"get": _operation("Whether the process answers.", "Health", [], open_to_all=True)},
        "/v2/health/ready": {"get": _operation("Whether all models are loaded.", "Health", [], open_to_all=True)},
        "/v2/repository/index": {"post": _operation("The models there are.", "Index", [])},
        "/v2/repository/models/{name}/load": {
            "parameters": [NAME], "post": _operation("Read the model's file again; requests go on.", "Nothing", [403, 404, 409])},
        "/metrics": {"get": _page("Counts for Prometheus, as OpenMetrics text.")},
    }
    for prefix, parameters in (("/v2/models/{name}", [NAME]), ("/v2/models/{name}/versions/{version}", [NAME, VERSION])):
        paths[prefix] = {"parameters": parameters, "get": _operation("Inputs and outputs of a model.", "Model", [404])}
        paths[prefix + "/ready"] = {"parameters": parameters, "get": _operation("Whether a model answers.", "Ready", [404])}
        paths[prefix + "/infer"] = {"parameters": [*parameters, LENGTH], "post": _inference()}
    scheme = {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}} if token else {}
    return {"openapi": "3.1.0", "info": {"title": "fastcnn", "version": __version__, "description": "Open Inference Protocol, version 2."},
            "paths": paths, "components": {"schemas": SCHEMAS, **scheme}, **({"security": [{"token": []}]} if token else {})}


def _responses(content: Schema, refused: list[int]) -> Schema:
    error = {"application/json": {"schema": _ref("Error")}}
    told = {str(status): {"description": REFUSALS[status], "content": error} for status in refused}
    return {"200": {"description": "Done.", "content": content}, **told}


def _operation(summary: str, schema: str, refused: list[int], open_to_all: bool = False) -> Schema:
    statuses = sorted([*refused, *([] if open_to_all else [401])])
    return {"summary": summary, "responses": _responses({"application/json": {"schema": _ref(schema)}}, statuses),
            **({"security": []} if open_to_all else {})}


def _page(summary: str) -> Schema:
    return {"summary": summary, "responses": _responses({"application/openmetrics-text": {"schema": TEXT}}, [401])}


def _inference() -> Schema:
    bodies = {"application/json": {"schema": _ref("Inference")}, "application/octet-stream": {"schema": BINARY_SCHEMA},
              **{media_type: {"schema": BINARY_SCHEMA} for media_type in FORMATS}}
    results = {"application/json": {"schema": _ref("Results")}, "application/octet-stream": {"schema": BINARY_SCHEMA}}
    return {"summary": "Run a model.", "requestBody": {"required": True, "content": bodies},
            "responses": _responses(results, [400, 401, 404, 408, 413, 415, 422, 429, 504])}
