"""Many rounds on one installation, some at a time; then quiet, and the checks of all and of each round."""

import asyncio
import random
import signal
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from pathlib import Path

from bot.domain.audit import Entry, Event
from bot.domain.errors import Code, Refusal
from bot.domain.request import ResetRequest, Status
from bot.domain.values import utc_text
from bot.slack.wording import ENGLISH
from sandbox.app import Sandbox
from sandbox.cast import DEFAULT_CAST, MEI, SIGNING_SECRET, SUPPORT, Cast
from sandbox.clock import SystemClock
from sandbox.slack.delivery import SignedHttp
from tests.proofs.crash_and_race.checks import DECIDED, Fault, Findings, Stored, check
from tests.proofs.crash_and_race.forgeries import forge
from tests.proofs.crash_and_race.processes import HOST, PATIENCE, Installation, Life, installation
from tests.proofs.crash_and_race.race_rounds import APPROVALS, DECIDERS, Decision, Proxy, Round, plan, serial
from tests.support.user_actions import AIKO, KEN, PIXEL, People

AT_ONCE = 8


async def race(
    database_url: str, folder: Path, *, seed: object, rounds: int, replicas: int, socket_mode: bool = False
) -> Findings:
    """Run `rounds` rounds over `replicas` processes on one database; `seen` counts who decided, too."""
    options = {"socket_mode": socket_mode, "replicas": replicas, "action_seconds": 0.03}
    async with AsyncExitStack() as stack:
        bots = await stack.enter_async_context(installation(folder, database_url, cast=_cast(), **options))
        slack = bots.sandbox.slack
        slack.platform.modals.side_by_side = True
        await asyncio.gather(*(bots.start(Life(faster=6), replica=number) for number in range(replicas)))
        people = People(bots.sandbox)
        stack.push_async_callback(people.aclose)
        for user in (KEN, AIKO):
            await people.sign_in(user)
        _add_phones(bots.sandbox, rounds)
        if socket_mode:
            proxy = Proxy([slack.sockets.carry] * replicas)
            slack.sockets.carry = proxy.carry
        else:
            options = {"secret": SIGNING_SECRET, "clock": SystemClock(), "transport": None}
            ports = [environment["PORT"] for environment in bots.environments]
            ways = [SignedHttp(f"http://{HOST}:{port}", **options) for port in ports]
            for way in ways:
                way.ack_seconds = PATIENCE
                stack.push_async_callback(way.close)
            proxy = Proxy([way.carry for way in ways])
            slack.platform.http.carry = proxy.carry
        numbers, ran = iter(range(1, rounds + 1)), list[Round]()

        async def take_turns(requester: str) -> None:
            slack.join(SUPPORT, requester)
            given = {"requester": requester, "slack": slack, "database": bots.database}
            for number in numbers:
                ran.append(Round(plan=plan(seed, number, replicas=replicas), **given))
                await ran[-1].run()
                bots.forged |= await forge(bots.database, random.Random(number))  # noqa: S311  replayed

        await asyncio.gather(*(take_turns(f"{MEI.id}{number}") for number in range(AT_ONCE)))
        await asyncio.gather(*proxy.sent)
        stored = await _quiet(bots, ran)
        findings = check(bots.sandbox, stored)
        for each in ran:
            faults = _faults(each, stored.rows.get(each.request_id), stored.log[each.request_id])
            findings.faults += [(kind, f"{each.plan}: {what}") for kind, what in faults]
        if len(stored.rows) != rounds:
            kind = "doubled" if len(stored.rows) > rounds else "lost"
            findings.faults.append((kind, f"{len(stored.rows)} rows for {rounds} commands"))
        await bots.end(signal.SIGTERM)
        findings.faults += await bots.faults()
        for replica, bot in bots.bots.items():
            if bot.status:
                findings.faults.append(("stuck", f"replica {replica} ended with {bot.status}"))
            findings.seen[f"decided by replica {replica}"] = _decided(bots, replica)
        bots.keep_logs(findings)
    return findings


async def _quiet(bots: Installation, ran: Sequence[Round]) -> Stored:
    """Wait for the rows, and for what a replica is at still when the form shows the first answer."""
    stored = await bots.quiet()
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            while any(
                next(_not_recorded(each, row, stored.log[row.id]), None)
                for each in ran
                if (row := stored.rows.get(each.request_id))
            ):
                await asyncio.sleep(0.2)
                stored = await bots.quiet()
    return stored


def _decided(bots: Installation, replica: int) -> int:
    *_, last = bots.lines(replica)
    committed = last.get("committed", {})
    return sum(times for name, times in committed.items() if name.startswith("move pending to "))


def _cast() -> Cast:
    """The usual people, and more support engineers like Mei: one for each round that runs at a time."""
    others = [
        replace(MEI, id=f"{MEI.id}{n}", name=f"Mei {n}", handle=f"mei{n}", email=f"mei{n}@contoso.com")
        for n in range(AT_ONCE)
    ]
    return replace(DEFAULT_CAST, people=(*DEFAULT_CAST.people, *others))


def _add_phones(sandbox: Sandbox, rounds: int) -> None:
    """A phone for every round, all of the kind that Tomás has."""
    phones = sandbox.intune._fleet.phones
    pattern = phones[PIXEL]
    for number in range(1, rounds + 1):
        named = {"id": f"5b000000-0000-4000-8000-{number:012}", "serialNumber": serial(number)}
        phone = replace(pattern, properties=dict(pattern.properties) | named, actions=[])
        phones[phone.id] = phone


# Each round, beside what `checks` counts


def _faults(seen: Round, row: ResetRequest | None, log: list[Entry]) -> Iterator[Fault]:
    yield from (("stuck", what) for what in seen.stuck)
    if row is None:
        yield "stuck", "no request"
        return
    if len({*seen.command.answers}) != 1 or row.ref not in seen.command.answers[0]:
        yield "doubled", f"the command for {row.ref} was answered {seen.command.answers}"
    yield from _decision(seen, row, log)
    if not seen.stuck:
        yield from _untold(seen, row)
        yield from _not_recorded(seen, row, log)


def _decision(seen: Round, row: ResetRequest, log: list[Entry]) -> Iterator[Fault]:
    """One decision in the audit log, the one that the row says, in time, and one that somebody chose."""
    decisions = [(entry.event, entry.actor) for entry in log if entry.event in DECIDED]
    if len(decisions) != 1:
        yield "doubled" if decisions else "lost", f"decisions in the audit log: {decisions}"
        return
    [(event, actor)] = decisions
    if (event, actor) != ("approved" if row.approval else row.status, row.decided_by):
        yield "doubled", f"{event} by {actor} in the log, {row.status} by {row.decided_by} in the row"
    if row.approval and row.status is not Status.DONE:
        yield "stuck", f"approved, and the row is {row.status}"
    at = row.decided_at or row.changed_at
    if row.expires_at is None or (at < row.expires_at) is (event is Event.EXPIRED):
        yield "lost", f"{event} at {at}, and it ended {row.expires_at}"
    if _winner(row) not in seen.plan.decided:
        yield "lost", f"{event} by {actor}, which nobody chose"


def _untold(seen: Round, row: ResetRequest) -> Iterator[Fault]:
    """The winner reads that it is done; everybody else who decided what, and when."""
    passed = (Status.APPROVED, Status.SENT, Status.DONE) if row.approval else (row.status,)
    facts = {"by": row.decided_by or "", "at": utc_text(row.decided_at or row.changed_at)}
    refusals = [Refusal(Code.ALREADY_DECIDED, status=status, **facts) for status in passed]
    if seen.plan.expires:
        # True too a moment before a decision is stored that was made in time.
        refusals.append(Refusal(Code.REQUEST_EXPIRED))
    truths = {(ENGLISH.title(refusal), ENGLISH.error(refusal)) for refusal in refusals}
    winner = _winner(row)
    own = ENGLISH.text("approved.title" if winner in APPROVALS else "denied.title")
    for decision, told in seen.told:
        if told not in truths and (decision, told[0]) != (winner, own):
            yield "lost", f"{decision} was told {told} about a {row.status} one"


def _not_recorded(seen: Round, row: ResetRequest, log: list[Entry]) -> Iterator[Fault]:
    """Every delivery of a decision that came too late left a row in the audit log."""
    delivered, winner = seen.plan.delivered, _winner(row)
    # A person's own second delivery is answered as the first; where the clock took part it may also find
    # the time over a moment before the first one is stored.
    least = delivered.total() - delivered[winner]
    most = delivered.total() - 1 if seen.plan.expires and delivered[winner] else least
    refused = sum(entry.event is Event.ACCESS_REFUSED for entry in log)
    if not least <= refused <= most:
        yield "lost", f"{refused} of {least} late decisions are in the audit log"


def _winner(row: ResetRequest) -> Decision:
    """Withdrawn and expired are what they say; approvals and denials are somebody's."""
    if row.status in (Status.WITHDRAWN, Status.EXPIRED):
        return Decision.WITHDRAWN if row.status is Status.WITHDRAWN else Decision.EXPIRED
    verb = "deny" if row.status is Status.DENIED else "approve"
    return next(d for d, user in DECIDERS.items() if user == row.decided_by and d.startswith(verb))
