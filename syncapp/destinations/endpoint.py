"""Which addresses a destination may have: a person's input must not reach into our own network.

Follows the usual defence against server-side request forgery: https only, no loopback, private or
link-local address (169.254.169.254 tells an instance's keys), tested on the literal address when
the destination is set up and on what its name resolves to before it is used.
"""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

from syncapp.errors import ConfigurationError, Unavailable

# Those that are not link-local: Amazon's IPv6 twin, Alibaba's and Oracle's.
_METADATA = {
    ipaddress.ip_address(text) for text in ("fd00:ec2::254", "100.100.100.200", "192.0.0.192")
}
# An IPv4 address in the last 32 bits: translated by a gateway (RFC 6052, RFC 8215), or as of old.
_CARRIERS = [ipaddress.ip_network(text) for text in ("64:ff9b::/96", "64:ff9b:1::/48", "::/96")]
# What the standard library takes for public although it never is.
_INSIDE = [ipaddress.ip_network(text) for text in ("fec0::/10", "192.0.0.0/24")]
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def check_endpoint(url: str, *, allow_private: bool) -> None:
    """ConfigurationError unless `url` is a plain https address of a public service.

    With `allow_private`, http and private addresses pass too; link-local ones never do. Makes no
    request: a name is judged by `check_resolved`.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigurationError(f"Endpoint: “{url}” is not an address.") from error
    if parts.scheme not in ("http", "https") or not host or port == 0:
        raise ConfigurationError("Endpoint: give an address like https://s3.example.com.")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigurationError(
            "Endpoint: give the address alone; the keys have fields of their own."
        )
    if parts.scheme == "http" and not allow_private:
        raise ConfigurationError(f"Endpoint: {host} must be reached by https, not http.")
    literal = _literal(host)
    if literal is not None:
        _judge(literal, host, allow_private)
    elif not allow_private and (host == "localhost" or host.endswith(".localhost")):
        raise _private(host)


def check_resolved(url: str, *, allow_private: bool) -> None:
    """The same for every address that the host's name stands for now; asks the DNS."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        found = socket.getaddrinfo(host, parts.port or 443, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno == socket.EAI_AGAIN:
            raise Unavailable(f"The name {host} can't be looked up at the moment.") from error
        raise ConfigurationError(
            f"There is no server named {host}. Correct the endpoint or the region.",
            code="no_such_host",
        ) from error
    for *_, address in found:
        check_address(str(address[0]), host, allow_private=allow_private)


def check_address(address: str, host: str, *, allow_private: bool) -> None:
    """The same for one address, as a connection to `host` is about to be made to it."""
    _judge(ipaddress.ip_address(address.partition("%")[0]), host, allow_private)


def _literal(host: str) -> _Address | None:
    """The address that `host` spells, in any form a resolver understands, None for a name."""
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        pass
    try:
        # 127.1, 0x7f000001, 2130706433 and the like: resolvers take them as IPv4.
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except (OSError, UnicodeEncodeError):
        return None


def _judge(address: _Address, host: str, allow_private: bool) -> None:
    if (carried := _carried(address)) is not None:
        _judge(carried, host, allow_private)
    if (
        address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or address in _METADATA
    ):
        raise ConfigurationError(f"Endpoint: {host} is an address that no service may have.")
    inside = not address.is_global or any(address in network for network in _INSIDE)
    if inside and not allow_private:
        raise _private(host)


def _carried(address: _Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 address stands for."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if any(address in network for network in _CARRIERS) and not address.is_loopback:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour


def _private(host: str) -> ConfigurationError:
    return ConfigurationError(
        f"Endpoint: {host} lies in a private network. An administrator can allow that in the "
        "settings of this installation."
    )
