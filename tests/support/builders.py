"""The people, phones and requests that tests are about.

Mei asks; Ken and Aiko may approve; Leo owns the locked phone and is in no audience. Gus is a guest, Olga
works for another organisation, Robo is a bot, Dora's account is deactivated.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from bot.domain.device import Device, Effect, Platform
from bot.domain.people import Account, Actor, Audience, AudienceKind, Kind, Person
from bot.domain.policy import Rules
from bot.domain.request import Approval, Attempt, ResetRequest, Status
from bot.domain.target import Target, TargetKind
from bot.domain.values import ChannelId, DeviceId, RequestId, TeamId, UserId
from bot.timing import Timing
from tests.support.clock import NOON

TEAM = TeamId("T0CONTOSO")
OTHER_TEAM = TeamId("T0FABRIKAM")
CHANNEL = ChannelId("C0APPROVERS")
IN_CHANNEL = Audience.channel(CHANNEL)
ON_CALL = Audience(AudienceKind.USERGROUP, "S0ONCALL")
RULES = Rules(approver_channel=CHANNEL, requesters=(IN_CHANNEL,))
TENANT = "contoso-tenant"


def a_person(name: str, kind: Kind = Kind.MEMBER, team: TeamId = TEAM) -> Person:
    """Return a person whose Slack id and address come from the name."""
    domain = "contoso.com" if team == TEAM else "fabrikam.com"
    user = UserId(f"U0{name.upper()}")
    return Person(id=user, kind=kind, name=name, email=f"{name.lower()}@{domain}")


MEI, KEN, AIKO, LEO = map(a_person, ("Mei", "Ken", "Aiko", "Leo"))
GUS = a_person("Gus", Kind.GUEST)
OLGA = a_person("Olga", Kind.OUTSIDER, OTHER_TEAM)
ROBO = a_person("Robo", Kind.BOT)
DORA = a_person("Dora", Kind.DEACTIVATED)
CAST = (MEI, KEN, AIKO, LEO, GUS, OLGA, ROBO, DORA)


def members() -> dict[Audience, set[UserId]]:
    """Guests and outsiders are in the channel as well: to be there must not be enough."""
    return {IN_CHANNEL: {person.id for person in CAST if person is not LEO}, ON_CALL: {KEN.id}}


def actor(person: Person) -> Actor:
    return Actor(user=person.id, team=OTHER_TEAM if person.kind is Kind.OUTSIDER else TEAM)


def account_of(person: Person, *, at: datetime = NOON, **changes: object) -> Account:
    email = person.email or ""
    values = {"tenant": TENANT, "oid": f"oid-{person.name}", "name": person.name, "signed_in_at": at}
    return Account(**(values | {"username": email, "emails": frozenset({email})} | changes))


def leos(number: int, name: str, platform: Platform, **more: str) -> Device:
    id_ = DeviceId("-".join(str(number) * digits for digits in (8, 4, 4, 4, 12)))
    usual = {"enrollment": "androidEnterpriseDedicatedDevice", "owner_upn": "leo@contoso.com"}
    return Device(id=id_, name=f"Leo's {name}", platform=platform, **usual | more)


LEOS_PHONE = leos(1, "Pixel", Platform.ANDROID)
LEOS_TABLET = leos(2, "iPad", Platform.IPADOS, enrollment="appleBulkWithUser", agent="mdm")
LEOS_LAPTOP = leos(3, "laptop", Platform.WINDOWS, os_version="11")


TIMING = Timing()
LATER = NOON + timedelta(minutes=1)
ASKED = {"delivery": "trigger-1", "asked_by": MEI.id, "asked_by_team": TEAM, "reason": "Locked out"}
ASKED |= dict.fromkeys(("asked_at", "changed_at", "next_at"), NOON)
TARGET = Target(TargetKind.PERSON, "leo@contoso.com")
RECEIVED = ResetRequest(id=RequestId("a1b2c3" + "0" * 26), target=TARGET, **ASKED)
KENS = {"by": KEN.id, "oid": "oid-Ken", "username": "ken@contoso.com"}
APPROVAL = Approval(at=NOON, device=LEOS_PHONE, effect=Effect.NEW_PASSCODE, **KENS)
ATTEMPT = Attempt(started_at=NOON, client_request_id="call-1")
ENDED = (Status.DONE, Status.FAILED, Status.CLOSED)


def a_request(status: Status, **changes: object) -> ResetRequest:
    """Return a request in `status`, with all that a row in it carries; an uncertain one waits for a human."""
    values: dict[str, object] = {"status": status}
    if status is Status.PENDING:
        values |= {"expires_at": NOON + TIMING.lifetime}
    if status in (Status.APPROVED, Status.SENT, Status.UNCERTAIN, *ENDED):
        values |= {"approval": APPROVAL, "decided_by": KEN.id, "decided_at": NOON}
    if status in (Status.APPROVED, Status.SENT, Status.UNCERTAIN):
        values |= {"held_device": LEOS_PHONE.id}
    if status in (Status.SENT, Status.UNCERTAIN, *ENDED):
        values |= {"attempt": ATTEMPT, "attempts": 1}
    if status is Status.UNCERTAIN:
        values |= {"next_at": None}
    return replace(RECEIVED, **(values | changes))  # type: ignore[arg-type]  # a test names the fields it changes
