"""Which certificate authorities a host's certificate needs, out of a whole file of them.

libcurl reads the file for every connection: 4 ms of CPU and 0.6 MB each for the usual hundred. Once
a host was verified against all of them, its further connections get only those that its chain
names: a part of what is trusted, never more. Where that is not enough, all are asked again.
"""

from __future__ import annotations

import re
import ssl
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from cryptography import x509

SMALL_BYTES = 20_000  # a file as short as that costs less to read than to choose from
_BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


@dataclass
class Trust:
    """The authorities of one file, and what is known of each host; shared by threads.

    `learning` is held while a first connection to a host is made, so that not all of the first
    ones read the whole file.
    """

    path: str
    learning: threading.Lock = field(default_factory=threading.Lock)
    _enough: dict[str, bytes] = field(default_factory=dict)

    def enough_for(self, origin: str) -> bytes:
        """The authorities (PEM) that were enough for this host so far; b"" if all are needed."""
        return self._enough.get(origin, b"")

    def worth_learning(self, origin: str) -> bool:
        """Whether the next connection there should tell the chain that it was shown."""
        return (
            origin.startswith("https:")
            and origin not in self._enough
            and Path(self.path).stat().st_size > SMALL_BYTES
        )

    def learn(self, origin: str, chain: Sequence[str]) -> None:
        """A connection was verified against all; `chain` is what the host showed (PEM)."""
        try:
            shown = [x509.load_pem_x509_certificate(pem.encode()) for pem in chain]
            issuers = {certificate.issuer.public_bytes() for certificate in shown}
        except ValueError:  # OpenSSL took what this library does not: all are asked, as before
            issuers = set()
        # An authority's certificate holds its own name, as its children's hold it, byte for byte.
        self._enough[origin] = "\n".join(
            block
            for block in _BLOCK.findall(Path(self.path).read_text(errors="replace"))
            if any(issuer in ssl.PEM_cert_to_DER_cert(block) for issuer in issuers)
        ).encode()

    def doubt(self, origin: str) -> bool:
        """What was thought to be enough is not: ask all from now on. False if all were asked."""
        known, self._enough[origin] = self._enough.get(origin, b""), b""
        return bool(known)


@lru_cache(maxsize=16)
def trust_in(path: str) -> Trust:
    """One for the whole process, so that what was learned serves every account."""
    return Trust(path)
