"""Names for the strings that cross rooms, so that one is never taken for another."""

from typing import NewType

UserId = NewType("UserId", str)
"""A Slack user, `U…` or `W…`; opaque."""

TeamId = NewType("TeamId", str)
"""A Slack workspace, `T…`; on Enterprise Grid payloads may carry the organisation, `E…`, instead."""

ChannelId = NewType("ChannelId", str)
"""A Slack conversation: `C…`, `G…`, or `D…` for a direct message."""

RequestId = NewType("RequestId", str)
"""One request, 32 random hexadecimal digits; what a button carries, never an authority."""

DeviceId = NewType("DeviceId", str)
"""An Intune managedDevice, a GUID."""
