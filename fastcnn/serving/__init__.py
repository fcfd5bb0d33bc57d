"""Models over HTTP by the Open Inference Protocol, version 2: `fastcnn serve`, or app.create_app() under any ASGI server."""
