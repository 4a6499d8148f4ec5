"""Renames and moves at the source follow at the destinations, and nothing is read for them."""

from __future__ import annotations

from syncapp.engine import keys
from syncapp.engine.adapters import destination_for
from syncapp.engine.folders import Folders
from syncapp.models import Event, File, Run, Version
from tests.engine.conftest import Setting


def blobs(setting: Setting) -> list[File]:
    return list(File.objects.filter(source=setting.source, content="blob").order_by("pk"))


def path_key(file: File) -> str:
    """The key of the file's current content by its path now."""
    file.refresh_from_db()
    folders = Folders(file.source_id)
    return keys.file_key("drive", folders.components(file.parent_id), file.key_name, file.remote_id)


def objects_of(setting: Setting) -> list[set[str]]:
    """What a listing of each destination's tree shows."""
    return [
        {info.key for info in destination_for(row).objects("drive/files/")}
        for row in (setting.folder, setting.bucket)
    ]


def check_all(setting: Setting) -> None:
    """Every copy lies under its path with the right bytes, and nothing else is shown."""
    truth = setting.truth()
    files = File.objects.filter(source=setting.source, vanished_at__isnull=True)
    shown = {path_key(file) for file in files.exclude(content="folder")}
    for listed in objects_of(setting):
        assert listed == shown
    for version in Version.objects.filter(current=True, file__in=files).select_related("file"):
        for copy in version.copies.all():
            assert (copy.state, copy.old_key) in [("stored", ""), ("verified", "")]
            assert copy.object_key == path_key(version.file)
            data = setting.stored_bytes(copy)
            assert len(data) == truth[version.file.remote_id]["size"]
    assert not File.objects.filter(source=setting.source, move_due=True).exists()
    assert setting.verify().outcome == Run.Outcome.OK


def test_a_renamed_file_follows_at_both_destinations_without_a_download(few: Setting) -> None:
    few.back_up()
    file = blobs(few)[0]
    few.control.rename(file.remote_id, "a new name.txt")
    few.control.reset_counters()
    run = few.back_up()
    assert run.outcome == Run.Outcome.OK, run.error_message
    assert run.files_moved == 1
    assert few.control.counters()["downloads"] == {}
    assert path_key(file).endswith("/a new name.txt")
    check_all(few)
    told = Event.objects.get(code="files_moved")
    assert "no byte read from Google" in told.message
