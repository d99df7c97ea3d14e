"""The tenant behind Graph: its phones, their owners, the apps found on them, who holds which role."""

from collections.abc import Iterable
from datetime import datetime

from sandbox.cast import TENANT_ID, Account, Cast
from sandbox.intune import refusals
from sandbox.intune.catalogue import APPS, App, phones_of
from sandbox.intune.phones import Phone


class Fleet:
    """Finds things by the keys of Graph's addresses; what is not there is a GraphError."""

    def __init__(self, cast: Cast, now: datetime) -> None:
        people = [*cast.accounts, *cast.phone_owners]
        self.users = {account.oid: account for account in people if account.tenant_id == TENANT_ID}
        self.phones = {phone.id: phone for phone in phones_of(cast, now)}
        self.apps = {app.id: app for app in APPS}
        self.roles = {account.oid: account.reset_passcode for account in self.users.values()}

    def user(self, key: str) -> Account:
        """By object id or user principal name."""
        found = self.users.get(key.lower()) or self._by_upn(key)
        if found is None:
            raise refusals.no_user(key)
        return found

    def app(self, key: str) -> App:
        if key.lower() not in self.apps:
            raise refusals.no_app()
        return self.apps[key.lower()]

    def phone(self, key: str, among: Iterable[Phone]) -> Phone:
        """By id, only among these; 404 for everything else, as out of scope is at Intune."""
        found = next((phone for phone in among if phone.id == key.lower()), None)
        if found is None:
            raise refusals.no_device()
        return found

    def everywhere(self) -> list[Phone]:
        return list(self.phones.values())

    def of_user(self, user: Account) -> list[Phone]:
        return [phone for phone in self.phones.values() if phone.owner.oid == user.oid]

    def with_app(self, app: App) -> list[Phone]:
        return [phone for phone in self.phones.values() if app.id in phone.apps]

    def settle(self, now: datetime) -> None:
        """Let everything that is due have happened."""
        for phone in self.phones.values():
            phone.settle(now)

    def _by_upn(self, upn: str) -> Account | None:
        wanted = upn.casefold()
        return next((user for user in self.users.values() if user.upn.casefold() == wanted), None)
