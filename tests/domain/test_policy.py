"""Who may do what: every rule by itself."""

from dataclasses import replace

import pytest
from bot.domain import errors
from bot.domain.errors import (
    NotAMember,
    NotAnApprover,
    NotARequester,
    OwnAccount,
    OwnDevice,
    OwnRequest,
    SignInRefused,
    UnlatchError,
)
from bot.domain.people import Kind
from bot.domain.policy import (
    Rules,
    check_account,
    check_approver,
    check_binding,
    check_member,
    check_owner,
    check_requester,
    check_signer,
)
from bot.domain.why import Code
from tests.fakes.devices import LEOS_PHONE
from tests.fakes.people import AIKO, CHANNEL, KEN, MEI
from tests.fakes.sign_ins import account_of


@pytest.mark.parametrize("kind", sorted(set(Kind) - {Kind.MEMBER}))
def test_whoever_is_no_full_member_may_do_nothing(kind):
    person = replace(KEN, kind=kind)

    for check in (
        lambda: check_member(person),
        lambda: check_requester(person, in_audience=True),
        lambda: check_approver(person, asked_by=MEI.id, in_channel=True, on_call=True),
        lambda: check_signer(person, in_channel=True),
    ):
        with pytest.raises(NotAMember) as refusal:
            check()
        assert refusal.value.kind == kind


def test_a_requester_is_in_the_audience():
    assert check_requester(MEI, in_audience=True) is None
    with pytest.raises(NotARequester):
        check_requester(MEI, in_audience=False)


@pytest.mark.parametrize(("in_channel", "on_call"), [(False, True), (True, False), (False, False)])
def test_an_approver_is_in_the_channel_and_on_call(in_channel, on_call):
    assert check_approver(KEN, asked_by=MEI.id, in_channel=True, on_call=True) is None
    with pytest.raises(NotAnApprover):
        check_approver(KEN, asked_by=MEI.id, in_channel=in_channel, on_call=on_call)


def test_nobody_approves_their_own_request():
    with pytest.raises(OwnRequest):
        check_approver(MEI, asked_by=MEI.id, in_channel=True, on_call=True)


def test_who_signs_in_is_in_the_channel():
    assert check_signer(KEN, in_channel=True) is None
    with pytest.raises(NotAnApprover):
        check_signer(KEN, in_channel=False)


def test_who_acts_is_not_the_requester_under_another_name():
    ken = account_of(KEN)

    assert check_account(ken, approver=KEN, requester=MEI, requester_account=None) is None
    assert check_account(ken, approver=KEN, requester=MEI, requester_account=account_of(MEI)) is None
    another_tenants = account_of(MEI, tenant="another", oid=ken.oid)
    assert check_account(ken, approver=KEN, requester=MEI, requester_account=another_tenants) is None
    for approver, requester, account in (
        (KEN, MEI, account_of(KEN, username="renamed", emails=frozenset())),
        (KEN, replace(MEI, email="KEN@contoso.com"), None),
        (KEN, MEI, account_of(MEI, emails=frozenset({"ken@contoso.com"}))),
        (KEN, MEI, account_of(MEI, username="Ken@Contoso.com")),
        (replace(KEN, email="mei@contoso.com"), MEI, None),
    ):
        with pytest.raises(OwnAccount):
            check_account(ken, approver=approver, requester=requester, requester_account=account)


OWNED = {
    "by nobody known": (LEOS_PHONE, False),
    "by Ken's address": (replace(LEOS_PHONE, owner_email="KEN@contoso.com"), True),
    "by Ken's sign-in name": (replace(LEOS_PHONE, owner_upn="ken@contoso.com"), True),
    "by Ken's object id": (replace(LEOS_PHONE, owner_id="OID-Ken"), True),
    "without an owner": (replace(LEOS_PHONE, owner_upn="", owner_email="", owner_id=""), False),
}


@pytest.mark.parametrize(("device", "is_kens"), OWNED.values(), ids=OWNED)
def test_nobody_has_their_own_device_reset_unless_the_installer_allows_it(device, is_kens):
    strict = Rules(approver_channel=CHANNEL, requesters=())
    lenient = replace(strict, allow_owner_approval=True)
    who = {"approver": KEN, "account": account_of(KEN)}

    assert check_owner(device, rules=lenient, **who) is None
    if is_kens:
        with pytest.raises(OwnDevice):
            check_owner(device, rules=strict, **who)
    else:
        assert check_owner(device, rules=strict, **who) is None


def test_an_account_is_tied_to_the_slack_user_with_its_address_and_to_no_other():
    ken = account_of(KEN)

    assert check_binding(ken, person=KEN, tied_to=None) is None
    assert check_binding(ken, person=KEN, tied_to=KEN.id) is None
    for person, tied_to, code in (
        (AIKO, None, Code.WRONG_ACCOUNT),
        (replace(KEN, email=None), None, Code.WRONG_ACCOUNT),
        (KEN, AIKO.id, Code.ACCOUNT_TAKEN),
    ):
        with pytest.raises(SignInRefused) as refusal:
            check_binding(ken, person=person, tied_to=tied_to)
        assert refusal.value.why.code is code


def test_the_drawn_tree_of_errors_is_the_tree_there_is():
    drawn = errors.__doc__ or ""
    real = [
        each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, UnlatchError)
    ]

    assert [each.__name__ for each in real if each.__name__ not in drawn] == []


@pytest.mark.parametrize(
    ("error", "parent"),
    [
        (errors.SignInNeeded, errors.Refusal),
        (errors.CouldNotVerify, errors.Refusal),
        (errors.AlreadyDecided, errors.NotNow),
        (errors.OwnAccount, errors.NotAllowed),
        (errors.NeverLeft, errors.GraphError),
        (errors.CannotShow, errors.SlackError),
    ],
)
def test_an_error_is_caught_by_what_it_means(error, parent):
    assert issubclass(error, parent)
    assert not issubclass(errors.LostRace, errors.Refusal)
    assert not issubclass(errors.GraphError, errors.Refusal)
