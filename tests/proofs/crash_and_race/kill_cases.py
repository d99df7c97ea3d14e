"""Which kill points there are, and which story of people leads to each."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from bot.slack.payloads import Action
from tests.proofs.crash_and_race.people import TOMAS, People
from tests.support.user_actions import AIKO, GUS, KEN, MEI, PIXEL

ADA, WINDOWS = "ada@contoso.com", "serial:7XK2P34"
SPARE = "serial:R5CX70ABCDE"
"""A phone that no other story is about."""

Story = Callable[[People], Awaitable[None]]


@dataclass(frozen=True)
class Case:
    """Deaths in a row, one in each life of the bot, while people act out a story."""

    deaths: Sequence[tuple[str, Story]]
    nth: int = 1
    """The first death comes at the point's how many-th time."""
    life: Mapping[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return ", then ".join(point for point, _ in self.deaths)


async def asked(people: People, target: str = "") -> str:
    """Return a request that waits for an approver: one that does already, or else a new one."""
    target = target or people.rng.choice(people.targets)
    for unclear in people.offered(Action.CLOSE, target):
        await people.close_request(KEN, unclear)
    if waiting := people.offered(Action.DENY, target):
        return waiting[0]
    before = set(people.offered(Action.APPROVE))
    await people.command(MEI, f"{target} locked out in the field")
    return (await people.until(lambda: set(people.offered(Action.APPROVE)) - before)).pop()


async def reset(people: People, target: str = "") -> None:
    """The main job: asked, approved, done."""
    await _approve_and_wait(people, people.rng.choice(people.leads), await asked(people, target))


lose = partial(reset, target=ADA)
"""The same for a phone that nobody else resets meanwhile."""


async def try_again(people: People) -> None:
    """An attempt that never arrived is approved again by the other lead."""
    await _approve_and_wait(people, AIKO, await _needs_a_human(people))


async def close(people: People) -> None:
    await people.close_request(AIKO, await _needs_a_human(people))


async def wait(people: People) -> None:
    """Nobody does anything: a second reset of the same phone could be taken for the lost one."""
    await people.until(lambda: False)


async def _approve_and_wait(people: People, user: str, request: str) -> None:
    await people.approve(user, request)
    await people.until(lambda: request in people.offered(Action.SHOW_PASSCODE))


async def _needs_a_human(people: People) -> str:
    """Such a request can be approved or closed, and not denied."""
    return (await people.until(lambda: people.offered(Action.CLOSE)))[0]


async def deny(people: People) -> None:
    await people.deny(AIKO, await asked(people))


async def withdraw(people: People) -> None:
    request = await asked(people)
    await people.until(lambda: request in people.offered(Action.WITHDRAW))
    await people.press(MEI, Action.WITHDRAW, request=request)
    await people.until(lambda: request not in people.offered(Action.WITHDRAW))


async def ask_by_form(people: People) -> None:
    await people.ask_by_form(ADA)
    await people.until(lambda: people.offered(Action.APPROVE))


async def refuse(people: People) -> None:
    """A guest asks."""
    await people.command(GUS, f"{ADA} let me in")
    await people.until(lambda: people.direct(GUS))


async def cannot_be_reset(people: People) -> None:
    """The only device that is found is one that Intune cannot reset; a lead looks."""
    await people.approve(KEN, await asked(people, WINDOWS))


async def expire(people: People) -> None:
    """Nobody decides, on one that was asked for in a life that makes requests expire soon."""
    request = await asked(people, SPARE)
    await people.until(lambda: request not in people.offered(Action.APPROVE))


async def device_fails(people: People) -> None:
    await people.phone(PIXEL, "fails")
    try:
        await reset(people)
    finally:
        await people.phone(PIXEL, "completes")


async def forbidden(people: People) -> None:
    """Ken loses his role in Intune while his reset is on its way."""
    request = await asked(people)
    await people.fault("graph", "latency", "resetPasscode", seconds=0.6)
    try:
        await people.approve(KEN, request)
        await people.role(KEN, may_reset=False)
        await people.until(lambda: request in people.offered(Action.DENY))
    finally:
        await people.role(KEN, may_reset=True)


async def put_off(people: People) -> None:
    """Graph is busy for longer than an approval holds."""
    request = await asked(people)
    await people.fault("graph", "429", "resetPasscode", retry_after=600)
    await people.approve(KEN, request)
    await people.until(lambda: request in people.offered(Action.DENY))


async def throttled(people: People) -> None:
    request = await asked(people)
    await people.fault("graph", "429", "resetPasscode", retry_after=0)
    await _approve_and_wait(people, KEN, request)


sign_in = partial(People.sign_in_again, user=KEN)


async def reveal(people: People) -> None:
    request = await asked(people)
    await _approve_and_wait(people, KEN, request)
    await people.reveal(request)


async def replaced(people: People) -> None:
    """Slack sends the sockets away, or cuts them, while people are busy."""
    reason = people.rng.choice(("refresh_requested", "link_disabled"))
    await people.sandbox.slack.sockets.disconnect(reason)
    await reset(people)


BUSY: Sequence[Story] = (
    *(reset, reset, reset, lose, deny, withdraw, ask_by_form, refuse, cannot_be_reset),
    *(try_again, close, device_fails, forbidden, throttled, sign_in, reveal, replaced),
)
"""What people do, several at a time, while the bot dies at random."""
TARGETS = (ADA, TOMAS, WINDOWS, "priya@contoso.com", "jonas@contoso.com", "serial:G6TX9012JKLM")

# Points. Each row: a story, and what it leads to, before and after.

POINTS: Sequence[tuple[Story, str]] = (
    (reset, "add_request, move received to pending, move pending to approved, move approved to attempting"),
    (reset, "move attempting to sent, move sent to sent, move sent to done, save_messages"),
    (reset, "claim advance, claim publish, release advance, release publish, audit reviewed"),
    (ask_by_form, "add_request"),
    (refuse, "move received to refused"),
    (cannot_be_reset, "move pending to refused"),
    (deny, "move pending to denied"),
    (withdraw, "move pending to withdrawn"),
    (device_fails, "move sent to failed"),
    (forbidden, "move approved to pending"),
    (put_off, "move attempting to pending"),
    (throttled, "move attempting to approved"),
    (reveal, "audit passcode_viewed"),
    (sign_in, "audit sign_in_started, audit signed_in, add_link, begin_flow, take"),
    (sign_in, "hold_result, put_sign_in, delete_sign_in"),
    (reset, "slack auth.test, slack users.info, slack conversations.members, slack views.open"),
    (reset, "slack views.update, slack chat.postMessage card, slack chat.postMessage receipt"),
    (reset, "slack chat.update card, slack chat.update receipt"),
    (reset, "graph find, graph actions, graph reset_passcode"),
    (reveal, "graph passcode"),
    (sign_in, "entra authorization_code, entra configuration"),
)
OVER_SOCKETS: Sequence[tuple[Story, str]] = (
    (reset, "add_request, move pending to approved, slack views.open, slack apps.connections.open"),
    (ask_by_form, "add_request"),
    (deny, "move pending to denied"),
    (withdraw, "move pending to withdrawn"),
)
"""Where an acknowledgement, or a new socket, travels another way than over HTTP."""
AFTER_A_LOST_ATTEMPT: Sequence[tuple[str, Story, str]] = (
    # What arrived is found on the device; what did not is given up, and a human approves again or closes.
    ("after graph reset_passcode", wait, "move attempting to uncertain"),
    ("after graph reset_passcode", wait, "move uncertain to sent"),
    ("before graph reset_passcode", wait, "move uncertain to uncertain"),
    ("before graph reset_passcode", wait, "move uncertain to needs a human"),
    ("before graph reset_passcode", try_again, "move needs a human to approved"),
    ("before graph reset_passcode", close, "move needs a human to closed"),
)


def _each(table: Sequence[tuple[Story, str]]) -> Iterator[tuple[Story, str]]:
    yield from ((story, what) for story, points in table for what in points.split(", "))


AN_ATTEMPT = ("move approved to attempting", *["graph reset_passcode"] * 2, "move attempting to sent")
BUSY_POINTS = (*(what for story, what in _each(POINTS) if story is reset), *AN_ATTEMPT * 2)
"""What goes on all the time under load: a random death is often near one of these, or in an attempt."""


def cases() -> Iterator[Case]:
    """Every named point, in the order of a request's life."""
    for story, what in _each(POINTS):
        yield from (Case([(f"{side} {what}", story)]) for side in ("before", "after"))
    for side in ("before", "after"):
        # Nothing comes after these that would show the row by the way.
        yield Case([(f"{side} slack chat.update card", deny)])
        yield Case([(f"{side} slack chat.update receipt", deny)], nth=2)
        yield Case([(f"{side} slack chat.update receipt", withdraw)], nth=2)
        yield Case([(f"{side} save_messages", deny)], nth=7)
        yield Case([(f"{side} move pending to expired", expire)], life={"lifetime": 1.5})
        yield Case([(f"{side} move pending to pending", expire)], life={"lifetime": 1.5, "remind": 0.4})
        for first, story, then in AFTER_A_LOST_ATTEMPT:
            yield Case([(first, lose), (f"{side} {then}", story)])
        for kind in ("card", "receipt", "thread", "direct"):
            posted = f"after slack chat.postMessage {kind}"
            search = "replies" if kind == "thread" else "history"
            yield Case([(posted, reset), (f"{side} slack conversations.{search}", wait)])


def cases_over_sockets() -> Iterator[Case]:
    for side in ("before", "after"):
        yield from (Case([(f"{side} {what}", story)]) for story, what in _each(OVER_SOCKETS))
        yield Case([(f"{side} slack apps.connections.open", replaced)], nth=3)
