"""A source whose row can't be worked with is stopped and told; it keeps no other from its turn.

Rows may come from an older database or be changed by hand. Must not take what the database itself
does (away, locked) for one source's fault.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import DataError

from syncapp.engine import runs
from syncapp.errors import ConfigurationError
from syncapp.models import Source

log = logging.getLogger(__name__)
UNUSABLE = "unusable_settings"
# What a value in a row can bring about.
_FAULTS = (ArithmeticError, AttributeError, DataError, LookupError, TypeError, ValueError)


@contextmanager
def stops_alone(source: Source) -> Iterator[None]:
    """What goes wrong in here with the source's settings stops the source, and nothing else."""
    try:
        yield
    except ConfigurationError as error:  # such as a time zone that this system no longer knows
        runs.block(source, error)
    except _FAULTS as error:
        message = (
            f"Its settings can't be worked with ({type(error).__name__}: {error}). Once they are "
            "right, change them or sync now; else it is tried again after a day."
        )
        if runs.block(source, ConfigurationError(message, code=UNUSABLE)):
            log.exception("source.unusable source=%d", source.pk)
