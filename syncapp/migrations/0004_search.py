"""Indexes for finding files by any stretch of their name, present or former, source by source.

SQLite: FTS5 with trigrams beside the table, filled by triggers; about 25 µs a new name. It holds
names as `keys.fold` has them (the function `folded`, which every connection is given), and not a
second time. A row's number has the source, then whether it is a folder, then the file's or place's
id in 40 bits: so a stretch of it is one source's. PostgreSQL: indexes of trigrams with the source
in front; where the extensions may not be created, searching works and reads the source's rows.
"""

from django.db import migrations

TABLES = ("file", "place")


def create(apps, schema_editor):
    for table in TABLES:
        if schema_editor.connection.vendor == "postgresql":
            _postgres(schema_editor, table)
        else:
            for statement in _sqlite(table):
                schema_editor.execute(statement)


FOLDER = {"file": "({row}.content = 'folder')", "place": "0"}
WATCHED = {"file": ("name", "content"), "place": ("name",)}


def _sqlite(table):
    index, of = f"syncapp_{table}_names", f"syncapp_{table}"

    def number(row):
        return f"(({row}.source_id << 1 | {FOLDER[table].format(row=row)}) << 40) + {row}.id"

    gone = (
        f"INSERT INTO {index}({index}, rowid, name)"
        f" VALUES ('delete', {number('OLD')}, folded(OLD.name))"
    )
    new = f"INSERT INTO {index}(rowid, name) VALUES ({number('NEW')}, folded(NEW.name))"
    yield (
        f"CREATE VIRTUAL TABLE {index} USING fts5(name, content='', tokenize='trigram',"
        " columnsize=0)"
    )
    yield f"INSERT INTO {index}(rowid, name) SELECT {number(of)}, folded(name) FROM {of}"
    yield f"CREATE TRIGGER {index}_insert AFTER INSERT ON {of} BEGIN {new}; END"
    yield f"CREATE TRIGGER {index}_delete AFTER DELETE ON {of} BEGIN {gone}; END"
    differs = " OR ".join(f"OLD.{column} IS NOT NEW.{column}" for column in WATCHED[table])
    yield (
        f"CREATE TRIGGER {index}_update AFTER UPDATE OF {', '.join(WATCHED[table])} ON {of}"
        f" WHEN {differs} BEGIN {gone}; {new}; END"
    )


def _postgres(schema_editor, table):
    def index(name, condition=""):
        return (
            f" CREATE INDEX {name} ON syncapp_{table} USING gin"
            f" (source_id, normalize(name, NFC) gin_trgm_ops){condition};"
        )

    # Not on SQLite: without statistics it would take this one for every condition on a source.
    schema_editor.execute(
        f"CREATE INDEX syncapp_{table}_by_age ON syncapp_{table} (source_id, id)"
    )
    made = index(f"syncapp_{table}_names")
    if table == "file":
        made += index("syncapp_folder_names", " WHERE content = 'folder'")
    schema_editor.execute(
        "DO $do$ BEGIN"
        " CREATE EXTENSION IF NOT EXISTS pg_trgm;"
        f" CREATE EXTENSION IF NOT EXISTS btree_gin;{made}"
        " EXCEPTION WHEN insufficient_privilege OR undefined_file THEN"
        " RAISE NOTICE 'no pg_trgm and btree_gin: searching by name will be slow';"
        " END $do$"
    )


def drop(apps, schema_editor):
    for table in TABLES:
        index = f"syncapp_{table}_names"
        if schema_editor.connection.vendor == "postgresql":
            schema_editor.execute(
                f"DROP INDEX IF EXISTS {index}, syncapp_{table}_by_age, syncapp_folder_names"
            )
            continue
        for event in ("insert", "delete", "update"):
            schema_editor.execute(f"DROP TRIGGER IF EXISTS {index}_{event}")
        schema_editor.execute(f"DROP TABLE IF EXISTS {index}")


class Migration(migrations.Migration):
    dependencies = [("syncapp", "0003_catalog_changes")]
    operations = [migrations.RunPython(create, drop)]
