"""TLS by the URL alone, for the driver that writes and the one that reads.

The test server is built without TLS, so a proxy of a few lines speaks it in front: Postgres asks for TLS in clear and
begins when the answer is `S`.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from etl_platform.errors import StorageError
from etl_platform_tests.stores.tables import SAMPLES, batches, key, rows, stored
from etl_platform_tests.support.postgres import PostgresDatabase, PostgresServer
from etl_platform_tests.support.postgres_store import new_store, open_store

_LENGTH_OF_TLS_REQUEST = 8


def test_tls_parameters_of_the_url_hold_for_writing_and_reading(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    certificate = _write_certificate(tmp_path)
    with _tls_in_front_of(postgres_database.server, certificate) as (port, handshakes):
        plain = postgres_database.url.replace(f":{postgres_database.server.port}/", f":{port}/")
        store = new_store(f"{plain}?sslmode=verify-full&sslrootcert={certificate}")
        store.replace(SAMPLES, [key(0)], batches(rows(key(0))))
        before = len(handshakes)
        assert stored(store, [key(0)]).equals(rows(key(0)))
        assert len(handshakes) > before > 0
        stranger = open_store(f"{plain}?sslmode=verify-full&sslrootcert=system")
        with pytest.raises(StorageError, match="correct sslmode and sslrootcert"):
            stranger.check()


def _write_certificate(folder: Path) -> Path:
    """A file with a self-signed certificate for 127.0.0.1 and its key."""
    private_key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now, day = dt.datetime.now(dt.UTC), dt.timedelta(days=1)
    host = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    builder = x509.CertificateBuilder(name, name, private_key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - day).not_valid_after(now + day).add_extension(host, critical=False)
    certificate = builder.sign(private_key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    private = private_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / "server.pem"
    path.write_bytes(certificate.public_bytes(pem) + private)
    return path


@contextmanager
def _tls_in_front_of(server: PostgresServer, certificate: Path) -> Iterator[tuple[int, list[str]]]:
    """The port, and the TLS version of each handshake so far."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    handshakes: list[str] = []

    def serve(client: socket.socket) -> None:
        with suppress(OSError), client, socket.create_connection((server.host, server.port)) as upstream:
            client.recv(_LENGTH_OF_TLS_REQUEST, socket.MSG_WAITALL)
            client.sendall(b"S")
            with context.wrap_socket(client, server_side=True) as secured:
                handshakes.append(secured.version() or "")
                threading.Thread(target=_pump, args=(upstream, secured), daemon=True).start()
                _pump(secured, upstream)

    def accept(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, args=(listener,), daemon=True).start()
        yield listener.getsockname()[1], handshakes


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
        target.shutdown(socket.SHUT_RDWR)
