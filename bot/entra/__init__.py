"""Approvers' sign-ins at Microsoft Entra, over MSAL, kept in an encrypted vault."""

from bot.entra.authority import Authority
from bot.entra.client import EntraClient
from bot.entra.codes import EntraCodes
from bot.entra.credential import Credential
from bot.entra.links import EntraLinks
from bot.entra.rotation import Rotated, rotate
from bot.entra.sign_ins import EntraSignIns
from bot.entra.vault import Vault, new_key

__all__ = [
    "Authority",
    "Credential",
    "EntraClient",
    "EntraCodes",
    "EntraLinks",
    "EntraSignIns",
    "Rotated",
    "Vault",
    "new_key",
    "rotate",
]
