"""Many rounds on one installation, some at a time; then quiet, and the checks of all and of each round."""

import asyncio
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import httpx
from bot.domain.audit import Event
from bot.domain.errors import Code, Refusal
from bot.domain.request import ResetRequest, Status
from bot.domain.values import utc_text
from bot.slack.wording import ENGLISH
from sandbox.app import Sandbox
from sandbox.cast import DEFAULT_CAST, MEI, SUPPORT, Cast
from tests.proofs.crash_and_race.checks import Fault, Findings, Kind, Logged, check
from tests.proofs.crash_and_race.kill_cases import PIXEL
from tests.proofs.crash_and_race.launcher import Life
from tests.proofs.crash_and_race.people import ACCOUNTS
from tests.proofs.crash_and_race.processes import Installation, installation
from tests.proofs.crash_and_race.proxy import HttpProxy, SocketProxy
from tests.proofs.crash_and_race.race_plan import APPROVALS, DENIALS, Decision, plan
from tests.proofs.crash_and_race.race_rounds import Round, Told, serial
from tests.support.user_actions import People

AT_ONCE = 8
"""Rounds at a time."""
DECISIVE = {
    Event.APPROVED: Status.DONE,
    Event.DENIED: Status.DENIED,
    Event.WITHDRAWN: Status.WITHDRAWN,
    Event.EXPIRED: Status.EXPIRED,
    Event.REFUSED: Status.REFUSED,
}
"""The events that end the waiting, and the status when all is quiet."""


async def race(
    database_url: str, folder: Path, *, seed: object, rounds: int, replicas: int, socket_mode: bool = False
) -> Findings:
    """Run `rounds` rounds over `replicas` processes on one database; `seen` counts who decided, too."""
    proxies: list[HttpProxy] = []

    def transport(urls: list[str]) -> httpx.AsyncBaseTransport:
        proxies.append(HttpProxy(urls))
        return proxies[0]

    options = {"socket_mode": socket_mode, "replicas": replicas, "action_seconds": 0.03}
    async with AsyncExitStack() as stack:
        there = installation(folder, database_url, cast=_cast(), transport=transport, **options)
        bots = await stack.enter_async_context(there)
        proxy = SocketProxy(bots.sandbox.slack.sockets) if socket_mode else proxies[0]
        await asyncio.gather(*(bots.start(Life(faster=6), replica=number) for number in range(replicas)))
        people = People(bots.sandbox)
        stack.push_async_callback(people.aclose)
        for user, account in ACCOUNTS.items():
            await people.sign_in(user, account)
            people.browser.http.cookies.clear()
        bots.sandbox.slack.platform.modals.side_by_side = True
        _add_phones(bots.sandbox, rounds)

        numbers, ran = iter(range(1, rounds + 1)), list[Round]()

        async def take_turns(requester: str) -> None:
            for number in numbers:
                drawn = plan(seed, number, replicas=replicas)
                given = {"slack": bots.sandbox.slack, "proxy": proxy, "database": bots.database}
                ran.append(Round(plan=drawn, requester=requester, **given))
                await ran[-1].run()

        await asyncio.gather(*(take_turns(f"{MEI.id}{number}") for number in range(AT_ONCE)))
        await proxy.arrived()
        stored = await bots.quiet()
        findings = check(bots.sandbox, stored)
        for round_ in ran:
            row = stored.rows.get(round_.request_id)
            faults = (
                [(Kind.STUCK, "no request")]
                if row is None
                else _faults(round_, row.request, stored.log[round_.request_id])
            )
            findings.faults += [(kind, f"{round_.plan}: {what}") for kind, what in faults]
        if len(stored.rows) != rounds:
            kind = Kind.DOUBLED if len(stored.rows) > rounds else Kind.LOST
            findings.faults.append((kind, f"{len(stored.rows)} rows for {rounds} commands"))
        await bots.end(signal.SIGTERM)
        findings.faults += await bots.faults()
        findings.faults += [
            (Kind.STUCK, f"ended with {bot.status}") for bot in bots.bots.values() if bot.status
        ]
        for replica in range(replicas):
            findings.seen[f"decided by replica {replica}"] = _decided(bots, replica)
    return findings


def _decided(bots: Installation, replica: int) -> int:
    """How many decisions this replica committed."""
    *_, last = bots.lines(replica)
    committed = last.get("committed", {})
    return sum(times for name, times in committed.items() if name.startswith("move pending to "))


def _cast() -> Cast:
    """The usual people, and more support engineers like Mei: one for each round that runs at a time."""
    others = [
        replace(MEI, id=f"{MEI.id}{n}", name=f"Mei {n}", handle=f"mei{n}", email=f"mei{n}@contoso.com")
        for n in range(AT_ONCE)
    ]
    channels = [
        replace(channel, members=(*channel.members, *(person.id for person in others)))
        if channel.id == SUPPORT
        else channel
        for channel in DEFAULT_CAST.channels
    ]
    return replace(DEFAULT_CAST, people=(*DEFAULT_CAST.people, *others), channels=channels)


def _add_phones(sandbox: Sandbox, rounds: int) -> None:
    """A phone for every round, all of the kind that Tomás has."""
    phones = sandbox.intune._fleet.phones
    pattern = phones[PIXEL]
    for number in range(1, rounds + 1):
        named = {"id": f"5b000000-0000-4000-8000-{number:012}", "serialNumber": serial(number)}
        phone = replace(pattern, properties=dict(pattern.properties) | named, actions=[])
        phones[phone.id] = phone


# Each round, beside what `checks` counts


def _faults(seen: Round, row: ResetRequest, log: list[Logged]) -> Iterator[Fault]:
    if seen.waiting_for:
        yield Kind.STUCK, f"waited in vain for {seen.waiting_for}"
    yield from ((Kind.STUCK, f"no answer to {what}") for what in seen.unanswered)
    if row.ref not in seen.asked:
        yield Kind.LOST, f"the command was answered “{seen.asked}”"
    for text in seen.asked_again:
        if text != seen.asked:
            yield Kind.DOUBLED, f"the command again was answered “{text}”, not “{seen.asked}”"
    yield from _decision(seen, row, log)
    if not seen.waiting_for:
        yield from _untold(seen, row)
        yield from _not_recorded(seen, row, log)


def _decision(seen: Round, row: ResetRequest, log: list[Logged]) -> Iterator[Fault]:
    """One decision in the audit log, by whom the row says, in time; one attempt where it is an approval."""
    decisions = [(logged.event, logged.actor) for logged in log if logged.event in DECISIVE]
    if len(decisions) != 1:
        yield Kind.DOUBLED if decisions else Kind.LOST, f"decisions in the audit log: {decisions}"
        return
    [(event, actor)] = decisions
    if row.status is not DECISIVE[event]:
        yield Kind.STUCK, f"{event} in the audit log, and the row is {row.status}"
    if actor != row.decided_by:
        yield Kind.DOUBLED, f"{event} by {actor} in the audit log, by {row.decided_by} in the row"
    at = row.decided_at or row.changed_at
    if row.expires_at is None or (at < row.expires_at) is (event is Event.EXPIRED):
        yield Kind.LOST, f"{event} at {at}, and it ended {row.expires_at}"
    drawn = +seen.plan.delivered + Counter([Decision.EXPIRED] * (seen.plan.expires_after is not None))
    if _winner(row) not in drawn:
        yield Kind.LOST, f"{event} by {actor}, which nobody chose"
    starts = sum(logged.event is Event.ATTEMPT_STARTED for logged in log)
    if starts != (event is Event.APPROVED):
        yield Kind.DOUBLED if starts else Kind.LOST, f"{starts} attempts of a {row.status} one"


def _untold(seen: Round, row: ResetRequest) -> Iterator[Fault]:
    """The winner reads that it is done; everybody else who decided what, and when."""
    passed = (Status.APPROVED, Status.SENT, Status.DONE) if row.approval else (row.status,)
    facts = {"by": row.decided_by or "", "at": utc_text(row.decided_at or row.changed_at)}
    refusals = [Refusal(Code.ALREADY_DECIDED, status=status, **facts) for status in passed]
    if seen.plan.expires_after is not None:
        # True too a moment before a decision is stored that was made in time.
        refusals.append(Refusal(Code.REQUEST_EXPIRED))
    truths = {Told(ENGLISH.title(refusal), ENGLISH.error(refusal)) for refusal in refusals}
    winner = _winner(row)
    own = ENGLISH.text("approved.title" if winner in APPROVALS else "denied.title")
    for decision, modals in seen.told.items():
        for told in modals:
            if told not in truths and not (decision == winner and told.title == own):
                yield Kind.LOST, f"{decision} was told {told} about a {row.status} one"


def _not_recorded(seen: Round, row: ResetRequest, log: list[Logged]) -> Iterator[Fault]:
    """Every delivery of a decision that came too late left a row in the audit log."""
    delivered, winner = seen.plan.delivered, _winner(row)
    # The approver's own second submission is answered with the approval; where the clock took part it may
    # also find the time over a moment before the first one is stored.
    own = delivered[winner] if winner in APPROVALS else min(1, delivered[winner])
    least = delivered.total() - own
    late = seen.plan.expires_after is not None and winner in APPROVALS
    most = delivered.total() - 1 if late else least
    refused = sum(logged.event is Event.ACCESS_REFUSED for logged in log)
    if not least <= refused <= most:
        yield Kind.LOST, f"{refused} of {least} late decisions are in the audit log"


def _winner(row: ResetRequest) -> Decision | None:
    if row.status in (Status.WITHDRAWN, Status.EXPIRED):
        return Decision.WITHDRAWN if row.status is Status.WITHDRAWN else Decision.EXPIRED
    deciders = DENIALS if row.status is Status.DENIED else APPROVALS
    return next((decision for decision, user in deciders.items() if user == row.decided_by), None)
