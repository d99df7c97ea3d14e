"""Microsoft's clouds: where Graph and Entra are in each, and the permissions to ask for there.

Source: Microsoft's page "National cloud deployments". Tokens of one cloud are worth nothing in another.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

PERMISSIONS: Final = (
    "DeviceManagementManagedDevices.PrivilegedOperations.All",
    "DeviceManagementManagedDevices.Read.All",
)
"""Delegated: to reset a passcode, and to see the device. There is no narrower permission for a reset."""


class Cloud(StrEnum):
    """The value is what `CLOUD` is set to."""

    GLOBAL = "global"
    """Also GCC."""
    US_GOV = "usgov"
    """GCC High."""
    US_GOV_DOD = "usgov-dod"
    CHINA = "china"


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The addresses of one cloud."""

    resource: str
    """Graph's origin; also what its permissions are prefixed with."""
    authority_host: str

    @property
    def graph_url(self) -> str:
        """The base of every Graph call."""
        return f"{self.resource}/v1.0"

    def authority(self, tenant: str) -> str:
        """The address of `tenant` (a GUID) at Entra."""
        return f"https://{self.authority_host}/{tenant}"

    @property
    def scopes(self) -> tuple[str, ...]:
        """What a sign-in asks for. One fixed list: after a revocation MSAL keeps tokens of other lists."""
        return tuple(f"{self.resource}/{permission}" for permission in PERMISSIONS)


ENDPOINTS: Final[Mapping[Cloud, Endpoints]] = {
    Cloud.GLOBAL: Endpoints("https://graph.microsoft.com", "login.microsoftonline.com"),
    Cloud.US_GOV: Endpoints("https://graph.microsoft.us", "login.microsoftonline.us"),
    Cloud.US_GOV_DOD: Endpoints("https://dod-graph.microsoft.us", "login.microsoftonline.us"),
    Cloud.CHINA: Endpoints("https://microsoftgraph.chinacloudapi.cn", "login.chinacloudapi.cn"),
}
