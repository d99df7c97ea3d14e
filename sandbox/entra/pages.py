"""The pages that a browser sees: pick an account, a refusal, and the form that goes back to the app."""

from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response

from sandbox.cast import Account
from sandbox.entra.grants import AuthorizationRequest
from sandbox.entra.refusals import Refusal

STYLE_PATH: Final = "/entra/sign-in.css"
SUBMIT_PATH: Final = "/entra/submit.js"
_HERE: Final = Path(__file__).parent

_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<link rel="stylesheet" href="{style}">
<link rel="icon" href="data:,">
{head}</head>
<body>
<main class="card">
<p class="sandbox" role="note"><strong>Sandbox sign-in:</strong> no real Microsoft account, no password.</p>
{content}
</main>
</body>
</html>
"""


async def style(_request: Request) -> Response:
    return FileResponse(_HERE / "sign_in.css", media_type="text/css")


async def submit_script(_request: Request) -> Response:
    return FileResponse(_HERE / "submit.js", media_type="text/javascript")


def picker_path(asked: AuthorizationRequest, key: str) -> str:
    """Where the page of a request can be seen again."""
    return f"/entra/{quote(asked.tenant)}/oauth2/v2.0/authorize/account?flow={quote(key)}"


def picker(asked: AuthorizationRequest, key: str, accounts: Iterable[Account], app_name: str) -> Response:
    """The people who can sign in, the hinted one first."""
    hint = asked.login_hint.casefold()
    ordered = sorted(accounts, key=lambda account: (account.upn.casefold() != hint, account.upn))
    ordered.sort(key=lambda account: account.upn.casefold() != hint and account.tenant_id != asked.tenant)
    rows = "\n".join(_row(account, asked.tenant, asked.login_hint) for account in ordered)
    again = '<p class="lead">Sign in again to confirm that it is you.</p>' if asked.prompt == "login" else ""
    content = f"""<h1>Pick an account</h1>
<p class="lead">to continue to <strong>{escape(app_name)}</strong></p>
{again}
<form method="post" action="/entra/{quote(asked.tenant)}/oauth2/v2.0/authorize/account">
<input type="hidden" name="flow" value="{escape(key)}">
<ul>
{rows}
</ul>
<button class="cancel" name="account" value="nobody">Cancel</button>
</form>
<details><summary>What {escape(app_name)} asks for</summary>
<ul class="scopes">{"".join(f"<li>{escape(_short(scope))}</li>" for scope in asked.scopes.asked)}</ul>
</details>"""
    sources = f"'self' {_origin(asked.redirect_uri)}"
    return _page("Pick an account", content, form_action=sources)


def refused(refusal: Refusal, *, again: str = "") -> Response:
    """A refusal that stays here: the browser is not sent anywhere."""
    link = f'<p><a class="again" href="{escape(again)}">Pick another account</a></p>' if again else ""
    content = f"""<h1>Sorry, we cannot sign you in</h1>
<p class="error" role="alert">{escape(str(refusal))}</p>
{link}"""
    return _page("Sign-in refused", content, status=400)


def expired() -> Response:
    content = """<h1>This page is too old</h1>
<p role="alert">Go back to Slack and ask for a new sign-in link.</p>"""
    return _page("This page is too old", content, status=400)


def form_post(redirect_uri: str, fields: Mapping[str, str]) -> Response:
    """The form that carries the answer to the app: sends itself, or waits for the button without scripts."""
    inputs = "\n".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
        for name, value in fields.items()
    )
    content = f"""<h1>Working…</h1>
<p class="lead">Taking you back to the app.</p>
<form id="back" method="post" action="{escape(redirect_uri)}">
{inputs}
<button class="primary">Continue</button>
</form>"""
    head = f'<script src="{SUBMIT_PATH}" defer></script>\n'
    return _page("Working…", content, form_action=_origin(redirect_uri), head=head, script="'self'")


def _row(account: Account, tenant: str, hint: str) -> str:
    hinted = account.upn.casefold() == hint.casefold()
    marks = '<span class="mark">suggested</span>' if hinted else ""
    if account.tenant_id != tenant:
        marks += '<span class="mark other">another organisation</span>'
    return f"""<li><button name="account" value="{escape(account.oid)}"{" autofocus" if hinted else ""}>
<span class="face" aria-hidden="true">{escape(_initials(account.name))}</span>
<span class="who"><span class="name">{escape(account.name)}</span>
<span class="upn">{escape(account.upn)}</span></span>{marks}</button></li>"""


def _initials(name: str) -> str:
    return "".join(word[0] for word in name.split()[:2]).upper()


def _short(scope: str) -> str:
    return scope.rpartition("/")[2]


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _page(
    title: str,
    content: str,
    *,
    status: int = 200,
    form_action: str = "'none'",
    script: str = "'none'",
    head: str = "",
) -> Response:
    policy = (
        f"default-src 'none'; style-src 'self'; img-src data:; script-src {script}; "
        f"form-action {form_action}; base-uri 'none'; frame-ancestors 'none'"
    )
    html = _PAGE.format(title=escape(title), style=STYLE_PATH, head=head, content=content)
    headers = {
        "Content-Security-Policy": policy,
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
    }
    return HTMLResponse(html, status_code=status, headers=headers)
