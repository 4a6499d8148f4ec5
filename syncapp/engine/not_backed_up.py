"""Files that are not backed up though nothing failed; what lists or counts them asks here.

*Refused*: Google does not give it, as the listing says or as reading it has shown; a folder whose
content Google does not show is one, too. *Excluded*: left out by a rule, that is in Google's trash
without ever having been stored, or erased. What lies in Google's trash and is stored is neither.
"""

from __future__ import annotations

from django.db.models import Exists, OuterRef, Q, QuerySet

from syncapp.engine.absorb import IN_TRASH
from syncapp.engine.erased import ERASED
from syncapp.models import File, Version
from syncapp.types import Content

EXCLUDED = (IN_TRASH, ERASED)  # what a listing can say of a file that is not Google's refusal


def at_listing(files: QuerySet[File]) -> QuerySet[File]:
    """Those of the files that are not read at all: refused by Google, or excluded."""
    stored = Version.objects.filter(file=OuterRef("pk"), state=Version.State.STORED)
    kept = Q(problem=IN_TRASH) & (Q(content=Content.FOLDER) | Exists(stored))
    return files.filter(~Q(problem=""), vanished_at__isnull=True).exclude(kept)


def excluded(files: QuerySet[File]) -> QuerySet[File]:
    """Those of the files that a rule leaves out."""
    return at_listing(files).filter(problem__in=EXCLUDED)


def refused_at_listing(files: QuerySet[File]) -> QuerySet[File]:
    """Those of the files that Google's listing says it will not give."""
    # In the words of the index `file_refused`.
    named = files.filter(vanished_at__isnull=True).exclude(problem="").exclude(problem=IN_TRASH)
    return named.exclude(problem=ERASED)


def refused_at_reading(versions: QuerySet[Version]) -> QuerySet[Version]:
    """Those of the versions that are the present content and that Google refused to give."""
    return versions.filter(
        current=True,
        state=Version.State.REFUSED,
        file__problem="",
        file__vanished_at__isnull=True,
    )


def refused_files(source_id: int) -> int:
    """How many files of a source Google does not give."""
    # In the words of the indexes `file_refused` and `version_refused`.
    listed = refused_at_listing(File.objects.filter(source_id=source_id))
    read = refused_at_reading(Version.objects.filter(source_id=source_id))
    return listed.count() + read.count()
