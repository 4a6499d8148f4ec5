"""Triggers that note which files' rows differ from what the segments hold (models.Change).

In the database, so that no write can forget it: whoever changes a column that segments hold leaves
a row here, in the same transaction. Leases, heartbeats and marks are not among those columns.
SQLite: row triggers with column lists. PostgreSQL: one trigger a statement with transition tables,
which know no column list, so the columns are compared there. Whoever rebuilds one of these tables
on SQLite (an ALTER that Django does by copying) has to make its triggers anew.
"""

from django.db import migrations

FILE = [
    "parent_id", "name", "mime_type", "content", "owner_email", "drive_id", "extension",
    "key_name", "fingerprint", "move_due", "problem", "extra", "metadata", "remote_created_at",
    "remote_modified_at", "placed_at", "trashed_at", "vanished_at",
]
VERSION = [
    "revision", "current", "declared_size", "declared_md5", "declared_sha256", "modified_at",
    "size", "md5", "sha256", "content_type", "checksum_disputed", "state", "modified_by",
    "returned_at", "replaced_at",
]
SPAN = ["from_at", "until_at"]
PLACE = ["parent_id", "name", "from_at", "until_at"]
COPY = ["object_key", "store_version", "etag", "stored_at"]
STORED = "{0}.state IN ('stored', 'verified')"

SQLITE_NOTE = (
    "INSERT INTO syncapp_change (file_id, source_id, number, gone)"
    " SELECT {file}, {source}, random(), {gone}{origin}"
    " ON CONFLICT (file_id) DO UPDATE SET number = excluded.number"
)


def sqlite_note(row, file="file_id", gone="''", origin=" WHERE true"):
    return SQLITE_NOTE.format(
        file=f"{row}.{file}", source=f"{row}.source_id", gone=gone, origin=origin
    )


def sqlite_triggers():
    def one(table, event, note, condition=""):
        name = f"change_{table}_{event.split()[0].lower()}"
        when = f" WHEN {condition}" if condition else ""
        return f"CREATE TRIGGER {name} AFTER {event} ON syncapp_{table}{when} BEGIN {note}; END"

    def updated(columns):
        return f"UPDATE OF {', '.join(columns)}"

    fresh = ", gone = excluded.gone"
    yield one("file", "INSERT", sqlite_note("NEW", "id") + fresh)
    yield one("file", updated(FILE), sqlite_note("NEW", "id"))
    yield one("file", "DELETE", sqlite_note("OLD", "id", "OLD.remote_id") + fresh)
    for table, columns in (("version", VERSION), ("place", PLACE)):
        yield one(table, "INSERT", sqlite_note("NEW"))
        yield one(table, updated(columns), sqlite_note("NEW"))
        yield one(table, "DELETE", sqlite_note("OLD"))
    of_version = " FROM syncapp_version v WHERE v.id = {}.version_id"
    for event, row in (("INSERT", "NEW"), (updated(SPAN), "NEW"), ("DELETE", "OLD")):
        yield one("span", event, sqlite_note("v", origin=of_version.format(row)))
    for event, row in (("INSERT", "NEW"), ("DELETE", "OLD")):
        note = sqlite_note("v", origin=of_version.format(row))
        yield one("copy", event, note, STORED.format(row))
    differs = " OR ".join(f"NEW.{c} IS NOT OLD.{c}" for c in COPY)
    old, new = STORED.format("OLD"), STORED.format("NEW")
    note = sqlite_note("v", origin=of_version.format("NEW"))
    condition = f"({old}) <> ({new}) OR (({new}) AND ({differs}))"
    yield one("copy", updated(["state", *COPY]), note, condition)
    yield (
        "CREATE TRIGGER change_source_delete AFTER DELETE ON syncapp_source"
        " BEGIN DELETE FROM syncapp_change WHERE source_id = OLD.id; END"
    )


POSTGRES_NOTE = """
CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql
    -- A session keeps the first plan, and that may be of a single row, or of small tables. What is
    -- off is only made to look dear, and such a plan would be compiled at every call.
    SET enable_nestloop = off SET enable_seqscan = off SET jit = off
AS $$
BEGIN
    INSERT INTO syncapp_change (file_id, source_id, number, gone)
        SELECT noted.*, nextval('change_number'), '' FROM (
            SELECT DISTINCT {row}.{file}, {row}.source_id FROM {origin} ORDER BY 1
        ) noted
        ON CONFLICT (file_id) DO UPDATE SET number = excluded.number{fresh};
    RETURN NULL;
END $$;
CREATE TRIGGER {name} AFTER {event} ON syncapp_{table}
    REFERENCING {tables} FOR EACH STATEMENT EXECUTE FUNCTION {name}();
"""
NEW_ROWS, OLD_ROWS = "NEW TABLE AS new_rows", "OLD TABLE AS old_rows"
BOTH = "new_rows n JOIN old_rows o ON o.id = n.id"


def differ(columns):
    pairs = (", ".join(f"{row}.{c}" for c in columns) for row in "no")
    return "({}) IS DISTINCT FROM ({})".format(*pairs)


def postgres_triggers():
    def one(table, event, origin, row="n", file="file_id", fresh=""):
        tables = {"INSERT": NEW_ROWS, "DELETE": OLD_ROWS, "UPDATE": f"{OLD_ROWS} {NEW_ROWS}"}
        return POSTGRES_NOTE.format(
            name=f"change_{table}_{event.lower()}", table=table, event=event, origin=origin,
            row=row, file=file, fresh=fresh, tables=tables[event],
        )

    yield "CREATE SEQUENCE change_number"
    yield one("file", "INSERT", "new_rows n", file="id", fresh=", gone = ''")
    yield one("file", "UPDATE", f"{BOTH} WHERE {differ(FILE)}", file="id")
    gone = one("file", "DELETE", "old_rows o", "o", "id", ", gone = excluded.gone")
    gone = gone.replace("noted.*, nextval('change_number'), ''",
                        "noted.id, noted.source_id, nextval('change_number'), noted.remote_id")
    yield gone.replace("o.source_id FROM", "o.source_id, o.remote_id FROM")
    for table, columns in (("version", VERSION), ("place", PLACE)):
        yield one(table, "INSERT", "new_rows n")
        yield one(table, "UPDATE", f"{BOTH} WHERE {differ(columns)}")
        yield one(table, "DELETE", "old_rows n")
    # Each by its key: joined in any other way, all versions would be read for a single copy.
    version = (
        " CROSS JOIN LATERAL (SELECT file_id, source_id FROM syncapp_version"
        " WHERE id = n.version_id OFFSET 0) v WHERE "
    )
    yield one("span", "INSERT", f"new_rows n{version}true", "v")
    yield one("span", "UPDATE", f"{BOTH}{version}{differ(SPAN)}", "v")
    yield one("span", "DELETE", f"old_rows n{version}true", "v")
    yield one("copy", "INSERT", f"new_rows n{version}{STORED.format('n')}", "v")
    yield one("copy", "DELETE", f"old_rows n{version}{STORED.format('n')}", "v")
    old, new = STORED.format("o"), STORED.format("n")
    condition = f"(({old}) <> ({new}) OR (({new}) AND {differ(COPY)}))"
    yield one("copy", "UPDATE", f"{BOTH}{version}{condition}", "v")
    yield """
        CREATE FUNCTION change_source_delete() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN DELETE FROM syncapp_change WHERE source_id = OLD.id; RETURN NULL; END $$;
        CREATE TRIGGER change_source_delete AFTER DELETE ON syncapp_source
            FOR EACH ROW EXECUTE FUNCTION change_source_delete();
    """


def make_triggers(apps, schema_editor):
    made = {"sqlite": sqlite_triggers, "postgresql": postgres_triggers}
    for statement in made[schema_editor.connection.vendor]():
        schema_editor.execute(statement, params=None)


class Migration(migrations.Migration):
    dependencies = [("syncapp", "0001_initial")]
    operations = [migrations.RunPython(make_triggers)]
