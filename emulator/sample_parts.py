"""What is in the sample account, one function a kind of trouble."""

from __future__ import annotations

from typing import Any

from emulator.content import BytesContent
from emulator.documents import build
from emulator.formats import DOCX, XLSX
from emulator.items import FOLDER, SHORTCUT, Item, Refusals, User
from emulator.sample_names import HOSTILE_FOLDERS, HOSTILE_NAMES
from emulator.sample_tree import Tree, made_id
from emulator.world import SharedDrive

MIB = 1024 * 1024
COLLEAGUE = User("102233445566778899001", "charles.babbage@example.com", "Charles Babbage")
STAMP = "sample"
NESTING = 30


def add_everyday_files(tree: Tree) -> None:
    """What most of a Drive is: documents, photos, a few big files."""
    documents = tree.folder("Documents")
    for year in (2021, 2022, 2023):
        folder = tree.folder(str(year), documents)
        for month in range(1, 13):
            tree.text(
                f"{year}-{month:02} notes.txt", f"Notes {year}-{month}\n" * month * 20, folder
            )
    for name, mime in (
        ("Letter.docx", DOCX),
        ("Budget.xlsx", XLSX),
        ("Paper.pdf", "application/pdf"),
    ):
        tree.blob(name, BytesContent(build(mime, name, STAMP)), documents)
    tree.text("addresses.csv", "name,city\n" + "Ada,London\n" * 500, documents)
    photos = tree.folder("Photos")
    for number in range(1, 49):
        tree.photo(f"IMG_{number:04}.jpg", 40_000 + number * 7_919, photos)
    tree.blob("scan.png", BytesContent(build("image/png", "scan", STAMP)), photos)
    big = tree.folder("Big files")
    tree.film("video 64 MB.mp4", 64 * MIB, big)
    for name, size in (("backup.tar.gz", 20), ("just over two parts.zip", 17), ("nine.zip", 9)):
        tree.generated(name, size * MIB + 1, big)
    tree.generated("exactly 8 MiB.bin", 8 * MIB, big)
    tree.generated("exactly 5 MiB.bin", 5 * MIB, big)


def add_hostile_names(tree: Tree) -> None:
    """Every name of `sample_names`, as files in one folder and as folders with a file each."""
    folder = tree.folder("Hostile names")
    for number, name in enumerate(HOSTILE_NAMES):
        tree.text(name, f"hostile name number {number}\n", folder, mime_type="text/plain")
    for number, name in enumerate(HOSTILE_FOLDERS):
        tree.text("inside.txt", f"hostile folder number {number}\n", tree.folder(name, folder))


def add_duplicates(tree: Tree) -> None:
    """Names that stand more than once in a folder: files, folders, both, documents."""
    folder = tree.folder("Duplicates")
    for number in (1, 2, 3):
        tree.text("same name.txt", f"one of three, number {number}\n", folder)
    tree.text("twin.txt", "the very same bytes\n", folder)
    tree.text("twin.txt", "the very same bytes\n", folder)
    for number in (1, 2):
        twin = tree.folder("same folder", folder)
        tree.text("inside.txt", f"in same folder number {number}\n", twin)
        tree.text(f"only in {number}.txt", f"only in {number}\n", twin)
    tree.text("file and folder", "the file\n", folder)
    tree.text("inside.txt", "in the folder\n", tree.folder("file and folder", folder))
    tree.editor("Report", "document", folder)
    tree.editor("Report", "document", folder)
    tree.editor("Report", "spreadsheet", folder)
    tree.blob("Report.docx", BytesContent(build(DOCX, "a real file", STAMP)), folder)
    tree.text("same name (1).txt", "looks like a suffix that a tool would add\n", folder)


def add_workspace(tree: Tree) -> None:
    """Documents of each Workspace kind, exportable or not, and exports over 10 MB."""
    folder = tree.folder("Workspace")
    for kind, count in (("document", 12), ("spreadsheet", 8), ("presentation", 5), ("drawing", 3)):
        for number in range(1, count + 1):
            tree.editor(f"{kind.title()} {number}", kind, folder)
    for number in (1, 2, 3):
        tree.editor(f"Survey {number}", "form", folder)
    tree.editor("Automation", "script", folder)
    tree.editor("Clip", "vid", folder)
    for name, kind in (
        ("Our site", "site"),
        ("Whiteboard", "jam"),
        ("Walks", "map"),
        ("Diagram", "drive-sdk.7081045131"),
    ):
        tree.editor(name, kind, folder, exportable=False)
    tree.editor("Doc: a/b <plan>\n2025", "document", folder)
    tree.editor("Huge sheet", "spreadsheet", folder, export_bytes=11 * MIB)
    only_links = Refusals(no_operation=True)
    tree.editor("Stubborn deck", "presentation", folder, export_bytes=12 * MIB, refusals=only_links)
    flaky = Refusals(no_export=True, no_operation=True)
    tree.editor("Slow sheet", "spreadsheet", folder, refusals=flaky)


def add_edge_cases(tree: Tree) -> None:
    """Blobs whose size, hashes, times, parents or metadata are out of the ordinary."""
    folder = tree.folder("Edge cases")
    tree.text("empty.txt", "", folder)
    tree.text("empty without extension", "", folder)
    tree.text("one byte.bin", "x", folder)
    # As some files that came from Google Photos: the metadata tells another md5 than the bytes.
    wrong = "d41d8cd98f00b204e9800998ecf8427e"
    tree.photo("IMG_wrong_md5.jpg", 123_456, folder, claimed_md5=wrong, without_sha=True)
    tree.generated("old file without sha.zip", 54_321, folder, without_sha=True)
    second = tree.folder("Second parent", folder)
    both = (folder.id, second.id)
    tree.text("in two folders.txt", "an old file with two parents\n", folder, parents=both)
    tree.text("of 1970.txt", "a second after the epoch\n", folder, modified_ms=1000)
    tree.text("of 2040.txt", "from the future\n", folder, modified_ms=2_208_988_800_123)
    tree.text(
        "rich metadata.txt",
        "described, starred, with properties\n",
        folder,
        starred=True,
        description="Line one\nline two — <b>bold</b>",
        properties={"project": "analytical engine", "ключ": "значение"},
        app_properties={"internal": "42"},
    )
    tree.text("shared by link.txt", "anyone may read\n", folder, shared=True, public=True)
    tree.folder("Empty folder", folder)
    tree.text("orphan.txt", "mine, but in no folder\n", parents=())


def add_refused(tree: Tree) -> None:
    """What Google refuses, each in its own way, and which a backup must report."""
    folder = tree.folder("Refused")
    tree.generated("cannot be downloaded.pdf", 30_000, folder, refusals=Refusals(no_download=True))
    tree.generated("flagged as abuse.zip", 20_000, folder, refusals=Refusals(abusive=True))
    tree.folder("Cannot be listed", folder, refusals=Refusals(no_children=True))


def add_nesting(tree: Tree) -> None:
    """Folders thirty deep, with a file at every tenth and at the bottom."""
    folder = tree.folder("Nesting")
    for level in range(1, NESTING + 1):
        folder = tree.folder(f"level {level}", folder)
        if level % 10 == 0:
            tree.text(f"at level {level}.txt", f"level {level}\n", folder)


def add_shortcuts(tree: Tree) -> None:
    """Shortcuts that work, dangle, and loop."""
    folder = tree.folder("Shortcuts")
    target = tree.text("target.txt", "the target of shortcuts\n", folder)
    tree.shortcut("to a file", target, folder)
    inner = tree.folder("Looping", folder)
    tree.shortcut("to my own folder", inner, inner)
    tree.shortcut("to its parent", folder, inner)
    gone = Item(made_id("deleted long ago"), "gone", "text/plain")
    tree.shortcut("dangling", gone, folder)
    own_id = made_id("shortcut to itself")
    itself = Item(own_id, "to itself", SHORTCUT, (folder.id,), tree.owner)
    itself.shortcut = (own_id, SHORTCUT, "")
    itself.created_ms = itself.modified_ms = folder.created_ms
    tree.corpus.items.add(itself)


def add_shared_with_me(tree: Tree) -> None:
    """Files and a folder that a colleague shared, which have no parents; one needs its key."""
    given: dict[str, Any] = {
        "owner": COLLEAGUE,
        "shared": True,
        "shared_with_me_ms": 1_700_000_000_000,
    }
    for number in (1, 2, 3):
        tree.generated(f"shared with me {number}.bin", 10_000 * number, parents=(), **given)
    tree.editor("Document shared with me", "document", parents=(), **given)
    locked = Refusals(no_download=True)
    tree.editor("View only document", "document", parents=(), refusals=locked, **given)
    keyed = tree.text("needs its key.txt", "opened with a resource key\n", parents=(), **given)
    keyed.resource_key = "0-" + made_id("resource key", 22)
    tree.shortcut("to a file with a key", keyed)
    abusive = Refusals(abusive=True)
    tree.generated("flagged, not mine.exe", 9_000, parents=(), refusals=abusive, **given)
    folder = tree.folder("Folder shared with me", parents=(), **given)
    inside = given | {"shared_with_me_ms": 0}
    for number in (1, 2):
        tree.text(f"in the shared folder {number}.txt", f"{number}\n", folder, **inside)


def add_trash(tree: Tree) -> None:
    """A trashed file, and a trashed folder whose content is trashed with it."""
    tree.text("thrown away.txt", "in the trash\n", trashed=True)
    folder = tree.folder("Thrown away folder", trashed=True)
    tree.text("thrown away with it.txt", "in it\n", folder, trashed=True, trashed_with_folder=True)


def fill_shared_drive(drive: SharedDrive) -> None:
    """A shared drive's content: folders, blobs, documents, duplicates, one trashed file."""
    tree = Tree.in_shared_drive(drive)
    for team in ("Ops", "Finance/2025"):
        folder = tree.folder(team)
        for number in range(1, 9):
            tree.generated(f"{number:02} record.pdf", 5_000 * number, folder)
        tree.editor("Plan", "document", folder)
    tree.text("same name.txt", "first\n")
    tree.text("same name.txt", "second\n")
    tree.editor("Numbers", "spreadsheet")
    tree.text(
        "thrown away.txt",
        "in the shared drive's trash\n",
        trashed=True,
        trashed_ms=1_750_000_000_000,
    )
    tree.add("Deep", FOLDER)
