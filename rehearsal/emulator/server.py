"""The emulator's one listener, and its end."""

import asyncio
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from hypercorn.asyncio import serve
from hypercorn.config import Config

from rehearsal.emulator import settings

STATE_PATH = "/_rehearsal/state"
OBJECTS_PATH = "/_rehearsal/objects"
Application = Callable[[Any, Any, Any], Awaitable[None]]


def run(listener: socket.socket, *, cache: Path, node_modules: Path, until_stdin_closes: bool) -> None:
    """Serve until a signal comes, or until whoever started this process is gone.

    :param listener: bound to loopback.
    :param cache: folder for what is worth keeping between runs.
    :param node_modules: where JavaScript handlers find the AWS SDK.
    :param until_stdin_closes: end when standard input does, which also happens when its writer is killed.
    """
    parent = _Parent() if until_stdin_closes else None
    settings.prepare(port=listener.getsockname()[1], cache=cache, node_modules=node_modules)
    # Imported now: the emulator reads its settings when it is imported.
    from ministack import app

    from rehearsal.emulator import eks, eks_add_ons, extensions
    from rehearsal.kubernetes import KubernetesError, choose
    from rehearsal.kubernetes.interface import with_administrator

    try:
        kubernetes = choose()
    except KubernetesError as error:
        sys.exit(f"rehearsal: {error}")
    kubernetes.start(with_administrator(eks.authenticate, eks_add_ons.TOKEN))
    try:
        extensions.install(kubernetes)
        asyncio.run(_serve(_with_state(app.app, kubernetes.name), listener, parent))
    finally:
        kubernetes.stop()
        _end_group()


class _Parent(threading.Thread):
    """Whoever started this process. When it is gone, standard input closes, and :attr:`then` is called."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.then: Callable[[], object] = lambda: os._exit(0)
        self.start()

    def run(self) -> None:
        while os.read(sys.stdin.fileno(), 4096):
            pass
        self.then()


async def _serve(application: Application, listener: socket.socket, parent: _Parent | None) -> None:
    end = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end.set)
    if parent:
        parent.then = lambda: loop.call_soon_threadsafe(end.set)
    config = Config()
    config.bind = [f"fd://{listener.fileno()}"]
    config.graceful_timeout = 1
    config.keep_alive_timeout = 75
    config.loglevel = "WARNING"
    await serve(application, config, shutdown_trigger=end.wait)


def _end_group() -> None:
    """End what this process started: function workers, and whatever those started."""
    if os.getpgrp() == os.getpid():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.killpg(os.getpgrp(), signal.SIGTERM)


def _with_state(application: Application, kubernetes: str) -> Application:
    """The application, with the answers to what the rehearsal asks."""
    from rehearsal.emulator import cluster_objects, inventory

    answers: dict[str, Callable[[], dict[str, Any]]] = {
        STATE_PATH: lambda: inventory.state() | {"kubernetes_api": kubernetes},
        OBJECTS_PATH: cluster_objects.state,
    }

    async def extended(scope: Any, receive: Any, send: Any) -> None:
        answer = answers.get(scope["path"]) if scope["type"] == "http" else None
        if not answer:
            await application(scope, receive, send)
            return
        body = json.dumps(answer()).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": body})

    return extended
