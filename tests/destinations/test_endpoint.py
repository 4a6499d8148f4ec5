"""Where a destination may be: no input of a person reaches into the server's own network."""

from __future__ import annotations

import socket

import pytest

from syncapp.destinations.endpoint import check_endpoint, check_resolved
from syncapp.errors import ConfigurationError, Unavailable

PRIVATE = [
    "https://127.0.0.1",
    "https://127.1",
    "https://0x7f000001",
    "https://2130706433",
    "https://017700000001",
    "https://localhost:9000",
    "https://10.1.2.3",
    "https://192.168.0.1:8080",
    "https://100.64.0.1",
    "https://[::1]",
    "https://[fd12::1]",
    "https://[::ffff:10.0.0.1]",
    "https://[2002:0a00:0001::]",
    "https://[64:ff9b::10.0.0.1]",
    "https://[64:ff9b:1::127.0.0.1]",
    "https://[::127.0.0.1]",
    "https://[fec0::1]",
]
NEVER = [
    "https://169.254.169.254",
    "http://169.254.169.254/latest/meta-data",
    "https://2852039166",
    "https://[::ffff:169.254.169.254]",
    "https://[fe80::1]",
    "https://[fd00:ec2::254]",
    "https://[64:ff9b::169.254.169.254]",
    "https://[64:ff9b:1:a::169.254.169.254]",
    "https://100.100.100.200",
    "https://192.0.0.192",
    "https://0.0.0.0",
    "https://[::]",
    "https://224.0.0.1",
    "ftp://s3.example.com",
    "file:///etc/passwd",
    "s3.example.com",
    "https://",
    "https://key:secret@s3.example.com",
    "https://s3.example.com?x=1",
    "https://s3.example.com:99999",
    "https://[::1",
    "",
]


@pytest.mark.parametrize(
    "url", ["https://s3.fr-par.scw.cloud", "https://s3.example.com:8443/", "https://8.8.8.8"]
)
def test_public_services_over_https_pass(url: str) -> None:
    check_endpoint(url, allow_private=False)


@pytest.mark.parametrize("url", PRIVATE)
def test_private_addresses_need_an_administrators_word(url: str) -> None:
    with pytest.raises(ConfigurationError, match="Endpoint"):
        check_endpoint(url, allow_private=False)
    check_endpoint(url, allow_private=True)


@pytest.mark.parametrize("url", NEVER)
@pytest.mark.parametrize("allow_private", [False, True])
def test_metadata_services_and_nonsense_never_pass(url: str, allow_private: bool) -> None:
    with pytest.raises(ConfigurationError, match="Endpoint"):
        check_endpoint(url, allow_private=allow_private)


def test_plain_http_needs_an_administrators_word() -> None:
    with pytest.raises(ConfigurationError, match="https"):
        check_endpoint("http://s3.example.com", allow_private=False)
    check_endpoint("http://s3.example.com", allow_private=True)


@pytest.mark.parametrize(
    ("address", "allow_private", "passes"),
    [
        ("93.184.216.34", False, True),
        ("2606:2800:220:1::1", False, True),
        ("10.0.0.1", False, False),
        ("10.0.0.1", True, True),
        ("169.254.169.254", True, False),
        ("fe80::1%eth0", True, False),
    ],
)
def test_a_name_is_judged_by_all_that_it_stands_for(
    monkeypatch: pytest.MonkeyPatch, address: str, allow_private: bool, passes: bool
) -> None:
    answers = [(2, 1, 6, "", (one, 443)) for one in ("93.184.216.34", address)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers)

    if passes:
        check_resolved("https://s3.example.com", allow_private=allow_private)
    else:
        with pytest.raises(ConfigurationError):
            check_resolved("https://s3.example.com", allow_private=allow_private)


@pytest.mark.parametrize(
    ("number", "kind"),
    [(socket.EAI_NONAME, ConfigurationError), (socket.EAI_AGAIN, Unavailable)],
)
def test_an_unknown_name_is_a_persons_fault_a_silent_dns_is_not(
    monkeypatch: pytest.MonkeyPatch, number: int, kind: type[Exception]
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise socket.gaierror(number, "no")

    monkeypatch.setattr(socket, "getaddrinfo", fails)

    with pytest.raises(kind, match=r"s3\.example\.com"):
        check_resolved("https://s3.example.com", allow_private=False)
