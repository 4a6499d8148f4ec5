"""What a source's files should look like at its destinations after moves."""

from __future__ import annotations

from syncapp.engine import keys
from syncapp.engine.adapters import destination_for
from syncapp.engine.folders import Folders
from syncapp.models import Copy, Destination, File, Run, Version
from tests.engine.conftest import Setting


def blobs(setting: Setting) -> list[File]:
    return list(File.objects.filter(source=setting.source, content="blob").order_by("pk"))


def path_key(file: File) -> str:
    """The key of a file's current content by its path now."""
    file.refresh_from_db()
    folders = Folders(file.source_id)
    return keys.file_key("drive", folders.components(file.parent_id), file.key_name, file.remote_id)


def shown(destination: Destination) -> set[str]:
    """What a listing of a destination's tree shows."""
    return {info.key for info in destination_for(destination).objects("drive/files/")}


def move_and_check(setting: Setting, moved: int) -> Run:
    """A backup that moves so many files, reads nothing, and leaves everything right."""
    setting.control.reset_counters()
    run = setting.back_up()
    assert run.outcome == Run.Outcome.OK, run.error_message
    assert run.files_moved == moved
    assert setting.control.counters()["downloads"] == {}
    check_all(setting)
    return run


def check_all(setting: Setting, *, read_back: bool = True) -> None:
    """Every copy lies under its path with the right bytes, and nothing else is shown."""
    truth = setting.truth()
    files = File.objects.filter(source=setting.source).exclude(content="folder")
    wanted = {path_key(file) for file in files}
    for destination in setting.source.destinations.all():
        assert shown(destination) == wanted
    for version in Version.objects.filter(current=True).select_related("file"):
        sha256 = truth[version.file.remote_id]["sha256"]
        assert version.sha256 == sha256
        for copy in version.copies.all():
            assert copy.state in ("stored", "verified")
            assert (copy.object_key, copy.old_key) == (path_key(version.file), "")
    assert not File.objects.filter(source=setting.source, move_due=True).exists()
    assert not Copy.objects.exclude(old_key="").exists()
    verified = setting.verify() if read_back else None
    assert verified is None or verified.outcome == Run.Outcome.OK


def blobs_parent(setting: Setting) -> str:
    """The folder in which the synthetic files lie."""
    entry = next(e for e in setting.control.manifest() if e["name"].endswith(".bin"))
    return str(entry["parents"][0])
