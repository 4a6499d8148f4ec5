"""The settings of a bucket: what a person may enter, read and checked. No request, no boto3."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from syncapp.destinations.endpoint import check_endpoint
from syncapp.destinations.providers import PROVIDERS, Provider
from syncapp.errors import ConfigurationError
from syncapp.types import Option

_SSE = (("", "As the bucket does"), ("none", "None"), ("AES256", "AES-256"), ("aws:kms", "KMS"))
_KEYS = "Both stay empty only where the machine itself has the right: in AWS, by a role."
_CLASSES = sorted({name for found in PROVIDERS.values() for name in found.storage_classes})

OPTIONS = (
    Option(
        "provider",
        "Service",
        required=True,
        default="other",
        choices=tuple((name, provider.label) for name, provider in PROVIDERS.items()),
    ),
    Option(
        "endpoint",
        "Endpoint",
        "Only if the service and region do not say it: https://…",
        depends=True,
    ),
    Option("region", "Region", "As the service names it, for example eu-central-1.", depends=True),
    Option("bucket", "Bucket", required=True),
    Option("prefix", "Folder in the bucket", "May stay empty."),
    Option(
        "storage_class",
        "Storage class",
        "Empty: the service's own default.",
        choices=(("", "Default"), *((name, name) for name in _CLASSES)),
    ),
    Option("sse", "Encryption by the service", choices=_SSE),
    Option("kms_key", "KMS key", "Its id or ARN; empty: the account's default key."),
    Option(
        "checksum",
        "Checksum",
        "What the service verifies. The test of the destination tells what it can.",
        default="auto",
        choices=(
            ("auto", "Automatic"),
            ("md5", "MD5"),
            ("crc32c", "MD5, CRC-32C of big files' parts"),
            ("sha256", "SHA-256 and MD5"),
        ),
    ),
    Option(
        "path_style",
        "Bucket in the path",
        "Empty: as the service needs it.",
        choices=(("", "Automatic"), ("1", "In the path"), ("0", "In the host name")),
    ),
    Option(
        "data_plane",
        "Sending",
        "The lean way costs a tenth of boto3's processor time. Choose boto3 only if a service has "
        "trouble with the other.",
        default="auto",
        choices=(("auto", "Automatic"), ("lean", "Lean"), ("boto3", "boto3")),
    ),
    Option("access_key_id", "Access key", _KEYS, secret=True, depends=True),
    Option("secret_access_key", "Secret key", _KEYS, secret=True, depends=True),
)


CRC32C_PROVEN = "_crc32c"  # reserved: a test saw the store refuse a part with a wrong CRC32C


@dataclass(frozen=True, slots=True)
class Connection:
    """Where a bucket is and with which keys; `repr` shows neither."""

    endpoint: str
    region: str
    path_style: bool
    access_key_id: str
    secret_access_key: str

    def __repr__(self) -> str:
        return f"Connection({self.endpoint!r}, {self.region!r})"


@dataclass(frozen=True, slots=True)
class S3Settings:
    """What was entered, with the provider's defaults filled in."""

    provider: Provider
    connection: Connection
    bucket: str
    prefix: str
    storage_class: str
    sse: str
    kms_key: str
    checksum: str
    # What the store checks of the parts of big files: CRC32C costs a twentieth of MD5.
    part_checksum: str
    data_plane: str
    allow_private: bool

    @property
    def host(self) -> str:
        """The service's name in messages."""
        return urlsplit(self.connection.endpoint).netloc

    @classmethod
    def read(cls, settings: Mapping[str, str], secrets: Mapping[str, str]) -> S3Settings:
        """Check everything that can be checked without a request."""
        values = {option.name: settings.get(option.name, "").strip() for option in OPTIONS}
        for option in OPTIONS:
            allowed = [value for value, _ in option.choices]
            if allowed and values[option.name] not in ("", *allowed):
                raise ConfigurationError(
                    f"{option.label}: “{values[option.name]}” is none of {', '.join(allowed)}."
                )
        provider = PROVIDERS[values["provider"] or "other"]
        allow_private = settings.get("_allow_private") == "1"
        _check_fitting(values, provider)
        checksum, data_plane = values["checksum"] or "auto", values["data_plane"] or "auto"
        return cls(
            provider=provider,
            connection=_connection(values, secrets, provider, allow_private=allow_private),
            bucket=_bucket(values["bucket"]),
            prefix=_prefix(values["prefix"]),
            storage_class=values["storage_class"],
            sse="" if values["sse"] == "none" else values["sse"],
            kms_key=values["kms_key"],
            checksum=_checksum(checksum, provider),
            part_checksum=_part_checksum(
                checksum, provider, proven=settings.get(CRC32C_PROVEN) == "1"
            ),
            data_plane=provider.data_plane if data_plane == "auto" else data_plane,
            allow_private=allow_private,
        )


def _checksum(wish: str, provider: Provider) -> str:
    """Of objects sent in one call."""
    if wish == "auto":
        return provider.checksum
    return "md5" if wish == "crc32c" else wish


def _part_checksum(wish: str, provider: Provider, *, proven: bool) -> str:
    """CRC32C only where the store is known to refuse a wrong one, or a person asked for it."""
    if wish == "auto":
        return "crc32c" if provider.crc32c or proven else provider.checksum
    return wish


def _connection(
    values: Mapping[str, str],
    secrets: Mapping[str, str],
    provider: Provider,
    *,
    allow_private: bool,
) -> Connection:
    region = values["region"]
    if not re.fullmatch(r"[a-z0-9-]{0,40}", region):
        raise ConfigurationError(f"Region: “{region}” has other signs than a-z, 0-9 and -.")
    if not values["endpoint"] and not (provider.endpoint and region):
        missing = "Region" if provider.endpoint else "Endpoint"
        raise ConfigurationError(f"{missing}: {provider.label} needs it.")
    endpoint = values["endpoint"] or provider.endpoint_for(region)
    check_endpoint(endpoint, allow_private=allow_private)
    key_id = secrets.get("access_key_id", "").strip()
    secret = secrets.get("secret_access_key", "").strip()
    if bool(key_id) != bool(secret) or not (key_id or provider.ambient_keys):
        missing = "Secret key" if key_id else "Access key"
        raise ConfigurationError(f"{missing}: {provider.label} needs both keys.")
    path_style = values["path_style"] == "1" if values["path_style"] else provider.path_style
    return Connection(endpoint.rstrip("/"), region, path_style, key_id, secret)


def _check_fitting(values: Mapping[str, str], provider: Provider) -> None:
    """What this service is known not to have; of an unknown one everything may be tried."""
    if not provider.regions:
        return
    if values["storage_class"] and values["storage_class"] not in provider.storage_classes:
        raise ConfigurationError(
            f"Storage class: {provider.label} has {', '.join(provider.storage_classes)}."
        )
    if values["sse"] not in ("", "none", *provider.sse):
        raise ConfigurationError(
            f"Encryption: {provider.label} has {', '.join(provider.sse) or 'none to choose'}."
        )


def _bucket(name: str) -> str:
    # Also keeps ARNs and access points out, which boto3 would send to another host.
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]", name):
        raise ConfigurationError(f"Bucket: “{name}” is not a bucket's name.")
    return name


def _prefix(prefix: str) -> str:
    names = prefix.strip("/").split("/")
    if prefix.strip("/") and any(name in ("", ".", "..") or "\0" in name for name in names):
        raise ConfigurationError(f"Folder in the bucket: “{prefix}” is not a folder's path.")
    return "".join(f"{name}/" for name in names if name)
