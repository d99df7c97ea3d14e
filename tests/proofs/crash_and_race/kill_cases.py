"""Which points there are, and which story of people leads to each."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import product

from bot.slack.payloads import Action
from tests.proofs.crash_and_race.user_actions import (
    AIKO,
    GUS,
    KEN,
    KEN_ACCOUNT,
    MEI,
    ON_CALL,
    Json,
    People,
    about,
    direct,
    offered,
)

IPHONE = "5a000000-0000-4000-8000-0000000000a1"
PIXEL = "5a000000-0000-4000-8000-0000000000b2"
SPARE = "serial:R5CX70ABCDE"
"""A phone that no other story is about."""
ADA, TOMAS, WINDOWS = "ada@contoso.com", "serial:59040DLJH001", "serial:7XK2P34"

SIDES = ("before", "after")

Story = Callable[[People], Awaitable[None]]


@dataclass(frozen=True)
class Case:
    """Deaths in a row, one in each life of the bot, while a story goes on."""

    deaths: Sequence[str]
    stories: Sequence[Story]
    """What people do in each life."""
    arguments: Sequence[str] = ()

    @property
    def name(self) -> str:
        return ", then ".join(self.deaths)


async def asked(people: People, target: str = TOMAS) -> str:
    """A request that waits for an approver: one that does already, or else a new one."""
    state = await people.see()
    for unclear in about(state, ON_CALL, Action.CLOSE, target):
        await people.give_up(KEN, unclear)
    if waiting := about(state, ON_CALL, Action.DENY, target):
        return waiting[0]
    before = set(offered(await people.see(), ON_CALL, Action.APPROVE))
    await people.ask(MEI, f"{target} locked out in the field")
    new: set[str] = await people.until(lambda state: set(offered(state, ON_CALL, Action.APPROVE)) - before)
    return new.pop()


async def reset(people: People) -> None:
    """The main job: asked, approved, done."""
    await _through(people, KEN, await asked(people))


async def lose(people: People) -> None:
    """The same for a phone that nobody else resets meanwhile."""
    await _through(people, KEN, await asked(people, ADA))


async def try_again(people: People) -> None:
    """An attempt that never arrived is tried again by somebody else."""
    lost = await people.until(_needs_a_human)
    await _through(people, AIKO, lost[-1])


async def give_up(people: People) -> None:
    """An attempt that never arrived is closed."""
    lost = await people.until(_needs_a_human)
    await people.give_up(AIKO, lost[-1])


async def wait(people: People) -> None:
    """Nobody does anything: a second reset of the same phone could be taken for the lost one."""
    await people.until(lambda _: False)


async def _through(people: People, user: str, request: str) -> None:
    await people.approve(user, request)
    await people.until(lambda state: request in offered(state, direct(MEI), Action.SHOW_PASSCODE))


def _needs_a_human(state: Json) -> list[str]:
    """It has one button only."""
    return [
        r for r in offered(state, ON_CALL, Action.APPROVE) if r not in offered(state, ON_CALL, Action.DENY)
    ]


async def deny(people: People) -> None:
    """A lead says no."""
    await people.deny(AIKO, await asked(people))


async def withdraw(people: People) -> None:
    """Mei takes it back."""
    request = await asked(people)
    await people.until(lambda state: request in offered(state, direct(MEI), Action.WITHDRAW))
    await people.withdraw(MEI, request)
    await people.until(lambda state: request not in offered(state, direct(MEI), Action.WITHDRAW))


async def ask_by_form(people: People) -> None:
    """Mei fills the form in."""
    await people.ask_by_form(MEI, ADA, "locked out before her flight")
    await people.until(lambda state: offered(state, ON_CALL, Action.APPROVE))


async def refuse(people: People) -> None:
    """A guest asks."""
    await people.ask(GUS, f"{ADA} let me in")
    await people.until(lambda state: state["messages"][direct(GUS)])


async def ask_twice(people: People) -> None:
    """Mei asks again for what waits already."""
    await asked(people)
    before = len((await people.see())["messages"][direct(MEI)])
    await people.ask(MEI, f"{TOMAS} still locked out")
    await people.until(lambda state: len(state["messages"][direct(MEI)]) > before)


async def hopeless(people: People) -> None:
    """Somebody asks for a device that Intune cannot reset; a lead looks."""
    await people.review(KEN, await asked(people, WINDOWS))


async def expire(people: People) -> None:
    """Nobody decides, on one that was asked for in a life that makes requests expire soon."""
    request = await asked(people, SPARE)
    await people.until(lambda state: request not in offered(state, ON_CALL, Action.APPROVE))


async def device_fails(people: People) -> None:
    """The phone answers that it failed."""
    await people.phone(PIXEL, "fails")
    try:
        await reset(people)
    finally:
        await people.phone(PIXEL, "completes")


async def forbidden(people: People) -> None:
    """Ken loses his role in Intune while his reset is on its way."""
    request = await asked(people)
    await people.trouble("graph", "latency", "resetPasscode", seconds=0.6)
    try:
        await people.approve(KEN, request)
        await people.role(KEN_ACCOUNT, may_reset=False)
        await people.until(lambda state: request in offered(state, ON_CALL, Action.DENY))
    finally:
        await people.role(KEN_ACCOUNT, may_reset=True)


async def throttled(people: People) -> None:
    """Graph is busy: it did nothing, and says so."""
    request = await asked(people)
    await people.trouble("graph", "429", "resetPasscode", retry_after=0)
    await _through(people, KEN, request)


async def sign_in(people: People) -> None:
    """Ken signs out, and in."""
    await people.ask(KEN, "sign-out")
    await people.sign_in(KEN)


async def reveal(people: People) -> None:
    """Mei reads the new passcode."""
    request = await asked(people)
    await _through(people, KEN, request)
    await people.reveal(MEI, request)


async def replaced(people: People) -> None:
    """Slack sends a socket away while people are busy."""
    await people.sockets("refresh_requested", most=1)
    await reset(people)


COMMITS: Sequence[tuple[str, Story]] = (
    ("add_request", reset),
    ("add_request", ask_by_form),
    ("move received to pending", reset),
    ("move received to refused", refuse),
    ("move pending to approved", reset),
    ("move approved to attempting", reset),
    ("move attempting to sent", reset),
    ("move sent to sent", reset),
    ("move sent to done", reset),
    ("move sent to failed", device_fails),
    ("move attempting to pending", forbidden),
    ("move attempting to approved", throttled),
    ("move pending to denied", deny),
    ("move received to refused", ask_twice),
    ("move pending to withdrawn", withdraw),
    ("move pending to refused", hopeless),
    ("claim advance", reset),
    ("claim publish", reset),
    ("release advance", reset),
    ("release publish", reset),
    ("save_messages", reset),
    ("audit reviewed", reset),
    ("audit sign_in_started", sign_in),
    ("audit signed_in", sign_in),
    ("audit passcode_viewed", reveal),
    ("link add_link", sign_in),
    ("link begin_flow", sign_in),
    ("link take", sign_in),
    ("link hold_result", sign_in),
    ("sign-in put_sign_in", sign_in),
    ("sign-in delete_sign_in", sign_in),
)
BUSY = (
    "add_request",
    "move received to pending",
    "move pending to approved",
    "move approved to attempting",
    "move attempting to sent",
    "move sent to done",
    "claim advance",
    "claim publish",
    "release advance",
    "release publish",
    "save_messages",
    "slack chat.postMessage card",
    "slack chat.postMessage receipt",
    "slack chat.update card",
    "slack chat.update receipt",
    "slack views.open",
    "slack views.update",
    "graph actions",
    *(
        "move approved to attempting",
        "graph reset_passcode",
        "graph reset_passcode",
        "move attempting to sent",
    )
    * 2,
)
"""What goes on all the time under load: a random death is often near one of these, mostly in an attempt."""
CALLS: Sequence[tuple[str, Story]] = (
    ("slack auth.test", reset),
    ("slack users.info", reset),
    ("slack conversations.members", reset),
    ("slack chat.postMessage card", reset),
    ("slack chat.postMessage receipt", reset),
    ("slack chat.update card", reset),
    ("slack chat.update receipt", reset),
    ("slack views.open", reset),
    ("slack views.update", reset),
    ("entra authorization_code", sign_in),
    ("entra configuration", sign_in),
    ("graph find", reset),
    ("graph actions", reset),
    ("graph reset_passcode", reset),
    ("graph passcode", reveal),
)
LAST_SHOWN: Sequence[tuple[str, Story, Sequence[str]]] = (
    # Nothing comes after these that would show the row by the way.
    ("slack chat.update card", deny, ()),
    ("slack chat.update receipt", deny, ("--nth", "2")),
    ("slack chat.update receipt", withdraw, ("--nth", "2")),
    ("save_messages", deny, ("--nth", "7")),
)
OVER_SOCKETS: Sequence[tuple[str, Story, Sequence[str]]] = (
    ("add_request", reset, ()),
    ("add_request", ask_by_form, ()),
    ("move pending to approved", reset, ()),
    ("move pending to denied", deny, ()),
    ("slack views.open", reset, ()),
    ("slack apps.connections.open", reset, ()),
    ("slack apps.connections.open", replaced, ("--nth", "3")),
)
"""Where an acknowledgement, or a new socket, travels another way than over HTTP."""
BY_THE_CLOCK: Sequence[tuple[str, Story, Sequence[str]]] = (
    ("move pending to expired", expire, ("--lifetime", "1.5")),
    ("move pending to pending", expire, ("--remind", "0.4", "--lifetime", "1.5")),
)
AFTER_A_LOST_ATTEMPT: Sequence[tuple[str, str]] = (
    # What arrived is found on the device, what did not is given up for a human.
    ("after graph reset_passcode", "move attempting to uncertain"),
    ("after graph reset_passcode", "move uncertain to sent"),
    ("before graph reset_passcode", "move uncertain to uncertain"),
    ("before graph reset_passcode", "move uncertain to needs a human"),
)


def cases_over_sockets() -> list[Case]:
    """What differs in Socket Mode."""
    return _with_arguments(OVER_SOCKETS)


def _with_arguments(points: Sequence[tuple[str, Story, Sequence[str]]]) -> list[Case]:
    return [Case([f"{side} {what}"], [story], args) for (what, story, args), side in product(points, SIDES)]


def cases() -> list[Case]:
    """Every named point, in the order of a request's life."""
    once = [Case([f"{side} {what}"], [story]) for (what, story), side in product((*COMMITS, *CALLS), SIDES)]
    late = _with_arguments((*LAST_SHOWN, *BY_THE_CLOCK))
    twice = [
        Case([first, f"{side} {then}"], [lose, wait])
        for (first, then), side in product(AFTER_A_LOST_ATTEMPT, SIDES)
    ]
    again = [
        Case(["before graph reset_passcode", f"{side} move needs a human to {then}"], [lose, story])
        for (then, story), side in product((("approved", try_again), ("failed", give_up)), SIDES)
    ]
    found = [
        Case([f"after slack chat.postMessage {kind}", f"{side} slack conversations.history"], [reset, wait])
        for kind, side in product(("card", "receipt"), SIDES)
    ]
    return [*once, *late, *twice, *again, *found]
