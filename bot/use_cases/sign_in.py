"""Sign in: link a Slack user to the Entra account that will act for them, and sign out."""

import hashlib
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from bot.domain.audit import Event
from bot.domain.errors import Code, Refusal, SignInNeeded, SignInRefused, UnlatchError
from bot.domain.people import Account, Actor, Confirmation, Person, SignInLink, SignInResult, SignOutReason
from bot.domain.policy import check_linking, check_member
from bot.domain.values import RequestId, Secret, utc_text
from bot.use_cases.deps import Deps


async def offer(
    deps: Deps, actor: Actor, *, request_id: RequestId | None, view_id: str | None, need: SignInNeeded | None
) -> str:
    """Return the URL of a new single-use link; for who may approve, or may ask where that takes one too.

    The review of `request_id` goes on after the sign-in, in the open modal `view_id`.
    """
    rule = str(deps.channel)
    async with deps.audit_refusals(actor, request_id):
        person = need.approver if need else None
        if person is None:
            person = await deps.member(actor)
            check_member(person)
            if not await deps.in_channel(person):  # on call or not is checked at each decision
                if not deps.rules.requester_sign_in:
                    raise Refusal(Code.NOT_AN_APPROVER, case="sign_in")
                rule = (await deps.requester(actor)).rule
        secret = Secret(secrets.token_urlsafe(32))
        link = SignInLink(
            digest=hashlib.sha256(secret.reveal().encode()).hexdigest(),
            user=person.id,
            team=actor.team,
            expires_at=deps.now() + deps.timing.link_lifetime,
            request_id=request_id,
            view_id=view_id,
            claims=need.claims if need else None,
        )
        url = await deps.links.create(link, secret, limit=deps.rules.links_per_hour)
    facts = {"rule": rule, "team": actor.team or "", "expires_at": utc_text(link.expires_at)}
    await deps.audit(Event.SIGN_IN_STARTED, person.id, request_id, facts)
    return url


async def offer_again(deps: Deps, link: SignInLink, claims: str | None) -> str | None:
    """Return the URL of a new link, with what Microsoft asks for by now; None for who may not sign in."""
    need = SignInNeeded(claims or link.claims)
    try:
        return await offer(deps, actor_of(link), request_id=link.request_id, view_id=link.view_id, need=need)
    except UnlatchError:  # not any more, or too often within the hour
        return None


async def authorization_url(deps: Deps, secret: Secret) -> str:
    """Return Microsoft's address for the browser that opened the link; opening it again uses nothing up.

    Who is not in the approver channel shows who they are, and lends no token.
    """
    link = await deps.links.get(secret)
    person = await deps.member(actor_of(link))
    check_member(person)
    identity_only = deps.rules.requester_sign_in and not await deps.in_channel(person)
    return await deps.links.authorization_url(secret, login_hint=person.email, identity_only=identity_only)


async def receive(deps: Deps, form: Mapping[str, str]) -> tuple[Person, Account, Confirmation]:
    """Return the account that came back, checked, and whose link it is; kept until they confirm both.

    Nothing is linked yet: whoever was sent somebody else's link sees whose it is, and stops here.
    Raises Refusal(LINK_UNUSABLE), SignInRefused (with the link where it is known), Refusal(NOT_A_MEMBER),
    CouldNotVerify.
    """
    async with AsyncExitStack() as stack:
        async with _audit_sign_in_refusals(deps):
            result = await stack.enter_async_context(deps.links.redeem(form))
        person = await _checked(deps, result)
        return person, result.account, await deps.links.hold(result)


async def confirm(deps: Deps, confirmation: Confirmation) -> tuple[SignInLink, Account]:
    """The person said yes: check everything again, and link the account. Raises as `receive` does."""
    async with deps.links.take(confirmation) as result:
        link, account = result.link, result.account
        person = await _checked(deps, result)
        for other in deps.directory.same(person.id) - {person.id}:
            await deps.sign_ins.forget(other, SignOutReason.ASKED)
        facts = {"email": person.email or "", "signed_in_at": utc_text(account.signed_in_at)}
        entry = deps.entry(Event.SIGNED_IN, person.id, link.request_id, account.as_facts() | facts)
        async with _audit_sign_in_refusals(deps, result):
            await deps.sign_ins.keep(person.id, result, entry)
    deps.wake_worker()
    return link, account


async def decline(deps: Deps, confirmation: Confirmation) -> SignInRefused:
    """The person said no: drop the tokens, and return what the Slack user is told."""
    async with deps.links.take(confirmation) as result:
        refused = SignInRefused(Code.DECLINED, account=result.account.username)
        with suppress(SignInRefused):
            async with _audit_sign_in_refusals(deps, result):
                raise refused
    return refused


async def sign_out(deps: Deps, actor: Actor) -> bool:
    """Delete the person's tokens; False where there were none."""
    signed_out = await deps.sign_out(actor.user, SignOutReason.ASKED)
    if not signed_out:  # under this id; another one of theirs may have to be asked for
        signed_out = await deps.sign_out(min(await deps.ids(actor)), SignOutReason.ASKED)
    if signed_out:
        deps.keep_head()
    return signed_out


async def _checked(deps: Deps, result: SignInResult) -> Person:
    """Return whose link it is, where they may be linked to the account that came back."""
    actor = actor_of(result.link)
    async with deps.audit_refusals(actor, result.link.request_id):
        person = await deps.member(actor)
        check_member(person)
    async with _audit_sign_in_refusals(deps, result):
        linked_to = await deps.sign_ins.linked_to(result.account)
        check_linking(result.account, person=person, linked_to=linked_to and deps.id_of(linked_to))
    return person


@asynccontextmanager
async def _audit_sign_in_refusals(deps: Deps, result: SignInResult | None = None) -> AsyncIterator[None]:
    """Leave an audit row for a refused sign-in, under who tried, with the account that came back."""
    try:
        yield
    except SignInRefused as refused:
        if result is not None:
            refused.link = result.link
        if refused.link is not None:
            facts = (result.account.as_facts() if result else {}) | refused.cause.as_facts()
            await deps.audit(Event.SIGN_IN_REFUSED, refused.link.user, refused.link.request_id, facts)
        raise


def actor_of(link: SignInLink) -> Actor:
    """Return whose link it is, as the payload named them that asked for it."""
    return Actor(user=link.user, team=link.team)
