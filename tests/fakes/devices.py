"""An Intune that a test holds in its hand: phones, what was posted, what arrived, what the phones say."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from bot.domain.device import Device, Platform
from bot.domain.errors import ApproverRefused, DeviceRefused, GraphError
from bot.domain.identifiers import DeviceId
from bot.domain.secret import Secret
from bot.domain.target import Target
from bot.ports import ActionSeen, Found
from tests.fakes.clock import HandClock

LEOS_PHONE = Device(
    id=DeviceId("11111111-1111-1111-1111-111111111111"),
    name="Leo's Pixel",
    platform=Platform.ANDROID,
    enrollment="androidEnterpriseDedicatedDevice",
    owner_upn="leo@contoso.com",
)
LEOS_TABLET = replace(
    LEOS_PHONE,
    id=DeviceId("22222222-2222-2222-2222-222222222222"),
    name="Leo's iPad",
    platform=Platform.IPADOS,
    enrollment="appleBulkWithUser",
)
LEOS_LAPTOP = replace(
    LEOS_PHONE,
    id=DeviceId("33333333-3333-3333-3333-333333333333"),
    name="Leo's laptop",
    platform=Platform.WINDOWS,
    os_version="11",
)


@dataclass
class Answer:
    """What happens to one POST: whether it takes effect, what comes back, and whether anything ever does."""

    error: GraphError | None = None
    arrives: bool = False
    hangs: bool = False


ACCEPTED = Answer(arrives=True)


@dataclass(frozen=True)
class Post:
    """One call of resetPasscode that left Unlatch."""

    device: DeviceId
    token: str
    client_request_id: str
    target: Target


@dataclass
class FakeDevices:
    """`posts` left Unlatch; `resets` are those that took effect; `answers` are used up in order."""

    clock: HandClock
    found: list[Device] = field(default_factory=lambda: [LEOS_PHONE])
    answers: list[Answer] = field(default_factory=list)
    posts: list[Post] = field(default_factory=list)
    resets: list[Post] = field(default_factory=list)
    shown: dict[DeviceId, list[ActionSeen]] = field(default_factory=dict)
    passcodes: dict[datetime, str] = field(default_factory=dict)
    started: dict[tuple[datetime, DeviceId], str] = field(default_factory=dict)
    """Whose call began which reset of which device."""
    looked_for: list[Target] = field(default_factory=list)
    read_with: list[str] = field(default_factory=list)
    reading_fails: GraphError | None = None
    refuses_stale_tokens: str | None = None
    """Claims that every read asks for until a token carries them."""
    after_read: Callable[[], object] = lambda: None
    """What happens in the world while a read is on its way."""
    posted: asyncio.Event = field(default_factory=asyncio.Event)

    async def find(self, target: Target, token: Secret) -> Found:
        await self._read(token)
        self.looked_for.append(target)
        return Found(devices=list(self.found), request_ids=["graph-listing"])

    async def reset(self, target: Target, device: DeviceId, token: Secret, *, client_request_id: str) -> str:
        post = Post(device, token.reveal(), client_request_id, target)
        self.posts.append(post)
        answer = self.answers.pop(0) if self.answers else ACCEPTED
        await asyncio.sleep(0)
        if answer.arrives:
            self.resets.append(post)
            self.shows(device, "pending")
            self.started[self.shown[device][-1].started_at, device] = client_request_id
        self.posted.set()
        if answer.hangs:
            await asyncio.Event().wait()
        if answer.error is not None:
            raise answer.error
        return "graph-reset"

    async def actions(self, device: DeviceId, token: Secret) -> Sequence[ActionSeen]:
        await self._read(token)
        return list(self.shown.get(device, []))

    async def passcode(self, device: DeviceId, token: Secret, *, since: datetime) -> Secret | None:
        await self._read(token)
        later = [action for action in self.shown.get(device, []) if action.started_at >= since]
        first = min(later, key=lambda action: action.started_at, default=None)
        done = first is not None and first.state == "done"
        return Secret(self.passcodes[first.started_at]) if first and done else None

    def shows(self, device: DeviceId, state: str, *, ago: timedelta = timedelta(0)) -> None:
        """The device has one more reset, in this state. Intune's clock never stands still between two."""
        shown = self.shown.setdefault(device, [])
        starts = [action.started_at for action in shown]
        soonest = max(starts) + timedelta.resolution if starts and not ago else self.clock.now() - ago
        shown.append(ActionSeen(state=state, started_at=max(self.clock.now() - ago, soonest)))

    def finish(self, state: str = "done", *, passcode: str = "the new passcode", error_code: int = 0) -> None:
        """Every pending reset ends like this."""
        for device, actions in self.shown.items():
            self.shown[device] = [self._ended(action, state, passcode, error_code) for action in actions]

    def _ended(self, action: ActionSeen, state: str, passcode: str, error_code: int) -> ActionSeen:
        if action.state != "pending":
            return action
        self.passcodes[action.started_at] = passcode
        return replace(action, state=state, error_code=error_code)

    async def _read(self, token: Secret) -> None:
        await asyncio.sleep(0)
        self.read_with.append(token.reveal())
        self.after_read()
        if self.reading_fails is not None:
            raise self.reading_fails
        if self.refuses_stale_tokens and self.refuses_stale_tokens not in token.reveal():
            raise ApproverRefused(status=401, claims=self.refuses_stale_tokens)


NO_SUCH_DEVICE = DeviceRefused(status=404, code="ResourceNotFound", message="No such device.")
