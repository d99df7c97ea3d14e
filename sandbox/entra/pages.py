"""The pages that a browser sees: pick an account, a refusal, and the form that goes back to the app."""

from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

from starlette.responses import FileResponse, HTMLResponse, Response

from sandbox.cast import Account
from sandbox.entra.grants import Question
from sandbox.entra.refusals import Refusal

DEVICE_PATH: Final = "/entra/devicelogin"
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


def style() -> Response:
    return FileResponse(_HERE / "sign_in.css", media_type="text/css")


def submit_script() -> Response:
    return FileResponse(_HERE / "submit.js", media_type="text/javascript")


def picker_path(question: Question, key: str) -> str:
    """Where the page of a question can be seen again."""
    return f"/entra/{quote(question.tenant)}/oauth2/v2.0/authorize/account?flow={quote(key)}"


def picker(question: Question, key: str, accounts: Iterable[Account], app_name: str) -> Response:
    """The people who can sign in, the hinted one first."""
    hint = question.login_hint.casefold()
    ordered = sorted(accounts, key=lambda account: (account.upn.casefold() != hint, account.upn))
    ordered.sort(key=lambda account: account.upn.casefold() != hint and account.tenant_id != question.tenant)
    rows = "\n".join(_row(account, question.tenant, question.login_hint) for account in ordered)
    anew = (
        '<p class="lead">You are asked to prove who you are anew.</p>' if question.prompt == "login" else ""
    )
    content = f"""<h1>Pick an account</h1>
<p class="lead">to continue to <strong>{escape(app_name)}</strong></p>
{anew}
<form method="post" action="/entra/{quote(question.tenant)}/oauth2/v2.0/authorize/account">
<input type="hidden" name="flow" value="{escape(key)}">
<ul>
{rows}
</ul>
<button class="cancel" name="account" value="nobody">Use nobody: cancel</button>
</form>
<details><summary>What {escape(app_name)} asks for</summary>
<ul class="scopes">{"".join(f"<li>{escape(_short(scope))}</li>" for scope in question.scopes.asked)}</ul>
</details>"""
    sources = f"'self' {_origin(question.redirect_uri)}"
    return _page("Pick an account", content, form_action=sources)


def refused(refusal: Refusal, *, again: str = "") -> Response:
    """A refusal that stays here: the browser is not sent anywhere."""
    link = f'<p><a class="again" href="{escape(again)}">Pick another account</a></p>' if again else ""
    content = f"""<h1>Sorry, we cannot sign you in</h1>
<p class="error" role="alert">{escape(refusal.described)}</p>
{link}"""
    return _page("Sign-in refused", content, status=400)


def expired() -> Response:
    content = """<h1>This page is too old</h1>
<p role="alert">Go back to Slack and ask for a new sign-in link.</p>"""
    return _page("This page is too old", content, status=400)


def type_code(*, wrong: bool = False) -> Response:
    """Where a device code is typed."""
    told = (
        '<p class="error" role="alert">That code did not work. Check it, and try again.</p>' if wrong else ""
    )
    content = f"""<h1>Enter code</h1>
<p class="lead">Enter the code that your app shows. Do not enter codes from sources you do not trust.</p>
{told}
<form method="post" action="{DEVICE_PATH}">
<label>Code <input name="code" autocomplete="off" autocapitalize="characters" required autofocus></label>
<button class="primary">Next</button>
</form>"""
    return _page("Enter code", content, status=400 if wrong else 200, form_action="'self'")


def device_picker(code: str, tenant: str, accounts: Iterable[Account], app_name: str) -> Response:
    """Who uses this code?"""
    ordered = sorted(accounts, key=lambda account: (account.tenant_id != tenant, account.upn))
    rows = "\n".join(_row(account, tenant, "") for account in ordered)
    content = f"""<h1>Are you trying to sign in to {escape(app_name)}?</h1>
<p class="lead">Only continue if you asked for this code yourself.</p>
<form method="post" action="{DEVICE_PATH}/account">
<input type="hidden" name="code" value="{escape(code)}">
<ul>
{rows}
</ul>
<button class="cancel" name="account" value="nobody">Use nobody: cancel</button>
</form>"""
    return _page("Pick an account", content, form_action="'self'")


def device_done(app_name: str, *, declined: bool = False) -> Response:
    """The page has nothing more to ask."""
    if declined:
        return _page("Cancelled", "<h1>You have cancelled</h1>\n<p>You may close this page.</p>")
    content = f"""<h1>You have signed in to {escape(app_name)} on your device</h1>
<p>You may now close this page.</p>"""
    return _page("Signed in", content)


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
