"""Which permissions exist, and what a request for some of them is granted."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Self

from sandbox.entra import refusals

GRAPH: Final = "https://graph.microsoft.com"
OPENID_SCOPES: Final = frozenset({"openid", "profile", "email", "offline_access"})
GRAPH_PERMISSIONS: Final = frozenset(
    {
        "User.Read",
        "User.ReadBasic.All",
        "User.Read.All",
        "Directory.Read.All",
        "GroupMember.Read.All",
        "DeviceManagementManagedDevices.Read.All",
        "DeviceManagementManagedDevices.ReadWrite.All",
        "DeviceManagementManagedDevices.PrivilegedOperations.All",
    }
)
CONSENTED: Final = frozenset(
    {
        "User.Read",
        "User.ReadBasic.All",
        "DeviceManagementManagedDevices.Read.All",
        "DeviceManagementManagedDevices.PrivilegedOperations.All",
    }
)
"""What the administrator of the sandbox's tenant has granted to the app, for everybody."""


@dataclass(frozen=True, slots=True)
class Scopes:
    """What was asked for, in the order and spelling it was asked in."""

    asked: tuple[str, ...]

    @classmethod
    def parse(cls, text: str, *, app: str, consented: Collection[str]) -> Self:
        """Read a `scope` parameter, or refuse what does not exist or was not consented to."""
        scopes = cls(tuple(dict.fromkeys(text.split())))
        if not scopes.asked:
            raise refusals.missing("scope")
        for scope in scopes.asked:
            _check(scope, app, consented)
        return scopes

    @property
    def offline(self) -> bool:
        return "offline_access" in self.asked

    @property
    def identity(self) -> bool:
        return "openid" in self.asked

    def permissions(self, consented: Collection[str]) -> list[str]:
        """The Graph permissions by their short names, as in the `scp` claim."""
        names = [_short(scope) for scope in self.asked if scope not in OPENID_SCOPES]
        return sorted(consented) if ".default" in names else sorted(names)

    def granted(self) -> str:
        """The `scope` of the answer: spelled as asked, without offline_access, as Entra does."""
        return " ".join(scope for scope in self.asked if scope != "offline_access")

    def within(self, wider: "Scopes") -> bool:
        """Whether every permission here was part of the wider set."""
        return {_short(s) for s in self.asked} <= {_short(s) for s in wider.asked} | OPENID_SCOPES


def _short(scope: str) -> str:
    return scope.removeprefix(f"{GRAPH}/")


def _check(scope: str, app: str, consented: Collection[str]) -> None:
    if scope in OPENID_SCOPES:
        return
    name = _short(scope)
    if "/" in name:
        raise refusals.invalid_scope(scope)
    if name == ".default":
        return
    if name not in GRAPH_PERMISSIONS:
        raise refusals.unknown_scope(name, app)
    if name not in consented:
        raise refusals.no_consent(name, app)
