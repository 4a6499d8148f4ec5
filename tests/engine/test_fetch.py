"""Stored versions are read from wherever they are well; what is not well is noted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache

from syncapp.destinations.local import LocalDestination
from syncapp.engine import origins
from syncapp.engine.fetch import HELD_BYTES, Archived, open_version
from syncapp.engine.origins import Origins, Place, Speed
from syncapp.errors import BackupError, IntegrityError, PermanentError, Unavailable
from syncapp.models import Copy, Destination, Event, Finding, Version
from tests.engine.vault import Vault

BIG = bytes(range(256)) * (3 * HELD_BYTES // 256)


@pytest.fixture(autouse=True)
def _no_speeds(monkeypatch: pytest.MonkeyPatch) -> None:
    cache.clear()
    monkeypatch.setattr(origins, "_speeds", origins._Speeds())


@pytest.fixture
def vault(db: None, tmp_path: Path) -> Vault:
    return Vault.make(tmp_path)


def read(version: Version, **how: Any) -> bytes:
    with open_version(version.pk, **how) as reading:
        return b"".join(reading)


def states(version: Version) -> list[str]:
    return list(version.copies.order_by("destination_id").values_list("state", flat=True))


def breaking(monkeypatch: pytest.MonkeyPatch, root: str, error: BackupError, after: int) -> None:
    """Reading below `root` raises once `after` bytes were given, at whatever offset it began."""
    real = LocalDestination.read

    def read(self: LocalDestination, key: str, **how: Any) -> AbstractContextManager[Any]:
        if self.root != root:
            return real(self, key, **how)

        @contextmanager
        def opened() -> Iterator[Iterator[bytes]]:
            with real(self, key, **how) as chunks:
                yield broken(chunks)

        def broken(chunks: Iterator[bytes]) -> Iterator[bytes]:
            left = after
            for chunk in chunks:
                if left < len(chunk):
                    yield chunk[:left]
                    raise error
                left -= len(chunk)
                yield chunk

        return opened()

    monkeypatch.setattr(LocalDestination, "read", read)


def root(destination: Destination) -> str:
    return str(destination.options["path"])


@pytest.mark.parametrize("data", [b"", b"hello", BIG])
def test_a_version_is_read_whole(vault: Vault, data: bytes) -> None:
    version = vault.file("a.bin", data)

    with open_version(version.pk) as reading:
        assert b"".join(reading) == data
        assert reading.size == len(data)
    assert reading.origin_id in [d.pk for d in vault.destinations]


@pytest.mark.parametrize(("start", "end"), [(0, 10), (7, None), (5, 2 * HELD_BYTES), (99, 99)])
def test_any_stretch_of_a_version_can_be_read(vault: Vault, start: int, end: int | None) -> None:
    version = vault.file("a.bin", BIG)

    assert read(version, start=start, end=end) == BIG[start:end]


@pytest.mark.parametrize("data", [b"hello" * 100, BIG])
def test_another_destination_goes_on_where_one_broke_off(
    vault: Vault, monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    version = vault.file("a.bin", data)
    breaking(monkeypatch, root(vault.destinations[0]), Unavailable("gone"), len(data) // 2)

    with open_version(version.pk) as reading:
        assert b"".join(reading) == data

    assert reading.origin_id == vault.destinations[1].pk
    assert states(version) == ["stored", "stored"]


def test_a_destination_that_breaks_off_again_and_again_still_gives_everything(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = vault.file("a.bin", BIG, at=vault.destinations[:1])
    breaking(monkeypatch, root(vault.destinations[0]), Unavailable("gone"), len(BIG) // 7)

    assert read(version) == BIG


def test_a_destination_that_gives_nothing_is_given_up(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = vault.file("a.bin", BIG, at=vault.destinations[:1])
    breaking(monkeypatch, root(vault.destinations[0]), Unavailable("gone"), 0)

    with pytest.raises(Unavailable, match="gone"):
        read(version)
    assert states(version) == ["stored"]


@pytest.mark.parametrize("data", [b"hello" * 100, BIG])
@pytest.mark.parametrize("damage", ["missing", "size", "content"])
def test_a_damaged_copy_is_noted_and_another_is_read(
    vault: Vault, data: bytes, damage: str
) -> None:
    version = vault.file("a.bin", data)
    path = vault.path(version, vault.destinations[0])
    if damage == "missing":
        path.unlink()
    else:
        wrong = data[:-9] if damage == "size" else b"!" + data[1:]
        path.write_bytes(wrong)

    if damage == "content" and data is BIG:
        with pytest.raises(IntegrityError):
            read(version)
    assert read(version) == data

    assert states(version) == ["damaged", "stored"]
    finding = Finding.objects.get()
    assert (finding.kind, finding.copy) == (damage, version.copies.get(state="damaged"))
    assert finding.source == vault.source
    assert Event.objects.filter(code="copy_damaged", level="alert").count() == 1


def test_an_object_that_is_too_long_is_noted_though_its_beginning_is_right(vault: Vault) -> None:
    version = vault.file("a.bin", BIG)
    with vault.path(version, vault.destinations[0]).open("ab") as file:
        file.write(b"more")

    assert read(version) == BIG
    assert states(version) == ["damaged", "stored"]


def test_of_two_that_gave_bytes_only_the_one_with_wrong_ones_is_blamed(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = vault.file("a.bin", BIG)
    vault.path(version, vault.destinations[1]).write_bytes(BIG[:-1] + b"?")
    breaking(monkeypatch, root(vault.destinations[0]), Unavailable("gone"), len(BIG) // 2)

    with pytest.raises(IntegrityError):
        read(version)

    assert states(version) == ["stored", "damaged"]


def test_a_range_is_not_blamed_for_wrong_bytes_but_for_missing_ones(vault: Vault) -> None:
    version = vault.file("a.bin", BIG)
    vault.path(version, vault.destinations[0]).write_bytes(BIG[: HELD_BYTES + 5])

    assert read(version, start=HELD_BYTES, end=HELD_BYTES + 10) == BIG[HELD_BYTES:][:10]
    assert states(version) == ["damaged", "stored"]


def test_a_copy_that_moved_while_it_was_read_is_not_damaged(vault: Vault) -> None:
    version = vault.file("a.bin", b"hello", at=vault.destinations[:1])
    copy = version.copies.get()
    path = vault.path(version, vault.destinations[0])
    with open_version(version.pk) as reading:
        Copy.objects.filter(pk=copy.pk).update(object_key="elsewhere")
        path.unlink()
        with pytest.raises(PermanentError) as caught:
            list(reading)

    assert caught.value.code == "not_stored"
    assert states(version) == ["stored"]
    assert not Finding.objects.exists()


def test_what_nobody_has_says_so(vault: Vault) -> None:
    version = vault.file("a.bin", b"hello", at=[])

    with pytest.raises(PermanentError) as caught:
        read(version)
    assert caught.value.code == "not_stored"


def test_only_the_named_destination_is_read(vault: Vault) -> None:
    version = vault.file("a.bin", b"hello")
    wanted = vault.destinations[1]

    with open_version(version.pk, prefer="named", origin_id=wanted.pk) as reading:
        assert b"".join(reading) == b"hello"
    assert reading.origin_id == wanted.pk

    vault.path(version, wanted).unlink()
    with pytest.raises(PermanentError):
        read(version, prefer="named", origin_id=wanted.pk)


def test_what_lies_in_cold_storage_is_told_apart(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = vault.file("a.bin", b"hello")
    cold = PermanentError("brr", code="archived")
    breaking(monkeypatch, root(vault.destinations[0]), cold, 0)
    assert read(version) == b"hello"

    version.copies.filter(destination=vault.destinations[1]).delete()
    with pytest.raises(Archived) as caught:
        read(version)
    assert [place.destination_id for place in caught.value.places] == [vault.destinations[0].pk]


def order(vault: Vault, prefer: str = "fastest", size: int = 10**6) -> list[str]:
    chosen = Origins(prefer)
    chosen.load(d.pk for d in vault.destinations)
    places = [Place(0, d.pk, "k", "") for d in vault.destinations]
    return [chosen.name(place.destination_id) for place in chosen.order(places, size)]


def bucket(vault: Vault, name: str, provider: str) -> Destination:
    made = Destination.objects.create(
        owner=vault.source.owner, name=name, kind="s3", options={"provider": provider}
    )
    vault.attach(made)
    return made


def test_the_fastest_comes_first_as_measured_lately(vault: Vault) -> None:
    slow, fast = vault.destinations
    chosen = Origins()
    chosen.load([slow.pk, fast.pk])
    for _ in range(5):
        chosen.measured(slow.pk, 10**7, 10.0)

    assert order(vault) == ["two", "one"]


def test_for_small_files_the_latency_counts_and_for_big_ones_the_rate() -> None:
    near, wide = Speed(0.001, 1e6), Speed(0.1, 100e6)

    assert near.seconds(1000) < wide.seconds(1000)
    assert near.seconds(1e9) > wide.seconds(1e9)


def test_the_cheapest_comes_first_by_list_price(vault: Vault) -> None:
    for name, provider in (("aws", "aws"), ("unknown", "other"), ("hetzner", "hetzner")):
        bucket(vault, name, provider)

    assert order(vault, "cheapest") == ["one", "two", "hetzner", "aws", "unknown"]


@pytest.mark.parametrize("change", [{"blocked_code": "bad_key"}, {"enabled": False}])
def test_what_is_stopped_comes_last_but_comes(vault: Vault, change: dict[str, Any]) -> None:
    Destination.objects.filter(name="one").update(**change)

    assert order(vault) == ["two", "one"]


def test_speeds_are_known_to_other_processes(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(origins, "TELL_S", -1.0)
    one = vault.destinations[0]
    chosen = Origins()
    chosen.load([one.pk])
    chosen.measured(one.pk, 10**7, 100.0)
    told = chosen.speed(one.pk)

    monkeypatch.setattr(origins, "_speeds", origins._Speeds())
    assert chosen.speed(one.pk) == told != Speed(0.002, 200e6)
