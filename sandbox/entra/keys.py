"""The key that signs tokens, and how a browser or a client gets to know it."""

import json
from collections.abc import Mapping
from functools import cache
from typing import Self

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

KEY_BITS = 2048


class SigningKey:
    """An RSA key with a name; never leaves the process."""

    def __init__(self, private: rsa.RSAPrivateKey, kid: str) -> None:
        self.kid = kid
        self.public = private.public_key()
        self._private = private

    @classmethod
    def fresh(cls, kid: str) -> Self:
        """Make a new key (about a tenth of a second)."""
        return cls(rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS), kid)

    def sign(self, claims: Mapping[str, object]) -> str:
        """Return the claims as a compact RS256 JWT."""
        return jwt.encode(dict(claims), self._private, algorithm="RS256", headers={"kid": self.kid})

    def jwk(self) -> dict[str, object]:
        """The public half, as an entry of a JWKS document."""
        public: dict[str, object] = json.loads(RSAAlgorithm.to_jwk(self.public))
        return {
            "kty": "RSA",
            "use": "sig",
            "alg": "RS256",
            "kid": self.kid,
            "n": public["n"],
            "e": public["e"],
        }


@cache
def key_of_this_process() -> SigningKey:
    """The key that every Entra of this process signs with: made once, because making one takes time."""
    return SigningKey.fresh("sandbox-1")
