"""The vault: AES-256-GCM with named keys; what is sealed for one purpose and person opens for no other."""

import base64
import binascii
import hashlib
import json
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES: Final = 32
_FORMAT: Final = b"\x01"
_ID_BYTES: Final = 4
_NONCE_BYTES: Final = 12
_HEADER_BYTES: Final = len(_FORMAT) + _ID_BYTES + _NONCE_BYTES


class CannotOpen(Exception):
    """The key is not in the vault, or this was sealed for something else, or it was changed."""


class BadKey(ValueError):
    """A text of `VAULT_KEYS` is no key."""


def new_key() -> str:
    """A fresh key, as `VAULT_KEYS` wants it: 32 random bytes in base64url."""
    return base64.urlsafe_b64encode(secrets.token_bytes(KEY_BYTES)).decode().rstrip("=")


@dataclass(frozen=True, slots=True, repr=False)
class Key:
    """One key. `id` names it without revealing it: the first 8 hexadecimal digits of its SHA-256."""

    id: str
    cipher: AESGCM

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read one key, or raise BadKey with a sentence that does not repeat it."""
        padded = text + "=" * (-len(text) % 4)
        try:
            key = base64.b64decode(padded, altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if len(key) != KEY_BYTES:
            raise BadKey(
                "a key in VAULT_KEYS is not 32 bytes in base64url; `unlatch vault new-key` makes one"
            )
        return cls(hashlib.sha256(key).hexdigest()[: _ID_BYTES * 2], AESGCM(key))

    def __repr__(self) -> str:
        """The name only."""
        return f"Key({self.id})"


class Vault:
    """Seals with the newest key, opens with any. `bound_to` says what for and for whom; it is not stored."""

    def __init__(self, keys: Iterable[str]) -> None:
        """Read the keys, newest first; raises BadKey."""
        parsed = [Key.parse(key) for key in (text.strip() for text in keys) if key]
        if not parsed:
            raise BadKey("VAULT_KEYS names no key; `unlatch vault new-key` makes one")
        self._newest = parsed[0]
        self._keys = {key.id: key for key in parsed}

    @classmethod
    def parse(cls, keys: str) -> Self:
        """Read `VAULT_KEYS`: comma-separated keys, newest first; raises BadKey."""
        return cls(keys.split(","))

    @property
    def key_id(self) -> str:
        """The key that seals now."""
        return self._newest.id

    @property
    def key_ids(self) -> Sequence[str]:
        """The names of all keys, newest first."""
        return list(self._keys)

    def seal(self, content: bytes, *, bound_to: tuple[str, ...]) -> bytes:
        """Encrypt for exactly this purpose and person."""
        header = _FORMAT + bytes.fromhex(self._newest.id) + secrets.token_bytes(_NONCE_BYTES)
        nonce = header[-_NONCE_BYTES:]
        return header + self._newest.cipher.encrypt(nonce, content, _associated(header, bound_to))

    def open(self, sealed: bytes, *, bound_to: tuple[str, ...]) -> bytes:
        """Decrypt, or raise CannotOpen."""
        header = sealed[:_HEADER_BYTES]
        key = self._keys.get(key_of(sealed))
        if len(header) != _HEADER_BYTES or not header.startswith(_FORMAT) or key is None:
            raise CannotOpen("sealed with a key that is not in VAULT_KEYS")
        try:
            return key.cipher.decrypt(
                header[-_NONCE_BYTES:], sealed[_HEADER_BYTES:], _associated(header, bound_to)
            )
        except InvalidTag:
            raise CannotOpen("sealed for something else, or changed") from None


def key_of(sealed: bytes) -> str:
    """The name of the key that something says it was sealed with."""
    return sealed[len(_FORMAT) : len(_FORMAT) + _ID_BYTES].hex()


def _associated(header: bytes, bound_to: tuple[str, ...]) -> bytes:
    """What is authenticated beside the content; JSON, so that no two tuples read the same."""
    return header + json.dumps(bound_to).encode()
