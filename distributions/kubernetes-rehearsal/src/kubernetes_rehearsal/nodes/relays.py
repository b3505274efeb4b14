"""TCP connections from one network namespace into another.

A socket belongs to the namespace of the thread that made it, and a thread can enter another namespace for itself alone.
Standard library only: the supervisor imports it by path.
"""

import contextlib
import ctypes
import os
import socket
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
_CLONE_NEWNET = 0x40000000
_CHUNK_BYTES = 65536
_CONNECT_SECONDS = 60
_BACKLOG = 128
_LIBC = ctypes.CDLL(None, use_errno=True)

Address = tuple[str, int]


def in_network(namespace: int, action: Callable[[], T]) -> T:
    """What ``action`` returns, called by a thread within a network namespace.

    :param namespace: open descriptor of ``/proc/<pid>/ns/net``.
    """
    outcome: list[T | BaseException] = []

    def run() -> None:
        try:
            if _LIBC.setns(namespace, _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), f"setns: {os.strerror(ctypes.get_errno())}")
            outcome.append(action())
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    (result,) = outcome
    if isinstance(result, BaseException):
        raise result
    return result


def relay_into(namespace: int, listener: socket.socket, address: Address) -> None:
    """Forward connections of a listener in this namespace to an address in another; returns immediately."""
    _serve(listener, lambda: in_network(namespace, lambda: socket.create_connection(address, _CONNECT_SECONDS)))


def relay_out(namespace: int, port: int, address: Address) -> None:
    """Listen in another namespace, on all its addresses, and connect from this one; returns immediately."""
    listener = in_network(namespace, lambda: socket.create_server(("", port), backlog=_BACKLOG))
    _serve(listener, lambda: socket.create_connection(address, _CONNECT_SECONDS))


def _serve(listener: socket.socket, connect: Callable[[], socket.socket]) -> None:
    listener.settimeout(None)
    threading.Thread(target=_accept, args=(listener, connect), daemon=True).start()


def _accept(listener: socket.socket, connect: Callable[[], socket.socket]) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:  # the listener is closed
            return
        threading.Thread(target=_connect, args=(client, connect), daemon=True).start()


def _connect(client: socket.socket, connect: Callable[[], socket.socket]) -> None:
    with client:
        try:
            server = connect()
        except OSError:  # no listener: the client's connection is closed
            return
        with server:
            copy_both_ways(client, server)


def copy_both_ways(client: socket.socket, server: socket.socket) -> None:
    """Join two connections until both have ended."""
    for end in (client, server):
        end.settimeout(None)
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    back = threading.Thread(target=_copy, args=(server, client), daemon=True)
    back.start()
    _copy(client, server)
    back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    """Copy until the end of the source, then shut down the target."""
    try:
        while part := source.recv(_CHUNK_BYTES):
            target.sendall(part)
    except OSError:  # one end is gone: so is the other
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        return
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
