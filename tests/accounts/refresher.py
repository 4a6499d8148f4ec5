"""One worker process of the stampede: `python -m tests.accounts.refresher ACCOUNT THREADS`.

Writes "ready", waits for a line on standard input, then every thread asks for a token at once.
"""

from __future__ import annotations

import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import django


def main() -> None:
    """Print the tokens (or errors) that the threads got, as JSON."""
    django.setup()
    from django.db import connection

    from accounts.tokens import fresh_access_token
    from syncapp.errors import BackupError

    account, threads = int(sys.argv[1]), int(sys.argv[2])
    start = threading.Barrier(threads)

    def ask(_: int) -> str:
        start.wait()
        try:
            return fresh_access_token(account, rejected="rejected").value
        except BackupError as error:
            return f"{type(error).__name__}: {error}"
        finally:
            connection.close()

    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    with ThreadPoolExecutor(threads) as pool:
        json.dump(list(pool.map(ask, range(threads))), sys.stdout)


if __name__ == "__main__":
    main()
