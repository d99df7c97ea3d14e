"""The vault: AES-256-GCM with named keys. What is sealed for one purpose and person opens for no other."""

import json
import secrets
from collections.abc import Sequence
from typing import Final, Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bot.domain.people import SignInLink
from bot.domain.values import utc_text
from bot.keys import key_id
from bot.store.sign_ins import SignInRow

_FORMAT, _ID_BYTES, _NONCE_BYTES = b"\x01", 4, 12
_HEADER_BYTES: Final = len(_FORMAT) + _ID_BYTES + _NONCE_BYTES

AssociatedData = tuple[str, ...]
"""What something is sealed for. It is not stored, so a row that was moved or swapped does not open."""
Step = Literal["flow", "result"]


class CannotOpen(Exception):
    """The key is not in the vault, or this was sealed for something else, or it was changed."""


class Vault:
    """Seals with the newest key, opens with any. `keys` are 32 bytes each, newest first."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._ciphers = {key_id(key): AESGCM(key) for key in keys}
        self.key_ids: Sequence[str] = list(self._ciphers)
        """The names of all keys, newest first."""
        self.key_id = self.key_ids[0]
        """The key that seals now."""

    def seal(self, content: bytes, associated: AssociatedData) -> bytes:
        """Encrypt for exactly this purpose and person."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        header = _FORMAT + bytes.fromhex(self.key_id) + nonce
        return header + self._ciphers[self.key_id].encrypt(nonce, content, _encoded(header, associated))

    def open(self, sealed: bytes, associated: AssociatedData) -> bytes:
        """Decrypt, or raise CannotOpen."""
        header, content = sealed[:_HEADER_BYTES], sealed[_HEADER_BYTES:]
        cipher = self._ciphers.get(key_of(sealed))
        if len(header) != _HEADER_BYTES or not header.startswith(_FORMAT) or cipher is None:
            raise CannotOpen("sealed with a key that is not in VAULT_KEYS")
        try:
            return cipher.decrypt(header[-_NONCE_BYTES:], content, _encoded(header, associated))
        except InvalidTag:
            raise CannotOpen("sealed for something else, or changed") from None

    def opens(self, sealed: bytes, associated: AssociatedData) -> bool:
        """Return whether a key of the vault opens it."""
        try:
            self.open(sealed, associated)
        except CannotOpen:
            return False
        return True


def key_of(sealed: bytes) -> str:
    """Return the name of the key that something says it was sealed with."""
    return sealed[len(_FORMAT) : len(_FORMAT) + _ID_BYTES].hex()


def for_link(step: Step, link: SignInLink, state_digest: str) -> AssociatedData:
    """A flow or a result belongs to its link, owner, purpose and time, and to what the browser brings back.

    That is Microsoft's `state` for a flow, and both secrets of the browser for a result.
    """
    about = (link.team or "", link.user, link.request_id or "", link.digest, utc_text(link.expires_at))
    return (step, *about, state_digest)


def for_sign_in(row: SignInRow) -> AssociatedData:
    """A token cache belongs to the account and the Slack user who is linked to it, and to all that is kept
    of that sign-in: who it was, when, and where the audit log ended."""
    times = [None if at is None else utc_text(at) for at in (row.signed_in_at, row.authenticated_at)]
    names = (row.user, row.tenant, row.oid, row.username, row.name, *sorted(row.emails))
    return ("cache", *names, *map(str, (*times, row.log_seq)), row.log_hash)


def _encoded(header: bytes, associated: AssociatedData) -> bytes:
    """Return what is authenticated with the content; JSON, so that no two tuples read the same."""
    return header + json.dumps(associated).encode()
