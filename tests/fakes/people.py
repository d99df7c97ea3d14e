"""The cast, and Slack's directory as they stand in it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from bot.domain.errors import CouldNotVerify
from bot.domain.identifiers import ChannelId, TeamId, UserId
from bot.domain.people import Actor, Audience, AudienceKind, Kind, Person

TEAM = TeamId("T0CONTOSO")
ELSEWHERE = TeamId("T0FABRIKAM")
CHANNEL = ChannelId("C0ONCALL")
ON_CALL = Audience(AudienceKind.USERGROUP, "S0ONCALL")
APPROVER_CHANNEL = Audience.channel(CHANNEL)


def _person(name: str, kind: Kind = Kind.MEMBER, team: TeamId = TEAM) -> Person:
    home = "contoso.com" if team == TEAM else "fabrikam.com"
    return Person(
        id=UserId(f"U0{name.upper()}"),
        team_id=team,
        kind=kind,
        name=name,
        email=f"{name.lower()}@{home}",
    )


MEI = _person("Mei")
"""Asks."""
KEN = _person("Ken")
"""Approves."""
AIKO = _person("Aiko")
"""Approves too."""
LEO = _person("Leo")
"""The locked-out owner: a member, but in no audience."""
GUS = _person("Gus", Kind.GUEST)
OLGA = _person("Olga", Kind.OUTSIDER, ELSEWHERE)
ROBO = _person("Robo", Kind.BOT)
DORA = _person("Dora", Kind.DEACTIVATED)

CAST = (MEI, KEN, AIKO, LEO, GUS, OLGA, ROBO, DORA)


def actor(person: Person) -> Actor:
    """The person as a payload names them."""
    return Actor(user=person.id, team=person.team_id)


def _everybody() -> dict[UserId, Person]:
    return {person.id: person for person in CAST}


def _in_channel() -> dict[Audience, set[UserId]]:
    """Guest and outsider sit in the channel as well: being there must not be enough."""
    present = {person.id for person in (MEI, KEN, AIKO, GUS, OLGA, ROBO, DORA)}
    return {APPROVER_CHANNEL: present, ON_CALL: {KEN.id}}


@dataclass
class FakePeople:
    """Slack's directory; `away` makes every lookup fail."""

    everybody: dict[UserId, Person] = field(default_factory=_everybody)
    members: dict[Audience, set[UserId]] = field(default_factory=_in_channel)
    away: bool = False

    async def person(self, actor: Actor) -> Person:
        await self._answer()
        person = self.everybody.get(actor.user)
        if person is None:
            raise CouldNotVerify("person")
        if actor.team not in (None, TEAM):
            return replace(person, kind=Kind.OUTSIDER)
        return person

    async def is_in(self, user: UserId, audiences: Sequence[Audience]) -> bool:
        await self._answer()
        return any(user in self.members.get(audience, set()) for audience in audiences)

    def change(self, person: Person) -> None:
        """The person is like this from now on."""
        self.everybody[person.id] = person

    def leaves(self, person: Person, audience: Audience) -> None:
        self.members[audience].discard(person.id)

    async def _answer(self) -> None:
        await asyncio.sleep(0)
        if self.away:
            raise CouldNotVerify("slack")
