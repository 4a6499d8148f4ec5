"""One flag that all processes of a worker share: finish what is in flight, take up no more.

Made before the queue forks its workers, so that they inherit it; a signal handler only sets it.
"""

from __future__ import annotations

from multiprocessing import get_context

_flag = get_context("fork").Value("b", 0, lock=False)


def ask() -> None:
    """Take up no more work."""
    _flag.value = 1


def asked() -> bool:
    """Whether to stop taking up work."""
    return bool(_flag.value)
