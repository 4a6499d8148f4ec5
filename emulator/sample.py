"""The sample account: about 300 files, nasty in every way that Google's Drive allows.

Deterministic: the same ids, names, times and bytes in every process. Two accounts: Ada, with
everything, and Grace, with a small Drive of her own for tests that switch accounts.
"""

from __future__ import annotations

from emulator.items import User
from emulator.sample_parts import (
    add_duplicates,
    add_edge_cases,
    add_everyday_files,
    add_hostile_names,
    add_nesting,
    add_refused,
    add_shared_with_me,
    add_shortcuts,
    add_trash,
    add_workspace,
    fill_shared_drive,
)
from emulator.sample_tree import Tree
from emulator.world import Account

ADA = User(
    "108204268033311374519",
    "ada.lovelace@example.com",
    "Ada Lovelace",
    "https://lh3.googleusercontent.com/a/ada=s64",
)
GRACE = User(
    "113906461236428570032",
    "grace.hopper@example.com",
    "Grace Hopper",
    "https://lh3.googleusercontent.com/a/grace=s64",
)


def sample_accounts() -> list[Account]:
    """Ada's and Grace's accounts, built anew."""
    return [_ada(), _grace()]


def _ada() -> Account:
    tree = Tree("ada", ADA)
    add_everyday_files(tree)
    add_hostile_names(tree)
    add_duplicates(tree)
    add_workspace(tree)
    add_edge_cases(tree)
    add_refused(tree)
    add_nesting(tree)
    add_shortcuts(tree)
    add_shared_with_me(tree)
    add_trash(tree)
    account = Account(ADA, tree.corpus)
    for name in ("Team: Ops & Finance", "Empty shared drive"):
        drive = Tree.shared_drive("ada", name)
        account.drives[drive.id] = drive
    fill_shared_drive(next(iter(account.drives.values())))
    return account


def _grace() -> Account:
    tree = Tree("grace", GRACE)
    folder = tree.folder("Compilers")
    for number in range(1, 9):
        tree.generated(f"notes {number}.bin", 2000 * number, folder)
    tree.text("README.txt", "Grace's own Drive.\n")
    tree.editor("A document of Grace", "document")
    return Account(GRACE, tree.corpus)
