"""The notary: signs where the record ends, with Ed25519 keys that are derived from the vault's.

Whoever can write to the database, and to nothing else, cannot make such a signature. Whoever has a public key
can check one.
"""

import base64
import binascii
import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from bot.domain.chain import Head, Tip, written
from bot.domain.examination import Trust

PREFIX: Final = "ed25519:"
"""What a public key begins with where people see it."""
_PURPOSE: Final = b"unlatch: sign heads of the record, 1"
"""Keeps this key apart from the vault's own and from any other that is made of it."""
_KEY_BYTES: Final = 32


class Notary:
    """Signs with the key of the newest vault key."""

    def __init__(self, vault_keys: Iterable[str]) -> None:
        """Take the keys of `VAULT_KEYS`, newest first, each 32 bytes in base64url; raises ValueError."""
        self._keys = [_derived(key) for key in vault_keys]

    @property
    def public_keys(self) -> Sequence[str]:
        """One a vault key, newest first: what an auditor is given."""
        return [_shown(key.public_key()) for key in self._keys]

    def sign(self, tip: Tip, at: datetime) -> Head:
        """The head of this tip."""
        key = self._keys[0]
        head = Head(
            seq=tip.seq, hash=tip.hash, at=written(at), key=_name(_raw(key.public_key())), signature=""
        )
        signature = base64.b64encode(key.sign(head.signed)).decode()
        return Head(seq=head.seq, hash=head.hash, at=head.at, key=head.key, signature=signature)


class Witness:
    """Knows public keys, and says what a head's signature is worth."""

    def __init__(self, public_keys: Iterable[str]) -> None:
        """Take keys as `unlatch audit key` prints them; raises ValueError with a sentence."""
        raw = [_read(key) for key in public_keys]
        self._keys = {_name(key): Ed25519PublicKey.from_public_bytes(key) for key in raw}

    def trust(self, head: Head) -> Trust:
        """Whether the head was signed as it stands, by a key that is known here."""
        key = self._keys.get(head.key)
        if key is None:
            return Trust.UNKNOWN
        try:
            key.verify(base64.b64decode(head.signature, validate=True), head.signed)
        except (InvalidSignature, ValueError):
            return Trust.BAD
        return Trust.GOOD


def _derived(vault_key: str) -> Ed25519PrivateKey:
    hkdf = HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=_PURPOSE)
    return Ed25519PrivateKey.from_private_bytes(hkdf.derive(_decoded(vault_key, "a key in VAULT_KEYS")))


def _read(shown: str) -> bytes:
    return _decoded(shown.strip().removeprefix(PREFIX), "a public key")


def _decoded(text: str, what: str) -> bytes:
    """32 bytes of base64url, or ValueError with a sentence that repeats nothing."""
    text = text.strip()
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != _KEY_BYTES:
        raise ValueError(f"{what} is not {_KEY_BYTES} bytes in base64url")
    return key


def _raw(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes_raw()


def _shown(key: Ed25519PublicKey) -> str:
    return PREFIX + base64.urlsafe_b64encode(_raw(key)).decode().rstrip("=")


def _name(raw: bytes) -> str:
    """A public key's name: the first 16 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(raw).hexdigest()[:16]
