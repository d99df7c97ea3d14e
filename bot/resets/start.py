"""Start: which version began to serve, under which settings, and whether they are others than before."""

import hashlib
import json
from collections.abc import Mapping

from bot.domain.record import Entry, Event
from bot.ports import Clock, Record


async def start(record: Record, clock: Clock, *, version: str, settings: Mapping[str, str]) -> None:
    """Put a start on the record. `settings` hold no secret."""
    canonical = json.dumps(dict(settings), ensure_ascii=False, sort_keys=True)
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    before = await record.newest(Event.STARTED)
    facts = {"version": version, "settings": canonical, "digest": digest}
    if before is not None and before.get("digest") != digest:
        facts["configuration_changed"] = "yes"
    await record.note(Entry(event=Event.STARTED, at=clock.now(), facts=facts))
