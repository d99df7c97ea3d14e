"""`VAULT_KEYS`, and every key that is derived from them: one place to review."""

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES: Final = 32
PUBLIC_PREFIX: Final = "ed25519:"
"""What a public key begins with where people see it."""
_SIGNING, _SEALING = b"unlatch: sign rows of the audit log, 1", b"unlatch: seal rows, 1"
"""Keep derived keys apart from the vault's own and from each other."""


class BadKey(ValueError):
    """A text is no key; says what to do, and repeats nothing of it."""


@dataclass(frozen=True, slots=True, repr=False)
class Keys:
    """The keys of `VAULT_KEYS`, newest first, 32 bytes each."""

    vault: Sequence[bytes]
    """Encrypt sign-ins: the first one encrypts, all decrypt."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read comma-separated keys of base64url, newest first; raises BadKey."""
        keys = [_decode(part) for part in text.split(",") if part.strip()]
        if not keys:
            raise BadKey("VAULT_KEYS names no key; `unlatch vault new-key` makes one")
        return cls(keys)

    @property
    def signing_seeds(self) -> Sequence[bytes]:
        """Ed25519 seeds for the audit log, derived by HKDF-SHA256 from each vault key, in the same order."""
        return [_derive(key, _SIGNING) for key in self.vault]

    @property
    def sealer(self) -> "Sealer":
        """What seals rows, with keys derived likewise."""
        return Sealer({key_id(key): _derive(key, _SEALING) for key in self.vault})

    @property
    def public_keys(self) -> Sequence[str]:
        """The public halves, newest first."""
        keys = [Ed25519PrivateKey.from_private_bytes(seed).public_key() for seed in self.signing_seeds]
        return [public_key_text(key.public_bytes_raw()) for key in keys]

    def __repr__(self) -> str:
        """Return how many there are, never a key."""
        return f"Keys({len(self.vault)})"


class Sealer:
    """HMAC-SHA256 with named keys: the first one seals, all check."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self._keys = keys

    def seal(self, *parts: object) -> str:
        """Return a MAC of values that JSON can tell apart, with its key's name before it."""
        name = next(iter(self._keys))
        return f"{name}:{self._mac(name, parts)}"

    def fits(self, seal: str, *parts: object) -> bool:
        """Return whether this is the seal of these values, by any of the keys."""
        name, _, mac = seal.partition(":")
        return name in self._keys and hmac.compare_digest(mac.encode(), self._mac(name, parts).encode())

    def _mac(self, name: str, parts: Sequence[object]) -> str:
        content = json.dumps(parts, default=repr).encode()
        return hmac.new(self._keys[name], content, hashlib.sha256).hexdigest()


def key_id(key: bytes) -> str:
    """Return a key of the vault by name: the first 8 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(key).hexdigest()[:8]


def new_key() -> str:
    """Return a new key as `VAULT_KEYS` takes it: 32 random bytes in base64url."""
    return _encode(secrets.token_bytes(KEY_BYTES))


def public_key_text(raw: bytes) -> str:
    """Return a public key as an auditor is given it, `ed25519:` and base64url."""
    return PUBLIC_PREFIX + _encode(raw)


def parse_public_key(text: str) -> bytes:
    """Read a public key; raises BadKey."""
    return _decode(text.strip().removeprefix(PUBLIC_PREFIX), "a public key")


def _derive(key: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=purpose).derive(key)


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _decode(text: str, what: str = "a key in VAULT_KEYS") -> bytes:
    text = text.strip()
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise BadKey(f"{what} is not {KEY_BYTES} bytes in base64url; `unlatch vault new-key` makes one")
    return key
