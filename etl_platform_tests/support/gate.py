"""A TCP port in front of a server that can be shut: its service is away, and comes back with all its data.

Not here: answers of a server that cannot serve (`flaky_http.py`), a real server that stops (`postgres.py`).
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class Gate:
    """Passes connections on to `upstream` while it is open. The port stays its own while it is shut: whoever comes is
    cut off at once, and so is everybody who is connected."""

    upstream: tuple[str, int]
    port: int = 0
    is_shut: bool = False
    _sockets: set[socket.socket] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def shut(self) -> None:
        """The service is away."""
        with self._lock:
            self.is_shut = True
            cut, self._sockets = self._sockets, set()
        _cut(*cut)

    def open(self) -> None:
        """It is back."""
        with self._lock:
            self.is_shut = False

    def serve(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self.upstream)
            except OSError:
                _cut(client)
                continue
            for each in (client, server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                is_shut = self.is_shut
                self._sockets |= set() if is_shut else {client, server}
            if is_shut:
                _cut(client, server)
                continue
            for source, target in ((client, server), (server, client)):
                threading.Thread(target=self._pass_on, args=(source, target), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                target.sendall(data)
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        with self._lock:
            self._sockets -= {source, target}


def _cut(*sockets: socket.socket) -> None:
    for each in sockets:
        with suppress(OSError):
            # A zero linger time makes the end a reset, as of a machine that is gone.
            each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()


@contextmanager
def run_gate(host: str, port: int) -> Iterator[Gate]:
    """An open gate in front of `host:port` for the block."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        gate = Gate((host, port), listener.getsockname()[1])
        thread = threading.Thread(target=gate.serve, args=(listener,), daemon=True)
        thread.start()
        try:
            yield gate
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            gate.shut()
