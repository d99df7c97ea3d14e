"""Which points there are, and which story of people leads to each."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import product

from bot.slack import ids
from tests.crash.town import AIKO, GUS, KEN, KEN_ACCOUNT, MEI, ON_CALL, Json, Town, about, direct, offered

IPHONE = "5a000000-0000-4000-8000-0000000000a1"
PIXEL = "5a000000-0000-4000-8000-0000000000b2"
SPARE = "serial:R5CX70ABCDE"
"""A phone that no other story is about."""
ADA, TOMAS, WINDOWS = "ada@contoso.com", "serial:59040DLJH001", "serial:7XK2P34"

SIDES = ("before", "after")

Story = Callable[[Town], Awaitable[None]]


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


async def asked(town: Town, target: str = TOMAS) -> str:
    """A request that waits for an approver: one that does already, or else a new one."""
    state = await town.see()
    for unclear in about(state, ON_CALL, ids.CLOSE, target):
        await town.give_up(KEN, unclear)
    if waiting := about(state, ON_CALL, ids.DENY, target):
        return waiting[0]
    before = set(offered(await town.see(), ON_CALL, ids.APPROVE))
    await town.ask(MEI, f"{target} locked out in the field")
    new: set[str] = await town.until(lambda state: set(offered(state, ON_CALL, ids.APPROVE)) - before)
    return new.pop()


async def reset(town: Town) -> None:
    """The main job: asked, approved, done."""
    await _through(town, KEN, await asked(town))


async def lose(town: Town) -> None:
    """The same for a phone that nobody else resets meanwhile."""
    await _through(town, KEN, await asked(town, ADA))


async def try_again(town: Town) -> None:
    """An attempt that never arrived is tried again by somebody else."""
    lost = await town.until(_needs_a_human)
    await _through(town, AIKO, lost[-1])


async def give_up(town: Town) -> None:
    """An attempt that never arrived is closed."""
    lost = await town.until(_needs_a_human)
    await town.give_up(AIKO, lost[-1])


async def wait(town: Town) -> None:
    """Nobody does anything: a second reset of the same phone could be taken for the lost one."""
    await town.until(lambda _: False)


async def _through(town: Town, user: str, request: str) -> None:
    await town.approve(user, request)
    await town.until(lambda state: request in offered(state, direct(MEI), ids.SHOW_PASSCODE))


def _needs_a_human(state: Json) -> list[str]:
    """It has one button only."""
    return [r for r in offered(state, ON_CALL, ids.APPROVE) if r not in offered(state, ON_CALL, ids.DENY)]


async def deny(town: Town) -> None:
    """A lead says no."""
    await town.deny(AIKO, await asked(town))


async def withdraw(town: Town) -> None:
    """Mei takes it back."""
    request = await asked(town)
    await town.until(lambda state: request in offered(state, direct(MEI), ids.WITHDRAW))
    await town.withdraw(MEI, request)
    await town.until(lambda state: request not in offered(state, direct(MEI), ids.WITHDRAW))


async def ask_by_form(town: Town) -> None:
    """Mei fills the form in."""
    await town.ask_by_form(MEI, ADA, "locked out before her flight")
    await town.until(lambda state: offered(state, ON_CALL, ids.APPROVE))


async def refuse(town: Town) -> None:
    """A guest asks."""
    await town.ask(GUS, f"{ADA} let me in")
    await town.until(lambda state: state["messages"][direct(GUS)])


async def ask_twice(town: Town) -> None:
    """Mei asks again for what waits already."""
    await asked(town)
    before = len((await town.see())["messages"][direct(MEI)])
    await town.ask(MEI, f"{TOMAS} still locked out")
    await town.until(lambda state: len(state["messages"][direct(MEI)]) > before)


async def hopeless(town: Town) -> None:
    """Somebody asks for a device that Intune cannot reset; a lead looks."""
    await town.review(KEN, await asked(town, WINDOWS))


async def expire(town: Town) -> None:
    """Nobody decides, on one that was asked for in a life that makes requests expire soon."""
    request = await asked(town, SPARE)
    await town.until(lambda state: request not in offered(state, ON_CALL, ids.APPROVE))


async def device_fails(town: Town) -> None:
    """The phone answers that it failed."""
    await town.phone(PIXEL, "fails")
    try:
        await reset(town)
    finally:
        await town.phone(PIXEL, "completes")


async def forbidden(town: Town) -> None:
    """Ken loses his role in Intune while his reset is on its way."""
    request = await asked(town)
    await town.trouble("graph", "latency", "resetPasscode", seconds=0.6)
    try:
        await town.approve(KEN, request)
        await town.role(KEN_ACCOUNT, may_reset=False)
        await town.until(lambda state: request in offered(state, ON_CALL, ids.DENY))
    finally:
        await town.role(KEN_ACCOUNT, may_reset=True)


async def throttled(town: Town) -> None:
    """Graph is busy: it did nothing, and says so."""
    request = await asked(town)
    await town.trouble("graph", "429", "resetPasscode", retry_after=0)
    await _through(town, KEN, request)


async def sign_in(town: Town) -> None:
    """Ken signs out, and in."""
    await town.ask(KEN, "sign-out")
    await town.sign_in(KEN)


async def reveal(town: Town) -> None:
    """Mei reads the new passcode."""
    request = await asked(town)
    await _through(town, KEN, request)
    await town.reveal(MEI, request)


async def replaced(town: Town) -> None:
    """Slack sends a socket away while people are busy."""
    await town.sockets("refresh_requested", most=1)
    await reset(town)


COMMITS: Sequence[tuple[str, Story]] = (
    ("add", reset),
    ("add", ask_by_form),
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
    ("claim drive", reset),
    ("claim show", reset),
    ("release drive", reset),
    ("release show", reset),
    ("save_shown", reset),
    ("note reviewed", reset),
    ("note sign_in_started", sign_in),
    ("note signed_in", sign_in),
    ("note passcode_seen", reveal),
    ("ticket add", sign_in),
    ("ticket begin", sign_in),
    ("ticket take", sign_in),
    ("ticket hold", sign_in),
    ("sign-in put", sign_in),
    ("sign-in delete", sign_in),
)
BUSY = (
    "add",
    "move received to pending",
    "move pending to approved",
    "move approved to attempting",
    "move attempting to sent",
    "move sent to done",
    "claim drive",
    "claim show",
    "release drive",
    "release show",
    "save_shown",
    "slack chat.postMessage card",
    "slack chat.postMessage receipt",
    "slack chat.update card",
    "slack chat.update receipt",
    "slack views.open",
    "slack views.update",
    "graph actions",
    *("move approved to attempting", "graph reset", "graph reset", "move attempting to sent") * 2,
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
    ("graph reset", reset),
    ("graph passcode", reveal),
)
LAST_SHOWN: Sequence[tuple[str, Story, Sequence[str]]] = (
    # Nothing comes after these that would show the row by the way.
    ("slack chat.update card", deny, ()),
    ("slack chat.update receipt", deny, ("--nth", "2")),
    ("slack chat.update receipt", withdraw, ("--nth", "2")),
    ("save_shown", deny, ("--nth", "7")),
)
OVER_SOCKETS: Sequence[tuple[str, Story, Sequence[str]]] = (
    ("add", reset, ()),
    ("add", ask_by_form, ()),
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
    ("after graph reset", "move attempting to uncertain"),
    ("after graph reset", "move uncertain to sent"),
    ("before graph reset", "move uncertain to uncertain"),
    ("before graph reset", "move uncertain to needs a human"),
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
        Case(["before graph reset", f"{side} move needs a human to {then}"], [lose, story])
        for (then, story), side in product((("approved", try_again), ("failed", give_up)), SIDES)
    ]
    found = [
        Case([f"after slack chat.postMessage {kind}", f"{side} slack conversations.history"], [reset, wait])
        for kind, side in product(("card", "receipt"), SIDES)
    ]
    return [*once, *late, *twice, *again, *found]
