"""An HTTP server that misbehaves on request and otherwise passes everything on to a real one.

Not here: what the code under test should make of it. No fault waits for a clock: a stalled answer is released
when the server closes.
"""

from __future__ import annotations

import http.client
import socket
import struct
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

_HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "date", "server"}


@dataclass(frozen=True)
class Answer:
    """Answer with this status and, as S3 does, an XML body with an error code; nothing is passed on."""

    status: int
    code: str
    retry_after: str | None = None


@dataclass(frozen=True)
class CutBody:
    """Pass the request on, announce the whole body, send the first `after` bytes and hang up."""

    after: int


@dataclass(frozen=True)
class LoseAnswer:
    """Pass the request on and hang up without a word: done, but the client cannot know."""


@dataclass(frozen=True)
class Reset:
    """Reset the connection without passing the request on."""


@dataclass(frozen=True)
class Stall:
    """Never answer."""


@dataclass(frozen=True)
class PassOn:
    """Behave: the place of a good answer between faults."""


Fault = Answer | CutBody | LoseAnswer | PassOn | Reset | Stall


@dataclass
class FlakyServer:
    """`fail(...)` queues faults for the next requests (of one method, where given); `requests` is what came in.

    away: path or the beginning of one -> what every request below it gets, until it is taken out again.
    """

    upstream: str
    endpoint_url: str = ""
    requests: list[str] = field(default_factory=list)
    away: dict[str, Fault] = field(default_factory=dict)
    _faults: deque[tuple[str | None, Fault]] = field(default_factory=deque)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _closing: threading.Event = field(default_factory=threading.Event)

    def fail(self, *faults: Fault, method: str | None = None) -> None:
        self._faults.extend((method, fault) for fault in faults)

    @property
    def pending(self) -> int:
        """Faults that no request has met yet."""
        return len(self._faults)

    def next_fault(self, method: str, target: str) -> Fault | None:
        with self._lock:
            self.requests.append(f"{method} {target}")
            for path, fault in self.away.items():
                if target.startswith(path):
                    return fault
            if self._faults and self._faults[0][0] in {None, method}:
                return self._faults.popleft()[1]
            return None

    def wait_for_close(self) -> None:
        self._closing.wait()

    def close(self) -> None:
        self._closing.set()


@contextmanager
def run_flaky_server(upstream: str) -> Iterator[FlakyServer]:
    """A flaky server in front of `upstream` (`http://host:port`) for the block."""
    flaky = FlakyServer(upstream)
    handler = type("Handler", (_Handler,), {"flaky": flaky})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        flaky.endpoint_url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield flaky
        finally:
            flaky.close()
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    flaky: FlakyServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two writes: else 40 ms a request
    timeout = 10  # an idle connection of a client that is gone ends its thread

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = self.flaky.next_fault(self.command, self.path)
        match fault:
            case None | PassOn():
                status, headers, answer = self._forward(body)
                self._reply(status, headers, answer, len(answer))
            case Answer(status, code, retry_after):
                xml = f"<Error><Code>{code}</Code><Message>as ordered</Message></Error>".encode()
                asked = [("Retry-After", retry_after)] if retry_after else []
                self._reply(status, [("Content-Type", "application/xml"), *asked], xml, len(xml))
            case CutBody(after):
                status, headers, answer = self._forward(body)
                assert after < len(answer), "nothing to cut: the body is shorter"
                self._reply(status, headers, answer[:after], len(answer))
                self._hang_up()
            case LoseAnswer():
                self._forward(body)
                self._hang_up()
            case Reset():
                # A zero linger time makes close() send RST instead of FIN.
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self._hang_up()
            case Stall():
                self.flaky.wait_for_close()
                self._hang_up()

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _serve  # noqa: N815 - the names that http.server calls

    def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        upstream = urlsplit(self.flaky.upstream)
        connection = http.client.HTTPConnection(str(upstream.hostname), upstream.port, timeout=30)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
            connection.request(self.command, self.path, body=body, headers=headers)
            answer = connection.getresponse()
            content = answer.read()
            kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in _HOP_BY_HOP]
            if self.command == "HEAD":
                kept.append(("Content-Length", answer.getheader("Content-Length", "0")))
            return answer.status, kept, content
        finally:
            connection.close()

    def _reply(self, status: int, headers: list[tuple[str, str]], body: bytes, announced: int) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(announced))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _hang_up(self) -> None:
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the requests are kept, not printed."""
