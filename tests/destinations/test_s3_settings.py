"""What a person enters for a bucket is checked before anything is sent."""

from __future__ import annotations

import pytest

from syncapp.destinations import build
from syncapp.destinations.providers import PROVIDERS
from syncapp.destinations.s3_settings import OPTIONS, S3Settings
from syncapp.errors import ConfigurationError

KEYS = {"access_key_id": "AKIA", "secret_access_key": "word"}
GOOD = {"provider": "scaleway", "region": "fr-par", "bucket": "my-backup"}


@pytest.mark.parametrize(
    ("provider", "region", "endpoint", "path_style"),
    [
        ("aws", "eu-central-1", "https://s3.eu-central-1.amazonaws.com", False),
        ("scaleway", "nl-ams", "https://s3.nl-ams.scw.cloud", False),
        ("ovhcloud", "gra", "https://s3.gra.io.cloud.ovh.net", False),
        ("hetzner", "fsn1", "https://fsn1.your-objectstorage.com", False),
        ("exoscale", "de-fra-1", "https://sos-de-fra-1.exo.io", False),
    ],
)
def test_the_service_and_region_say_where(
    provider: str, region: str, endpoint: str, path_style: bool
) -> None:
    read = S3Settings.read(GOOD | {"provider": provider, "region": region}, KEYS)

    assert read.connection.endpoint == endpoint
    assert read.connection.path_style is path_style
    assert read.host == endpoint.removeprefix("https://")


def test_an_endpoint_of_ones_own_wins() -> None:
    read = S3Settings.read(GOOD | {"endpoint": "https://s3.example.com/", "path_style": "1"}, KEYS)

    assert read.connection.endpoint == "https://s3.example.com"
    assert read.connection.path_style


@pytest.mark.parametrize("name", sorted(PROVIDERS))
def test_every_service_can_be_chosen(name: str) -> None:
    provider = PROVIDERS[name]
    for region in [found.name for found in provider.regions] or [""]:
        endpoint = "" if provider.endpoint else "https://s3.example.com"
        settings = GOOD | {"provider": name, "region": region, "endpoint": endpoint}
        store = build("s3", settings, KEYS)
        assert store.limits.max_parts in (1000, 10_000)


def test_scaleway_takes_a_thousand_parts() -> None:
    assert build("s3", GOOD, KEYS).limits.max_parts == 1000


def test_the_prefix_takes_its_share_of_the_longest_key() -> None:
    assert build("s3", GOOD | {"prefix": "/a/ü/"}, KEYS).limits.max_key_bytes == 1024 - 5


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"provider": "nowhere"}, "Service"),
        ({"provider": "aws", "region": ""}, "Region"),
        ({"provider": "other"}, "Endpoint"),
        ({"region": "evil.example.com/"}, "Region"),
        ({"region": "fr-par@evil"}, "Region"),
        ({"endpoint": "http://s3.example.com"}, "https"),
        ({"endpoint": "https://127.0.0.1"}, "private network"),
        ({"endpoint": "https://169.254.169.254", "_allow_private": "1"}, "Endpoint"),
        ({"bucket": ""}, "Bucket"),
        ({"bucket": "a/b"}, "Bucket"),
        ({"bucket": "arn:aws:s3:::x"}, "Bucket"),
        ({"prefix": "a/../b"}, "Folder in the bucket"),
        ({"storage_class": "GLACIER_IR"}, "Storage class"),
        ({"sse": "aws:kms"}, "Encryption"),
        ({"checksum": "crc"}, "Checksum"),
    ],
)
def test_a_wrong_option_is_named(changes: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        S3Settings.read(GOOD | changes, KEYS)


@pytest.mark.parametrize("secrets", [{}, {"access_key_id": "AKIA"}, {"secret_access_key": "word"}])
def test_both_keys_are_needed(secrets: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="key"):
        S3Settings.read(GOOD, secrets)


def test_only_at_amazon_may_a_role_of_the_server_stand_in_for_keys() -> None:
    amazon = GOOD | {"provider": "aws", "region": "eu-west-1"}

    assert S3Settings.read(amazon, {}).connection.access_key_id == ""
    with pytest.raises(ConfigurationError, match="Secret key"):
        S3Settings.read(amazon, {"access_key_id": "AKIA"})


def test_keys_are_the_only_secrets_and_are_never_shown() -> None:
    assert {option.name for option in OPTIONS if option.secret} == set(KEYS)
    assert "word" not in repr(S3Settings.read(GOOD, KEYS))


def test_auto_stands_for_what_the_service_is_known_to_verify() -> None:
    amazon = GOOD | {"provider": "aws", "region": "eu-west-1"}

    assert S3Settings.read(amazon, KEYS).checksum == "sha256"
    assert S3Settings.read(GOOD, KEYS).checksum == "md5"
    assert S3Settings.read(GOOD | {"checksum": "sha256"}, KEYS).checksum == "sha256"
