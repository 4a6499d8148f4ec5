"""Google's signing key in the stand-in: ID tokens (RS256), JWKS, and certificates by key id.

Made new for every process; signs nothing but ID tokens. Rules followed: OpenID Connect Core 1.0
§2 and §3.1.3.6, RFC 7515, RFC 7517.
"""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

_SUBJECT = "federated-signon.system.gserviceaccount.com"


class SigningKey:
    """One RSA key pair with the two shapes in which Google publishes it."""

    @cached_property
    def _private(self) -> rsa.RSAPrivateKey:
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)

    @cached_property
    def kid(self) -> str:
        """The key's id, as 40 hex digits."""
        modulus = self._private.public_key().public_numbers().n
        return hashlib.sha1(str(modulus).encode()).hexdigest()

    def sign(self, claims: dict[str, Any]) -> str:
        """The claims as a compact JWT."""
        header = {"alg": "RS256", "kid": self.kid, "typ": "JWT"}
        signed = f"{_part(header)}.{_part(claims)}"
        signature = self._private.sign(signed.encode(), padding.PKCS1v15(), SHA256())
        return f"{signed}.{b64url(signature)}"

    def jwks(self) -> dict[str, Any]:
        """The key as a JSON Web Key Set (`/oauth2/v3/certs`)."""
        numbers = self._private.public_key().public_numbers()
        key = {
            "kty": "RSA",
            "alg": "RS256",
            "use": "sig",
            "kid": self.kid,
            "n": _b64uint(numbers.n),
            "e": _b64uint(numbers.e),
        }
        return {"keys": [key]}

    def certificates(self) -> dict[str, str]:
        """The key as PEM certificates by key id (`/oauth2/v1/certs`, what allauth reads)."""
        return {self.kid: self._certificate}

    @cached_property
    def _certificate(self) -> str:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _SUBJECT)])
        start = datetime.now(UTC) - timedelta(days=1)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._private.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + timedelta(days=16))
            .sign(self._private, SHA256())
        )
        return certificate.public_bytes(Encoding.PEM).decode()


def at_hash(access_token: str) -> str:
    """The left half of the access token's SHA-256, as the ID token carries it."""
    return b64url(hashlib.sha256(access_token.encode()).digest()[:16])


def b64url(raw: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _part(value: dict[str, Any]) -> str:
    return b64url(json.dumps(value, separators=(",", ":")).encode())


def _b64uint(number: int) -> str:
    return b64url(number.to_bytes((number.bit_length() + 7) // 8, "big"))
