"""Every duration in one value, checked when it is built and passed down; tests build one in milliseconds."""

from dataclasses import dataclass, fields
from datetime import timedelta
from itertools import pairwise


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long things may take.

    At most one reset per approval stands on `lease > work_timeout > attempt > graph_timeout`: nobody else
    takes a row whose call is still out. A value that breaks this order, or is not positive, cannot be built.
    """

    # the life of a request
    lifetime: timedelta = timedelta(hours=1)
    """How long a request waits for an approver before it expires."""
    remind_every: timedelta = timedelta(minutes=15)
    verify_for: timedelta = timedelta(minutes=5)
    """How long a lookup that fails is tried again before the request is refused."""
    verify_retry: timedelta = timedelta(seconds=10)
    send_for: timedelta = timedelta(minutes=2)
    """How long an approved reset that was not sent is tried again before it needs another approval."""
    send_retry: timedelta = timedelta(seconds=5)
    attempt: timedelta = timedelta(seconds=60)
    """An attempt older than this is waited for by nobody."""
    settle: timedelta = timedelta(minutes=15)
    """How long an uncertain attempt is looked for on the device before a human has to decide."""
    skew: timedelta = timedelta(minutes=2)
    """How far Intune's clock may be behind ours."""
    same_reset: timedelta = timedelta(seconds=1)
    """Intune may round the start of one and the same action differently from one read to the next."""
    silent_after: timedelta = timedelta(hours=24)
    recently: timedelta = timedelta(minutes=15)
    """A device reset within this time is reset again only knowingly."""
    reveal_for: timedelta = timedelta(hours=1)
    """How long the requester can view a new passcode."""
    publish_for: timedelta = timedelta(days=1)
    """How long a finished request's messages are tried again."""

    # sign-ins
    link_lifetime: timedelta = timedelta(minutes=10)
    sign_in_max_age: timedelta = timedelta(hours=8)
    fresh_within: timedelta = timedelta(minutes=10)
    """With FRESH_SIGN_IN: how long ago the approver may have signed in interactively."""

    # calls
    graph_timeout: timedelta = timedelta(seconds=30)
    """One use of Graph, from connecting to the last byte; of a read with its pages and retries."""
    entra_timeout: timedelta = timedelta(seconds=15)
    """One use of Entra, with its wait for a thread; how long Entra may be silent in a call."""
    entra_away: timedelta = timedelta(seconds=10)
    """Once Entra was waited for in vain, nobody else waits for so long; then one call tries."""
    slack_timeout: timedelta = timedelta(seconds=10)
    trigger_timeout: timedelta = timedelta(seconds=2.5)
    """`views.open`: a trigger_id lives for three seconds from the press."""
    start_for: timedelta = timedelta(minutes=1)
    """How long a start waits for a Slack that is busy."""
    socket_ping: timedelta = timedelta(seconds=5)
    """A socket that stays silent for half as long after a ping is opened anew."""
    socket_retry: timedelta = timedelta(seconds=2)
    """The pause after a socket could not be opened."""
    acknowledgement_drawn: timedelta = timedelta(seconds=0.5)
    """By then Slack has drawn the acknowledgement of a form; it would cover a result drawn earlier."""

    # the database
    lock_timeout: timedelta = timedelta(seconds=2)
    """How long a transaction waits for another's lock; of another process on SQLite."""
    idle_timeout: timedelta = timedelta(seconds=3)
    """A replica that freezes within a transaction holds the others up for so long."""
    statement_timeout: timedelta = timedelta(seconds=5)
    database_answer: timedelta = timedelta(seconds=7)
    """How long PostgreSQL may be silent; its own limits above hold only while it runs."""
    database_wait: timedelta = timedelta(seconds=10)
    """A unit or a read that has waited for so long is not begun."""

    # the worker
    lease: timedelta = timedelta(seconds=90)
    """How long a claimed row belongs to one replica."""
    work_timeout: timedelta = timedelta(seconds=75)
    """How long one row may be worked on."""
    retry: timedelta = timedelta(seconds=5)
    """When a row is looked at again that the database did not let us finish."""
    idle: timedelta = timedelta(seconds=5)
    """Another replica's new rows are seen after this long at the latest."""
    periodic: timedelta = timedelta(minutes=1)
    channel_looked_at: timedelta = timedelta(hours=1)
    """How long what Slack said of the approver channel holds."""
    stalled_after: timedelta = timedelta(seconds=30)
    """A queue that nobody has looked at for so long makes /readyz fail."""

    # starting and stopping
    handover: timedelta = timedelta(seconds=30)
    """How long a start waits for the process that still serves the same SQLite file."""
    unready: timedelta = timedelta(seconds=2)
    """How long /readyz says that the bot stops before its listener closes."""
    answers: timedelta = timedelta(seconds=5)
    """How long shutdown then waits for answers over HTTP; Slack waits for three seconds."""
    grace: timedelta = timedelta(seconds=20)
    """How long shutdown then waits for modals and rows."""
    stop: timedelta = timedelta(seconds=30)
    """The whole of it: what still hangs then is left behind as in a crash."""

    def __post_init__(self) -> None:
        """Refuse a value that is not positive and an order that would allow a second reset."""
        for field in fields(self):
            if getattr(self, field.name) <= timedelta(0):
                raise ValueError(f"{field.name} must be longer than nothing")
        order = ("lease", "work_timeout", "attempt", "graph_timeout")
        for longer, shorter in pairwise(order):
            if getattr(self, longer) <= getattr(self, shorter):
                raise ValueError(f"{longer} must be longer than {shorter}")
        if self.database_answer <= max(self.lock_timeout, self.idle_timeout, self.statement_timeout):
            raise ValueError("database_answer must be longer than PostgreSQL's own limits")
        if self.stalled_after <= self.idle:
            raise ValueError("stalled_after must be longer than idle")
        if self.send_for <= self.send_retry:
            raise ValueError("send_for must be longer than send_retry")

    def poll_after(self, waited: timedelta) -> timedelta:
        """Return the pause before the next look at a device that has had the command for `waited`."""
        if waited < timedelta(minutes=1):
            return timedelta(seconds=5)
        return timedelta(seconds=30) if waited < timedelta(minutes=15) else timedelta(minutes=10)
