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

from aws_rehearsal.emulator import settings
from kubernetes_rehearsal.interface import KubernetesApi

STATE_PATH = "/_rehearsal/state"
OBJECTS_PATH = "/_rehearsal/objects"
PROOFS_PATH = "/_rehearsal/proofs"
PERMISSIONS_PATH = "/_rehearsal/permissions"
Application = Callable[[Any, Any, Any], Awaitable[None]]


def run(
    listener: socket.socket,
    *,
    cache: Path,
    node_modules: Path,
    until_stdin_closes: bool,
    stand_ins: Path | None = None,
) -> None:
    """Serve until a signal, or until the parent process has ended.

    :param listener: bound to loopback.
    :param cache: folder for what is worth keeping between runs.
    :param node_modules: where JavaScript handlers find the AWS SDK.
    :param until_stdin_closes: end when standard input does, which also happens when its writer is killed.
    :param stand_ins: file with stand-ins for Helm charts and EKS add-ons. Default: none.
    """
    parent = _Parent() if until_stdin_closes else None
    port = listener.getsockname()[1]
    settings.prepare(port=port, cache=cache, node_modules=node_modules, stand_ins=stand_ins)
    # Imported now: the emulator reads its settings when it is imported.
    from ministack import app

    from aws_rehearsal.emulator import eks, eks_add_ons, extensions
    from aws_rehearsal.emulator.pod_identities import EmulatedAws
    from kubernetes_rehearsal import KubernetesError, choose
    from kubernetes_rehearsal.interface import with_administrator

    try:
        kubernetes = choose(aws=EmulatedAws())
    except KubernetesError as error:
        sys.exit(f"rehearsal: {error}")
    kubernetes.start(with_administrator(eks.authenticate, eks_add_ons.TOKEN))
    try:
        extensions.install(kubernetes)
        asyncio.run(_serve(_with_state(app.app, kubernetes), listener, parent))
    finally:
        kubernetes.stop()
        _end_group()


class _Parent(threading.Thread):
    """The parent process. When it ends, standard input closes, and :attr:`then` is called."""

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
    """End the child processes: function workers, and their children."""
    if os.getpgrp() == os.getpid():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.killpg(os.getpgrp(), signal.SIGTERM)


def _lacks_for_nodes(kubernetes: KubernetesApi) -> list[str]:
    """Why clusters lack the real nodes that were requested; empty if they have them, or if none were requested."""
    from kubernetes_rehearsal.choice import NODES, missing_for_nodes
    from kubernetes_rehearsal.given_clusters import GivenClusters

    asked = os.environ.get(NODES) == "auto" and not isinstance(kubernetes, GivenClusters)
    return missing_for_nodes() if asked else []


def _with_state(application: Application, kubernetes: KubernetesApi) -> Application:
    """The application, with the answers to what the rehearsal asks."""
    from aws_rehearsal.emulator import cluster_objects, cluster_proofs, inventory, permissions

    clusters = {"kubernetes_api": kubernetes.name, "lacks_for_nodes": _lacks_for_nodes(kubernetes)}
    answers: dict[str, Callable[[], dict[str, Any]]] = {
        STATE_PATH: lambda: inventory.state() | clusters,
        OBJECTS_PATH: cluster_objects.state,
        PROOFS_PATH: lambda: cluster_proofs.state(kubernetes),
        PERMISSIONS_PATH: permissions.state,
    }

    async def extended(scope: Any, receive: Any, send: Any) -> None:
        answer = answers.get(scope["path"]) if scope["type"] == "http" else None
        if not answer:
            await application(scope, receive, send)
            return
        # The answer of a cluster can depend on pods, which ask this emulator meanwhile.
        found = await asyncio.to_thread(answer) if scope["path"] in (OBJECTS_PATH, PROOFS_PATH) else answer()
        body = json.dumps(found).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": body})

    return extended
