"""The application under uvicorn: what signals do, and how it ends with requests in flight."""
from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Coroutine
from typing import Any

import uvicorn
from starlette.applications import Starlette

LOOPBACK = "127.0.0.1"


class _Server(uvicorn.Server):
    """Reads models again on SIGHUP; says where it listens."""

    def __init__(self, config: uvicorn.Config, reload: Callable[[], Coroutine[Any, Any, None]], listening: Callable[[str, int], None]):
        super().__init__(config)
        self._reload, self._listening = reload, listening

    async def startup(self, sockets: list[object] | None = None) -> None:       # type: ignore[override]
        await super().startup(sockets)                                          # type: ignore[arg-type]
        loop, running = asyncio.get_running_loop(), set[asyncio.Task[None]]()

        def reload() -> None:
            task = loop.create_task(self._reload())
            running.add(task)
            task.add_done_callback(running.discard)

        with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):    # not in this thread, or not on this system
            loop.add_signal_handler(signal.SIGHUP, reload)
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        self._listening(host, port)


def run(app: Starlette, host: str = LOOPBACK, port: int = 8000, grace: int = 30,
        listening: Callable[[str, int], None] = lambda host, port: None) -> None:
    """Serve until SIGTERM or SIGINT: then no connection is accepted any more, and requests under way have `grace` seconds to end.

    listening(host, port) is called once it listens; port 0 takes any that is free
    """
    config = uvicorn.Config(app, host=host, port=port, timeout_graceful_shutdown=grace, access_log=False, server_header=False,
                            log_level="warning")
    _Server(config, app.state.server.repository.reload_all, listening).run()
