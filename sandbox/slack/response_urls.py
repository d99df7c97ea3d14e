"""POST /slack/response/{token}: what an app says through a response URL."""

import json
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from sandbox.slack.blocks import accepted_blocks
from sandbox.slack.platform import Platform
from sandbox.slack.refusals import Refused
from sandbox.slack.shapes import Block, JsonObject
from sandbox.slack.tickets import ResponseUrl
from sandbox.slack.workspace import Message


@dataclass(frozen=True, slots=True)
class _Said:
    body: JsonObject
    text: str
    blocks: list[Block] | None

    def flag(self, name: str) -> bool:
        return str(self.body.get(name, "")).lower() == "true"

    @property
    def public(self) -> bool:
        return self.body.get("response_type") == "in_channel"


class ResponseUrlEndpoint:
    """Response URLs at work (docs.slack.dev/interactivity/handling-user-interaction)."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._workspace = platform.workspace

    async def answer(self, request: Request) -> Response:
        """Answer one HTTP request: `ok`, or an error with status 404 or 400."""
        token, error, status = request.path_params["token"], "", 200
        with self._platform.journal.recording("slack", "response_url", "/slack/response/…") as line:
            try:
                url = self._platform.response_urls.look(token)
            except Refused as refused:
                error, status = refused.error, 404
            else:
                try:
                    self._say(url, _said(await request.body()))
                    self._platform.response_urls.use(token)
                except Refused as refused:
                    error, status = refused.error, 400
            line.status, line.note = status, f"ok:false {error}" if error else ""
        if error:
            return JSONResponse({"ok": False, "error": error}, status)
        return PlainTextResponse("ok")

    def _say(self, url: ResponseUrl, said: _Said) -> None:
        original = self._original(url)
        if said.flag("delete_original"):
            if original is not None:
                self._workspace.remove(original)
            if not said.text and not said.blocks:
                return
        if not said.text and not said.blocks:
            raise Refused("no_text")
        if original is not None and self._replaces(said, original):
            self._workspace.edit(original, text=said.text, blocks=said.blocks)
        else:
            self._add(url, said)

    def _original(self, url: ResponseUrl) -> Message | None:
        """The message that was clicked (only an app's can be); a slash command leaves none behind."""
        if url.message_ts is None:
            return None
        return self._workspace.message(url.channel, url.message_ts, seen_by=url.user)

    def _replaces(self, said: _Said, original: Message) -> bool:
        if said.flag("delete_original"):
            return False
        if "replace_original" in said.body:
            return said.flag("replace_original")
        # Said to the channel without a word about the original, Slack overwrites it.
        return said.public and original.only_for is None

    def _add(self, url: ResponseUrl, said: _Said) -> None:
        if said.public:
            bot, thread_ts = self._workspace.bot.id, said.body.get("thread_ts")
            self._workspace.post(
                url.channel, user=bot, text=said.text, blocks=said.blocks, thread_ts=thread_ts
            )
        else:
            self._workspace.show_only(url.user, url.channel, text=said.text, blocks=said.blocks)


def _said(raw: bytes) -> _Said:
    try:
        body = json.loads(raw)
    except ValueError:
        raise Refused("invalid_payload") from None
    if not isinstance(body, dict):
        raise Refused("invalid_payload")
    blocks = body.get("blocks")
    return _Said(body, str(body.get("text") or ""), accepted_blocks(blocks) if blocks else None)
