"""The pages of the sign-in: plain HTML, no script, nothing from elsewhere, nothing kept by the browser."""

import base64
import hashlib
import html
from typing import Final

from starlette.responses import HTMLResponse

from bot.domain.people import Account, Person
from bot.domain.secret import Secret
from bot.domain.visible import visible

_STYLE: Final = """
:root { color-scheme: light dark;
  --ink: #1d2733; --paper: #f4f6f8; --card: #fff; --line: #d5dbe1; --go: #14532d; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6ebf0; --paper: #12171c; --card: #1b2229; --line: #35404a; --go: #22763f; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1rem;
  background: var(--paper); color: var(--ink); font: 1.05rem/1.5 system-ui, sans-serif; }
main { max-width: 30rem; background: var(--card); border: 1px solid var(--line); border-radius: 14px;
  padding: 2rem; box-shadow: 0 6px 24px rgb(0 0 0 / 8%); }
h1 { font-size: 1.4rem; line-height: 1.25; margin: 0 0 .75rem; }
p { margin: 0 0 1rem; }
dl { margin: 0 0 1rem; }
dt { margin-top: .75rem; }
dd { margin: .25rem 0 0; overflow-wrap: anywhere; }
.who { border-left: 4px solid var(--go); padding-left: .75rem; font-weight: 600; }
button { font: inherit; font-weight: 600; color: #fff; background: var(--go); border: 0; border-radius: 8px;
  padding: .7rem 1.2rem; cursor: pointer; width: 100%; }
button + button { margin-top: .75rem; background: none; color: inherit; border: 1px solid var(--line); }
button:focus-visible { outline: 3px solid #5aa2ff; outline-offset: 2px; }
small { opacity: .85; }
"""

_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

HEADERS: Final = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex",
}


CONFIRM: Final = "/sign-in/confirm"
FIELD: Final = "page"
ANSWER: Final = "answer"
YES: Final = "yes"


def confirm_page(person: Person, account: Account, secret: Secret) -> HTMLResponse:
    """Which account is about to be tied to which person in Slack. Nothing is tied before the yes."""
    return _page(
        "Who is tied to whom",
        f"""<h1>Are both of these you?</h1>
<dl>
<dt>You signed in with Microsoft as</dt>
<dd class="who">{escape(account.name)}<br>{escape(account.username)}</dd>
<dt>and are about to be tied to this person in Slack:</dt>
<dd class="who">{escape(person.name)}<br>{escape(person.email or "")}</dd>
</dl>
<p>What this person approves in Slack is then done with your Microsoft account. Only go on if that is you.</p>
<form method="post" action="{CONFIRM}">
<input type="hidden" name="{FIELD}" value="{escape(secret.reveal())}">
<button name="{ANSWER}" value="{YES}">Yes, both are me</button>
<button name="{ANSWER}" value="no">No, somebody sent me this link</button>
</form>""",
    )


def done_page(person: str, account: str) -> HTMLResponse:
    """The sign-in is finished."""
    return _page(
        "Signed in",
        f"""<h1>You are signed in</h1>
<p class="who">{escape(person)} in Slack acts as {escape(account)}</p>
<p>Go back to Slack: the window that you left open goes on by itself. You can close this page.</p>""",
    )


def told_page(title: str, sentence: str, *, status: int) -> HTMLResponse:
    """A sentence that says what to do next."""
    return _page(title, f"<h1>{escape(title)}</h1>\n<p>{escape(sentence)}</p>", status=status)


def escape(text: str) -> str:
    """Text as it looks: names are chosen by their owners, who may turn the words around them."""
    return html.escape(visible(text))


def _page(title: str, body: str, *, status: int = 200) -> HTMLResponse:
    whole = f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title><style>{_STYLE}</style></head>
<body><main>
{body}
</main></body>
</html>"""
    return HTMLResponse(whole, status_code=status, headers=HEADERS)
