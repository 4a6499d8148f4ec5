"""Google's host names on loopback: a test CA, a TLS port, and a CONNECT proxy that leads to it.

For clients whose addresses cannot be configured (rclone): they get `HTTPS_PROXY` and the CA and
believe to speak to www.googleapis.com. The proxy opens no connection but to this process.
Rules followed: RFC 9110 §9.3.6 (CONNECT), RFC 5280.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

HOSTS = (
    "www.googleapis.com",
    "oauth2.googleapis.com",
    "accounts.google.com",
    "forms.googleapis.com",
    "docs.google.com",
    "*.googleusercontent.com",
)
_LOOPBACK = "127.0.0.1"
_CHUNK = 256 * 1024


class Authority:
    """A certificate authority made for one run; `ca.pem` is what clients must trust."""

    def __init__(self, folder: Path) -> None:
        self.ca_file = folder / "ca.pem"
        self.server_file = folder / "server.pem"  # certificate, then its key
        ca_key = ec.generate_private_key(ec.SECP256R1())
        ca_name = _name("Stand-in test authority")
        ca = (
            _builder(ca_name, ca_name, ca_key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(ca_key, SHA256())
        )
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.DNSName(host) for host in HOSTS])
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        certificate = (
            _builder(_name("www.googleapis.com"), ca_name, key.public_key())
            .add_extension(names, critical=False)
            .add_extension(usage, critical=False)
            .sign(ca_key, SHA256())
        )
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self.ca_file.write_bytes(ca.public_bytes(Encoding.PEM))
        self.server_file.touch(mode=0o600)
        self.server_file.write_bytes(certificate.public_bytes(Encoding.PEM) + secret)


class TlsFront:
    """The TLS port and the proxy before an ASGI application, on the running loop."""

    def __init__(self, app: Any, folder: Path) -> None:
        self.authority = Authority(folder)
        self._server = _GuestServer(
            uvicorn.Config(
                app,
                ssl_certfile=self.authority.server_file,
                lifespan="off",
                access_log=False,
                log_level="warning",
                server_header=False,
                timeout_graceful_shutdown=1,
            )
        )

    async def start(self) -> int:
        """Listen; returns the proxy's port on loopback."""
        listener = socket.create_server((_LOOPBACK, 0))
        self._tls_port: int = listener.getsockname()[1]
        self._serving = asyncio.create_task(self._server.serve(sockets=[listener]))
        self._proxy = await asyncio.start_server(self._tunnel, _LOOPBACK, 0, limit=_CHUNK)
        port: int = self._proxy.sockets[0].getsockname()[1]
        return port

    async def stop(self) -> None:
        """Close both ports and their connections."""
        self._proxy.close()
        self._server.should_exit = True
        await self._serving

    async def _tunnel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One CONNECT: check the host, answer, then carry bytes both ways until both end."""
        with contextlib.closing(writer):
            host = await _read_connect(reader)
            if host is None or not is_google(host):
                writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                return
            inner_reader, inner_writer = await asyncio.open_connection(
                _LOOPBACK, self._tls_port, limit=_CHUNK
            )
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            with contextlib.closing(inner_writer):
                await asyncio.gather(_carry(reader, inner_writer), _carry(inner_reader, writer))


class _GuestServer(uvicorn.Server):
    """A second server in a process: signals belong to the first."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def is_google(host: str) -> bool:
    """Whether the proxy answers for this host name."""
    exact = host in HOSTS and not host.startswith("*")
    return exact or host.endswith(".googleusercontent.com")


async def _read_connect(reader: asyncio.StreamReader) -> str | None:
    """The host of a CONNECT to port 443; None for anything else."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
        return None
    method, _, rest = head.decode("latin-1").partition(" ")
    host, _, port = rest.partition(" ")[0].rpartition(":")
    return host.lower() if method == "CONNECT" and port == "443" else None


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy until the sender ends; a cut on either side ends the copy, as on a wire."""
    with contextlib.suppress(ConnectionError):
        while chunk := await reader.read(_CHUNK):
            writer.write(chunk)
            await writer.drain()
    writer.close()


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    start = datetime.now(UTC) - timedelta(days=1)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=365))
    )
