"""What can go wrong, told by who must act. Adapters translate at their boundary (`raise … from`).

    BackupError
    ├── TransientError       wait: the same call may succeed later
    │   ├── RateLimited      the service asks for a slower pace (`retry_after_s`)
    │   ├── Unavailable      5xx, connection lost, time-out, short read
    │   │   └── LetAlone     it failed again and again: not asked before its next try
    │   ├── Deferred         this one file must wait for hours (download quota)
    │   ├── CursorRejected   the change log can't be read on from there: list everything again
    │   └── Interrupted      the worker itself was told to stop: nothing has failed
    ├── PermanentError       skip this file; the run ends "with warnings"
    │   ├── NotFound         the remote file or the object is not there
    │   └── ObjectLocked     the store protects the object until a date: nothing is wrong
    ├── IntegrityError       bytes differ: read again once, then alarm; never mark as stored
    └── ConfigurationError   stop this source or destination and ask a person
        ├── ReconnectRequired   the account's consent is gone: link it again
        ├── MassChange          too much would be trashed or replaced: a person must agree
        └── QuotaExhausted      the whole source must wait for the next day

Every error has a stable `code` (kept in the database, counted, filtered on) and a message that is a
sentence for the person who must act: what, where, what to do. Never a token, key or signed URL.
"""

from datetime import datetime


class BackupError(Exception):
    """Base of all expected failures. `code` is a stable lower_snake_case word."""

    code = "error"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code


class TransientError(BackupError):
    """Wait and try again; `retry_after_s` is the service's own wish, if it named one."""

    code = "transient"

    def __init__(
        self, message: str, *, code: str | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message, code=code)
        self.retry_after_s = retry_after_s


class RateLimited(TransientError):
    """The service asks for a slower pace; never a failure of the file."""

    code = "rate_limited"


class Unavailable(TransientError):
    """The service did not answer, or answered with a fault of its own."""

    code = "unavailable"


class LetAlone(Unavailable):
    """Nothing was asked of the service: others have just found that it does not work."""

    code = "let_alone"


class Deferred(TransientError):
    """Only this file has to wait, for hours; the others go on."""

    code = "download_quota_exceeded"


class CursorRejected(TransientError):
    """A saved position in a change log is refused; a full scan finds what it would have told."""

    code = "cursor_rejected"


class Interrupted(TransientError):
    """Paused, cancelled or draining: given up at once, and no attempt is counted."""

    code = "interrupted"


class PermanentError(BackupError):
    """Trying again will not help; the file is recorded with this reason."""

    code = "refused"


class NotFound(PermanentError):
    """The remote file or the stored object does not exist (any more)."""

    code = "not_found"


class ObjectLocked(PermanentError):
    """The store itself protects the object from removal, until `until`: shown, never a fault."""

    code = "object_locked"

    def __init__(self, message: str, *, until: datetime) -> None:
        super().__init__(message)
        self.until = until


class IntegrityError(BackupError):
    """Bytes are not what was promised. Nothing is recorded as stored."""

    code = "checksum_mismatch"


class ConfigurationError(BackupError):
    """A person must change a setting, a key or a permission before this can go on."""

    code = "configuration"


class ReconnectRequired(ConfigurationError):
    """Google no longer accepts the account's consent; the message names the likely cause."""

    code = "reconnect_required"


class MassChange(ConfigurationError):
    """A run would change more of what is stored than its guard allows without asking."""

    code = "mass_change"


class QuotaExhausted(ConfigurationError):
    """The project's daily limit at Google is used up."""

    code = "daily_limit_exceeded"
