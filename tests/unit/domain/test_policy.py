"""Who may do what: every check by itself."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from bot.domain.errors import Cause, Code, Refusal
from bot.domain.people import Audience, AudienceKind
from bot.domain.policy import check_account, check_fresh, check_linking, check_owner
from tests.support.builders import AIKO, CHANNEL, IN_CHANNEL, KEN, LEOS_PHONE, MEI, NOON, RULES, account_of

KENS = account_of(KEN)
SECOND = timedelta(seconds=1)
MEIS_ADDRESSES = ("mei@contoso.com", "mei+on+call@contoso.com")
KENS_ADDRESSES = ("KEN@contoso.com", "Ken+alt@contoso.com")
OTHERS = ("+ken@contoso.com", "ken+alt@fabrikam.com")


def refusal_by(check: Callable[..., None], *who: object, **what: object) -> Cause | None:
    try:
        return check(*who, **what)
    except Refusal as refusal:
        return refusal.cause


@pytest.mark.parametrize(
    ("approver", "requester", "account", "code"),
    [
        *((KEN, MEI, theirs, None) for theirs in (None, account_of(MEI))),
        (KEN, MEI, account_of(MEI, tenant="another", oid=KENS.oid), None),
        *((KEN, replace(MEI, email=email), None, None) for email in (None, *OTHERS)),
        *((KEN, replace(MEI, email=email), None, Code.OWN_ACCOUNT) for email in KENS_ADDRESSES),
        (KEN, MEI, account_of(KEN, username="renamed", emails=frozenset()), Code.OWN_ACCOUNT),
        (KEN, MEI, account_of(MEI, emails=frozenset({"ken@contoso.com"})), Code.OWN_ACCOUNT),
        (KEN, MEI, account_of(MEI, username="Ken@Contoso.com"), Code.OWN_ACCOUNT),
        *((replace(KEN, email=email), MEI, None, Code.OWN_ACCOUNT) for email in MEIS_ADDRESSES),
    ],
)
def test_an_approver_is_not_the_requester_under_another_name(approver, requester, account, code):
    people = {"approver": approver, "requester": requester}
    then = account and account.key
    assert refusal_by(check_account, KENS, **people, theirs=account, asked_as=None) == (code and Cause(code))
    asked = refusal_by(check_account, KENS, **people, theirs=None, asked_as=then)
    assert asked == (Cause(code) if code and (account is None or then == KENS.key) else None)


@pytest.mark.parametrize(
    ("owner", "is_kens"),
    [
        ({}, False),
        *(({"owner_email": email}, True) for email in ("KEN@contoso.com", "ken+phone@contoso.com")),
        *(({"owner_upn": "ken@contoso.com"}, True), ({"owner_id": "OID-Ken"}, True)),
        ({"owner_upn": "", "owner_email": "", "owner_id": ""}, False),
    ],
)
def test_an_owner_approves_no_reset_of_their_own_device_unless_the_installer_allows_it(owner, is_kens):
    device = replace(LEOS_PHONE, **owner)
    lenient = replace(RULES, allow_owner_approval=True)
    assert refusal_by(check_owner, device, approver=KEN, account=KENS, rules=lenient) is None
    refusal = refusal_by(check_owner, device, approver=KEN, account=KENS, rules=RULES)
    assert refusal == (Cause(Code.OWN_DEVICE, {"device": device.name}) if is_kens else None)


@pytest.mark.parametrize(
    ("within", "authenticated_at", "is_fresh"),
    [
        *((None, None, True), (None, NOON - timedelta(days=1), True), (10 * SECOND, None, False)),
        *((10 * SECOND, NOON - 10 * SECOND, True), (10 * SECOND, NOON - 11 * SECOND, False)),
    ],
)
def test_a_fresh_sign_in_is_asked_for_only_where_the_installer_does(within, authenticated_at, is_fresh):
    account = replace(KENS, authenticated_at=authenticated_at)
    needed = refusal_by(check_fresh, account, now=NOON, within=within)
    assert needed == (None if is_fresh else Cause(Code.SIGN_IN_NEEDED))


@pytest.mark.parametrize(
    ("person", "linked_to", "code", "facts"),
    [
        *((KEN, linked_to, None, {}) for linked_to in (None, KEN.id)),
        (replace(KEN, email="Ken@Contoso.COM"), None, None, {}),
        (AIKO, None, Code.WRONG_ACCOUNT, {"expected": "aiko@contoso.com"}),
        (replace(KEN, email="ken+@contoso.com"), None, Code.WRONG_ACCOUNT, {"expected": "ken+@contoso.com"}),
        (replace(KEN, email=None), None, Code.WRONG_ACCOUNT, {"expected": ""}),
        (KEN, AIKO.id, Code.ACCOUNT_TAKEN, {}),
    ],
)
def test_an_account_is_linked_to_the_slack_user_with_its_address_only(person, linked_to, code, facts):
    refusal = refusal_by(check_linking, KENS, person=person, linked_to=linked_to)
    assert refusal == (code and Cause(code, {"account": KENS.username} | facts))


@pytest.mark.parametrize(
    ("text", "audience"),
    [
        ("workspace", Audience(AudienceKind.WORKSPACE)),
        (f" channel:{CHANNEL} ", IN_CHANNEL),
        ("channel:G0PRIVATE", Audience(AudienceKind.CHANNEL, "G0PRIVATE")),
        ("usergroup:S0ONCALL", Audience(AudienceKind.USERGROUP, "S0ONCALL")),
        *((text, None) for text in ("", "everybody", "channel:", "channel", "channel:C0-1", "workspace:T0")),
        *((text, None) for text in ("channel:S0ONCALL", "usergroup:C0ONCALL")),
    ],
)
def test_an_audience_is_read_from_the_setting_or_is_none(text, audience):
    assert Audience.parse(text) == Audience.parse(str(audience)) == audience
