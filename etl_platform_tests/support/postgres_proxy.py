"""A TCP proxy in front of Postgres that cuts a connection at its COMMIT, before or after the server hears of it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal

from etl_platform_tests.support.postgres import PostgresServer

Cut = Literal["before the server hears it", "after the server did it"]
_LAST_STATEMENT_OF_A_LOAD = b'INSERT INTO "institution_a"."_loads"'


@dataclass
class Proxy:
    """Cuts the first load that commits. `cuts`: how often it did."""

    server: PostgresServer
    cut: Cut
    port: int = 0
    cuts: int = 0
    _sockets: list[socket.socket] = field(default_factory=list)

    def url_of(self, database: str) -> str:
        """URL of the database through this proxy."""
        return self.server.url_of(database).replace(f":{self.server.port}/", f":{self.port}/") + "?gssencmode=disable"

    def serve(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            upstream = socket.create_connection((self.server.host, self.server.port))
            self._sockets += [client, upstream]
            # Set when the answer of the server must not get through.
            deaf = threading.Event()
            threading.Thread(target=self._to_server, args=(client, upstream, deaf), daemon=True).start()
            threading.Thread(target=self._to_client, args=(upstream, client, deaf), daemon=True).start()

    def _to_server(self, client: socket.socket, upstream: socket.socket, deaf: threading.Event) -> None:
        loading = False
        with suppress(OSError):
            while data := client.recv(65_536):
                loading = loading or _LAST_STATEMENT_OF_A_LOAD in data
                if loading and b"COMMIT" in data and not self.cuts:
                    self.cuts += 1
                    if self.cut == "before the server hears it":
                        break
                    deaf.set()
                upstream.sendall(data)
        _close(client, upstream)

    def _to_client(self, upstream: socket.socket, client: socket.socket, deaf: threading.Event) -> None:
        with suppress(OSError):
            while data := upstream.recv(65_536):
                if deaf.is_set():
                    break
                client.sendall(data)
        _close(client, upstream)

    def close(self) -> None:
        _close(*self._sockets)


@contextmanager
def run_proxy(server: PostgresServer, cut: Cut) -> Iterator[Proxy]:
    """A proxy on a port of its own."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = Proxy(server, cut, listener.getsockname()[1])
        thread = threading.Thread(target=proxy.serve, args=(listener,), daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            proxy.close()


def _close(*sockets: socket.socket) -> None:
    for each in sockets:
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
