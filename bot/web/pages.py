"""The pages of the sign-in: plain HTML, no script, nothing from elsewhere, nothing kept by the browser."""

import base64
import hashlib
import html
from typing import Final

from starlette.responses import HTMLResponse

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
.who { border-left: 4px solid var(--go); padding-left: .75rem; font-weight: 600; }
button { font: inherit; font-weight: 600; color: #fff; background: var(--go); border: 0; border-radius: 8px;
  padding: .7rem 1.2rem; cursor: pointer; width: 100%; }
button:focus-visible { outline: 3px solid #5aa2ff; outline-offset: 2px; }
small { opacity: .85; }
"""

_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

HEADERS: Final = {
    # No form-action: Chromium would apply it to the redirect to Microsoft that answers our own form.
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex",
}


def start_page(person: str, action: str) -> HTMLResponse:
    """Whom the link signs in, and a button that goes on; `action` is the path that the button posts to.

    Opening a link uses nothing up: programs that look at links before people do cannot burn it.
    """
    return _page(
        "Sign in to Unlatch",
        f"""<h1>Sign in to Unlatch</h1>
<p>This ties your Microsoft account to this person in Slack:</p>
<p class="who">{escape(person)}</p>
<p>If that is not you, close this page: somebody sent you their own link.</p>
<form method="post" action="{escape(action)}"><button>Continue to Microsoft</button></form>""",
    )


def done_page(person: str, account: str) -> HTMLResponse:
    """The sign-in is finished."""
    return _page(
        "Signed in",
        f"""<h1>You are signed in</h1>
<p class="who">{escape(person)} in Slack acts as {escape(account)}</p>
<p>Go back to Slack: the window that you left open has gone on by itself. You can close this page.</p>""",
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
