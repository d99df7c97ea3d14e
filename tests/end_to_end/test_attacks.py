"""Attacks by name: on the decision, on the sign-in, and by whoever writes to the database."""

import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from bot.cli import main
from bot.domain.audit import Event
from bot.domain.errors import Code
from bot.domain.request import Status
from bot.domain.values import UserId
from bot.slack.payloads import Action, Callback, Field, private_metadata
from bot.slack.wording import CATALOG_EN as ENGLISH
from bot.store import tables
from bot.web.sign_in import DECLINED
from sandbox.cast import OTHER_TENANT_ID
from sqlalchemy import delete, insert, select, update
from tests.support import user_actions
from tests.support.app_fixture import FAST, SOON, TOMAS, Bot, by_user, running_bot, with_value
from tests.support.bot import refused
from tests.support.served_bot import ServedBot, served
from tests.support.user_actions import AIKO, AIKO_ACCOUNT, KEN, KEN_ACCOUNT, MEI, OLGA, ON_CALL, Browser
from tests.unit.slack.deliveries import form

pytestmark = pytest.mark.asyncio(loop_scope="module")

FORGED = ["", "1", "f" * 32, "../" * 10, "' OR 1=1 --", "{request}\n", "{request} {request}"]
TEAM = "T0CONTOSO"


async def test_attack_channel_that_is_shared_with_another_organisation_while_the_bot_runs(tmp_path: Path):
    """The next request has no card, the one before cannot be approved, until the sharing ends."""
    timing = replace(FAST, periodic=SOON, channel_looked_at=SOON)
    async with running_bot(tmp_path, timing=timing) as bot:
        await bot.pending_for_ken()
        bot.sandbox.slack.share(ON_CALL)
        while (ready := await bot.http.get("/readyz")).status_code == 200:
            pass
        assert "shared" in ready.json()["approver_channel"]
        await bot.people.command(MEI, TOMAS)
        await bot.people.until(lambda: ENGLISH["code.channel_shared"] in bot.people.receipt())
        assert await bot.review() == ENGLISH["code.channel_shared.title"]
        assert len(bot.people.messages(ON_CALL)) == 1
        bot.sandbox.slack.share(ON_CALL, shared=False)
        await bot.people.until(lambda: len(bot.people.messages(ON_CALL)) == 2)
        await bot.people.until(lambda: ENGLISH["code.channel_shared"] not in bot.people.receipt())
        assert await bot.review() == ENGLISH["review.title"]


async def test_attack_forged_button_value(bot: Bot):
    """A button's value is an id and never an authority: one that is none finds nothing."""
    request_id = await bot.pending_for_ken()
    forged = list(product((Action.APPROVE, Action.DENY, Action.CLOSE), FORGED))
    for action, value in forged:
        what = {"value": value.format(request=request_id), "action": action}
        with bot.deliveries.forging(lambda payload, what=what: with_value(payload, **what)):
            await bot.people.open(KEN, "approve")
    assert await bot.refused() == [(KEN, Code.UNKNOWN_REQUEST)] * len(forged)
    assert (await bot.row(request_id)).status is Status.PENDING


async def test_attack_button_of_somebody_elses_request(bot: Bot):
    """Ken puts the id of Mei's finished request behind his own Show passcode and Withdraw."""
    request_id = await bot.done()
    await bot.pending()
    for action in (Action.SHOW_PASSCODE, Action.WITHDRAW):
        with bot.deliveries.forging(lambda payload, action=action: with_value(payload, request_id, action)):
            await bot.people.open(KEN, "approve")
    assert [who for who, _ in await bot.refused()] == [KEN] * 2
    assert Event.PASSCODE_VIEWED not in [event for _, event, _ in await bot.audit_rows()]
    assert (await bot.row(request_id)).status is Status.DONE


async def test_attack_form_that_was_never_opened(bot: Bot):
    """The requester, a guest and an outsider skip the button and submit the decision itself."""
    request_id = await bot.pending()
    bot.sandbox.slack.join(ON_CALL, user_actions.GUS)
    metadata = private_metadata(request_id, (await bot.row(request_id)).revision)
    typed = {Field.DEVICE: user_actions.IPHONE, Field.DENIAL: "because"}
    for callback, who in product(
        (Callback.APPROVE, Callback.AGAIN, Callback.DENY), (MEI, user_actions.GUS, OLGA)
    ):
        await bot.post(form(callback, metadata=metadata, user=who, **typed))
    refused = [(MEI, Code.OWN_REQUEST), (user_actions.GUS, Code.NOT_A_MEMBER), (OLGA, Code.NOT_A_MEMBER)]
    assert sorted(await bot.refused()) == sorted(refused * 3)
    assert (await bot.row(request_id)).status is Status.PENDING


async def test_attack_another_device_in_the_form(bot: Bot):
    """Ken reviewed Ada's iPhone and submits the id of Tomás's phone: it is not what was asked for."""
    request_id = await bot.pending_for_ken()
    assert await bot.review() == ENGLISH["review.title"]
    metadata = private_metadata(request_id, (await bot.row(request_id)).revision)
    await bot.post(form(Callback.APPROVE, metadata=metadata, user=KEN, **{Field.DEVICE: user_actions.PIXEL}))
    assert await bot.refused() == [(KEN, Code.DEVICE_CHANGED)]
    assert (await bot.row(request_id)).status is Status.PENDING


async def test_attack_button_clicked_by_a_slack_connect_outsider(bot: Bot):
    """Olga of Fabrikam is in the channel; Slack lets her press, and Bolt says that the team is ours."""
    request_id = await bot.pending()
    bot.sandbox.slack.join(ON_CALL, OLGA)
    presses = list(product((Action.APPROVE, Action.DENY), ("T0FABRIKAM", "E0FABRIKAM", TEAM)))
    for action, team in presses:
        with bot.deliveries.forging(lambda payload, team=team: by_user(payload, OLGA, team)):
            await bot.people.open(OLGA, action)
    assert await bot.refused() == [(OLGA, Code.NOT_A_MEMBER)] * len(presses)
    assert (await bot.row(request_id)).status is Status.PENDING


async def test_attack_approver_removed_from_the_channel_between_card_and_click(bot: Bot):
    request_id = await bot.pending_for_ken()
    bot.sandbox.slack.leave(ON_CALL, KEN)
    for action in (Action.APPROVE, Action.DENY):  # a press by Aiko, in Ken's name
        with bot.deliveries.forging(lambda payload: by_user(payload, KEN, TEAM)):
            await bot.people.open(AIKO, action)
    assert await bot.refused() == [(KEN, Code.NOT_AN_APPROVER)] * 2
    assert (await bot.row(request_id)).status is Status.PENDING


async def test_attack_delivery_signed_with_another_secret(bot: Bot):
    request_id = await bot.pending()
    metadata = private_metadata(request_id, (await bot.row(request_id)).revision)
    denial = form(Callback.DENY, metadata=metadata, user=KEN, **{Field.DENIAL: "because"})
    assert (await bot.post(denial, secret="another")).status_code == 401
    assert (await bot.row(request_id)).status is Status.PENDING
    assert (await bot.post(denial)).status_code == 200
    await bot.reaches(request_id, Status.DENIED)


async def signed_in(bot: Bot) -> dict[str, str]:
    found = {user: await bot.app.deps.sign_ins.account(UserId(user)) for user in (KEN, AIKO)}
    return {user: account.username for user, account in found.items() if account is not None}


async def test_attack_forwarded_sign_in_link(bot: Bot):
    """Ken, the attacker, sends his link to Aiko, who signs in: nothing is linked, and it is in the log."""
    page = await bot.people.browser.sign_in(await bot.people.sign_in_link(KEN), AIKO_ACCOUNT)
    assert (page.status_code, await signed_in(bot)) == (403, {})
    assert await bot.refused(Event.SIGN_IN_REFUSED) == [(KEN, Code.WRONG_ACCOUNT)]
    await bot.people.until(lambda: "aiko@contoso.com" in bot.people.modal_text(KEN))


async def test_attack_forwarded_sign_in_link_with_the_leads_address_in_the_attackers_profile(bot: Bot):
    """On some Slack plans people change their own address. Then the page is what stands in the way."""
    bot.sandbox.slack.change_person(KEN, email="aiko@contoso.com")
    lead = bot.people.browser
    page = await lead.arrive(await bot.people.sign_in_link(KEN), AIKO_ACCOUNT)
    assert "Ken Ito" in page.text
    assert "aiko@contoso.com" in page.text
    assert await signed_in(bot) == {}
    assert DECLINED in (await lead.confirm(page, "no")).text
    assert await signed_in(bot) == {}
    assert await bot.refused(Event.SIGN_IN_REFUSED) == [(KEN, Code.DECLINED)]
    assert await bot.people.title_after(KEN, ENGLISH["sign_in.title"]) == ENGLISH["code.declined.title"]


async def test_attack_yes_pressed_for_somebody_else(bot: Bot):
    """The attacker knows the form, but not the cookie of the lead's browser, or the other way round."""
    bot.sandbox.slack.change_person(KEN, email="aiko@contoso.com")
    lead, attacker = bot.people.browser, Browser()
    page = await lead.arrive(await bot.people.sign_in_link(KEN), AIKO_ACCOUNT)
    assert (await attacker.confirm(page)).status_code == 410
    forged = await lead.http.post(f"{bot.url}/sign-in/confirm", data={"page": "x" * 43, "answer": "yes"})
    assert (forged.status_code, await signed_in(bot)) == (410, {})
    await attacker.http.aclose()


async def test_attack_replayed_callback(bot: Bot):
    """What Microsoft sent back is brought a second time, from another browser."""
    browser, attacker = bot.people.browser, Browser()
    back, fields = await browser.answer_of_microsoft(await bot.people.sign_in_link(KEN), KEN_ACCOUNT)
    bot.sandbox.journal.calls.clear()
    first = await browser.come_back(back, fields)
    again = await attacker.come_back(back, fields)
    assert (first.status_code, again.status_code) == (200, 410)
    assert "set-cookie" not in again.headers
    assert await signed_in(bot) == {}
    await browser.confirm(first)
    assert await signed_in(bot) == {KEN: "ken@contoso.com"}
    assert [call["note"] for call in bot.people.calls("/token")] == ["code"]
    await attacker.http.aclose()


async def test_attack_replayed_yes(bot: Bot):
    """A page that was answered is answered again with everything that the browser had."""
    browser = Browser()
    page = await browser.arrive(await bot.people.sign_in_link(KEN), KEN_ACCOUNT)
    cookies = dict(browser.http.cookies)
    await browser.confirm(page)
    await bot.people.hear(KEN, "sign-out")
    browser.http.cookies.update(cookies)
    assert ((await browser.confirm(page)).status_code, await signed_in(bot)) == (410, {})
    await browser.http.aclose()


async def test_attack_token_of_another_tenant(bot: Bot):
    """The app was made multi-tenant by mistake, and an account of elsewhere signs in."""
    bot.sandbox.entra.multitenant = True
    page = await bot.people.browser.sign_in(await bot.people.sign_in_link(KEN), user_actions.KEN_AT_FABRIKAM)
    assert (page.status_code, "another organization" in page.text) == (403, True)
    assert await signed_in(bot) == {}
    assert await bot.refused(Event.SIGN_IN_REFUSED) == [(KEN, Code.WRONG_TENANT)]


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"aud": "00000000-0000-4000-8000-000000000000"}, Code.BAD_TOKEN),
        ({"iss": f"https://login.microsoftonline.com/{OTHER_TENANT_ID}/v2.0"}, Code.BAD_TOKEN),
        ({"nonce": "of another sign-in"}, Code.BAD_TOKEN),
        ({"idp": "live.com"}, Code.GUEST_ACCOUNT),
    ],
    ids=["id_token for another client", "another issuer", "another sign-in", "a guest"],
)
async def test_attack_id_token_for_another_client(bot: Bot, claims: dict[str, object], code: Code):
    """A token that Microsoft signed, but not for this app, this tenant or this sign-in."""
    bot.sandbox.entra.tamper = claims
    page = await bot.people.browser.sign_in(await bot.people.sign_in_link(KEN), KEN_ACCOUNT)
    assert (page.status_code, await signed_in(bot)) == (403, {})
    assert await bot.refused(Event.SIGN_IN_REFUSED) == [(KEN, code)]


async def test_attack_account_that_is_tied_already(bot: Bot):
    await bot.people.sign_in(AIKO)
    bot.sandbox.slack.change_person(KEN, email="aiko@contoso.com")
    page = await bot.people.browser.sign_in(await bot.people.sign_in_link(KEN), AIKO_ACCOUNT)
    assert (page.status_code, "already linked" in page.text) == (403, True)
    assert await signed_in(bot) == {AIKO: "aiko@contoso.com"}


async def test_attack_swapped_vault_rows(bot: Bot):
    """The owner of the database puts Aiko's encrypted tokens into Ken's row: they do not open there."""
    await bot.people.sign_in(KEN)
    await bot.people.sign_in(AIKO)
    rows = tables.sign_ins.c
    read = bot.app.deps.database.read
    (one, first), (other, second) = await read(lambda c: c.execute(select(rows.user, rows.sealed)).all())
    for user, sealed in ((one, second), (other, first)):
        await bot.execute(update(tables.sign_ins).where(rows.user == user).values(sealed=sealed))
    request_id = await bot.pending()
    for user in (KEN, AIKO):
        assert await bot.review(user) == ENGLISH["sign_in.title"]
    assert (await bot.row(request_id)).status is Status.PENDING


async def test_attack_approver_who_lost_the_intune_role(bot: Bot):
    request_id = await bot.pending_for_ken()
    before = len(await bot.people.resets())
    assert await bot.review() == ENGLISH["review.title"]
    await bot.people.role(KEN, may_reset=False)
    await bot.people.submit(KEN)
    title = await bot.people.title_after(KEN, ENGLISH["review.title"])
    assert title in (ENGLISH["error.ApproverRefused.title"], ENGLISH["approved.title"])
    await bot.reaches(request_id, Status.PENDING)
    assert len(await bot.people.resets()) == before


async def test_attack_revoked_session(bot: Bot):
    """Entra ended Ken's sessions: his kept token resets nothing more, and he has to prove who he is."""
    await bot.pending_for_ken()
    bot.sandbox.intune.revoke_session(KEN_ACCOUNT)
    assert await bot.review() == ENGLISH["sign_in.title"]


async def test_attack_sign_in_of_an_approver_who_left(bot: Bot):
    """Ken is deactivated in Slack: a press in his name, or a look with his token, is refused and ends it."""
    await bot.pending_for_ken()
    bot.sandbox.slack.change_person(KEN, kind="deactivated")
    with bot.deliveries.forging(lambda payload: by_user(payload, KEN, "T0CONTOSO")):
        await bot.people.open(AIKO, "approve")
    assert (KEN, Code.NOT_A_MEMBER) in await bot.refused()
    assert await signed_in(bot) == {}
    ended = [(who, facts["kind"]) for who, what, facts in await bot.audit_rows() if what == "signed_out"]
    assert ended == [(KEN, "deactivated")]


# On the rows: no phone is reset, and no passcode shown, on the word of whoever writes to the database


async def row_of(bot: Bot, table: Any) -> dict[str, Any]:
    """The only row of this table."""
    [row] = await bot.app.deps.database.read(lambda connection: connection.execute(select(table)).all())
    return dict(row._mapping)


async def put_back(bot: Bot, table: Any, row: dict[str, Any]) -> None:
    for statement in (delete(table), insert(table).values(row)):
        await bot.execute(statement)


async def test_attack_request_set_to_approved(bot: Bot):
    """With everything that an approval stores, taken from a genuine one."""
    await bot.done()
    approved = await row_of(bot, tables.requests)
    await bot.execute(delete(tables.requests))
    await bot.pending(TOMAS)
    before = len(await bot.people.resets())
    forged = {name: approved[name] for name in ("approval", "decided_by", "decided_at")}
    forged |= {"next_at": (await row_of(bot, tables.requests))["asked_at"]}
    await bot.execute(update(tables.requests).values(forged | {"status": "approved", "attempt": "null"}))
    bot.app.deps.wake_worker()
    assert await bot.review() == ENGLISH["code.tampered.title"]
    assert len(await bot.people.resets()) == before
    assert (KEN, Code.TAMPERED) in await bot.refused()


async def test_attack_another_requester_before_the_approval(bot: Bot):
    """The approval would seal the forgery."""
    await bot.pending_for_ken(TOMAS)
    await bot.execute(update(tables.requests).values(asked_by=OLGA))
    assert await bot.review() == ENGLISH["code.tampered.title"]


@pytest.mark.parametrize("changed", [{"asked_by": OLGA}, {"changed_at": "2099-01-01"}], ids=" ".join)
async def test_attack_passcode_of_a_finished_request(bot: Bot, changed: dict[str, str]):
    """Shown to another person, or for longer."""
    request_id = await bot.done()
    await bot.people.until(lambda: request_id in bot.people.offered(Action.SHOW_PASSCODE))
    await bot.execute(update(tables.requests).values(changed))
    title = await bot.people.open(MEI, "show_passcode", request=request_id)
    assert title == ENGLISH["code.tampered.title"]


async def test_attack_withdrawn_request_that_is_put_back(bot: Bot):
    request_id = await bot.pending(TOMAS)
    await bot.people.until(lambda: request_id in bot.people.offered(Action.WITHDRAW))
    waiting = await row_of(bot, tables.requests)
    await bot.people.press(MEI, "withdraw", request=request_id)
    await bot.reaches(request_id, Status.WITHDRAWN)
    await put_back(bot, tables.requests, waiting)
    assert (await refused(bot.row(request_id))).code is Code.TAMPERED


async def test_attack_sign_in_that_is_put_back(bot: Bot):
    await bot.pending_for_ken(TOMAS)
    kept = await row_of(bot, tables.sign_ins)
    await bot.people.hear(KEN, "sign-out")
    await put_back(bot, tables.sign_ins, kept)
    assert await bot.review() == ENGLISH["sign_in.title"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def life(tmp_path_factory: pytest.TempPathFactory) -> ServedBot:
    """A process that was killed once and ended once; in `killed` is the database as the kill left it."""
    folder = tmp_path_factory.mktemp("life")
    async with served(folder, AUDIT_HEADS=str(folder / "heads.jsonl")) as it:
        await it.pending(TOMAS)
        await it.people.approve()
        await it.end(kill=True)
        copied(folder, folder / "killed")
        await it.start()
        assert await it.end() == 0
    (folder / "log").write_text("\n".join(it.lines))
    return it


def copied(folder: Path, to: Path) -> Path:
    """Copy the database with its journal; returns the copy."""
    to.mkdir(parents=True)
    for file in folder.glob("unlatch.sqlite3*"):
        shutil.copy(file, to)
    return to / "unlatch.sqlite3"


@pytest.fixture
def public_key(life: ServedBot, monkeypatch, capsys) -> str:
    for name, value in life.settings.items():
        monkeypatch.setenv(name, value)
    assert main(["audit", "key"]) == 0
    return capsys.readouterr().out.split()[0]


def verify(database: Path, key: str, *more: str) -> int:
    return main(["audit", "verify", "--database", f"sqlite:///{database}", "--public-key", key, *more])


async def test_a_life_verifies_with_the_heads_of_its_file_and_of_its_log_also_after_a_kill(life, public_key):
    """Each of its starts is in it, the first with all settings."""
    database = life.folder / "unlatch.sqlite3"
    assert verify(life.folder / "killed" / database.name, public_key) == 0
    assert verify(database, public_key, "--heads", str(life.folder / "heads.jsonl"), "--full") == 0
    assert verify(database, public_key, "--heads", str(life.folder / "log")) == 0
    with closing(sqlite3.connect(database)) as rows:
        [started, _] = rows.execute("SELECT facts FROM audit WHERE event = 'started'").fetchall()
    assert "APPROVER_CHANNEL" in started[0]


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("UPDATE audit SET actor = 'U0MALLORY' WHERE event = 'approved'", "row {approved} was changed"),
        ("DELETE FROM audit WHERE event = 'approved'", "row {next} follows row"),
        ("DELETE FROM audit WHERE seq > 3", "the log ends at row 3, but a kept head names row {last}"),
        ("UPDATE audit SET facts = '{}' WHERE seq = (SELECT max(seq) FROM audit)", "row {last}"),
    ],
    ids=["edited row", "removed row", "cut tail", "edited last row"],
)
async def test_attack_on_the_record(life, public_key, tmp_path, capsys, statement, named):
    database = copied(life.folder, tmp_path / "tampered")
    with closing(sqlite3.connect(database)) as rows, rows:
        [approved] = rows.execute("SELECT seq FROM audit WHERE event = 'approved'").fetchone()
        [last] = rows.execute("SELECT max(seq) FROM audit").fetchone()
        for (name,) in rows.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            rows.execute(f"DROP TRIGGER {name}")
        rows.execute(statement)
    assert verify(database, public_key, "--heads", str(life.folder / "heads.jsonl")) == 1
    assert named.format(approved=approved, next=approved + 1, last=last) in capsys.readouterr().out
