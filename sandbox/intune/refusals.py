"""What Graph and Intune refuse, in their own shapes: Intune hides JSON inside `message`, sometimes twice."""

import base64
import json
from typing import Final
from uuid import uuid4

_AUTHORITY: Final = (
    'Bearer realm="", authorization_uri="https://login.microsoftonline.com/common/oauth2/authorize", '
    'client_id="00000003-0000-0000-c000-000000000000"'
)
READ_SCOPES: Final = (
    "DeviceManagementManagedDevices.Read.All",
    "DeviceManagementManagedDevices.ReadWrite.All",
)
RESET_SCOPES: Final = ("DeviceManagementManagedDevices.PrivilegedOperations.All",)


class GraphError(Exception):
    """One refused call: HTTP status, the error's `code` and `message`, a note for the journal, headers."""

    def __init__(
        self, status: int, code: str, message: str, *, note: str = "", headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(f"{status} {code}")
        self.status = status
        self.code = code
        self.message = message
        self.note = note or code
        self.headers = headers or {}


def bad_token(message: str) -> GraphError:
    """401 for a token that is absent, malformed, expired or for another resource."""
    headers = {"WWW-Authenticate": _AUTHORITY}
    return GraphError(401, "InvalidAuthenticationToken", message, headers=headers)


def claims_challenge(claims: str) -> GraphError:
    """401 that a new sign-in can cure: the claims request (JSON) travels in base64."""
    encoded = base64.b64encode(claims.encode()).decode()
    challenge = f'{_AUTHORITY}, error="insufficient_claims", claims="{encoded}"'
    message = (
        "Continuous access evaluation resulted in challenge with result: InteractionRequired and code: "
        "TokenIssuedBeforeRevocationTimestamp"
    )
    return GraphError(
        401,
        "InvalidAuthenticationToken",
        message,
        note="insufficient_claims",
        headers={"WWW-Authenticate": challenge},
    )


def missing_scope(scopes: tuple[str, ...]) -> GraphError:
    """403 of Intune: the token lacks the permission."""
    said = (
        "Application is not authorized to perform this operation. Application must have one of the "
        f"following scopes: {', '.join(scopes)}"
    )
    return GraphError(403, "Forbidden", _wrapped(said), note="Forbidden: scope")


def no_role_to_reset() -> GraphError:
    """403 of Intune: the person lacks the role."""
    said = "User is not authorized to perform this operation"
    return GraphError(403, "Forbidden", _wrapped(said), note="Forbidden: role")


def no_role_to_read() -> GraphError:
    """401 of Intune for a person without a role: wrapped twice, and no sign-in will cure it."""
    inner = json.dumps(_inner("User is not authorized to perform this operation", bearer=True))
    message = json.dumps({"ErrorCode": "Forbidden", "Message": inner})
    return GraphError(401, "UnknownError", message, note="UnknownError: role")


def not_found() -> GraphError:
    """404 of Intune for a device or app that is not there, or out of the caller's scope."""
    return GraphError(404, "ResourceNotFound", _wrapped("The requested resource was not found"))


def unknown_path(form: str) -> GraphError:
    """400 where an address is not known: by Graph's own router, or by Intune behind it.

    Source: microsoft-graph-docs-contrib issues 2981 and 5880, msgraph-sdk-powershell issue 1831.
    """
    if form == "app":
        return bad_request("Resource not found for the segment 'resetPasscode'.")
    said = (
        "No OData route exists that match template ~/entityset/key/navigation/key/action with http verb POST"
    )
    return GraphError(400, "No method match route template", _wrapped(said), note="no such path")


def no_user(key: str) -> GraphError:
    message = (
        f"Resource '{key}' does not exist or one of its queried reference-property objects are not present."
    )
    return GraphError(404, "Request_ResourceNotFound", message)


def unsupported_platform() -> GraphError:
    """400 with a generic text, as real Intune answers: it does not say that the platform is the reason."""
    return GraphError(400, "BadRequest", _wrapped("Bad Request"), note="BadRequest: platform")


def bad_request(message: str) -> GraphError:
    return GraphError(400, "BadRequest", message)


def not_known(what: str) -> GraphError:
    """501: Graph may know this, but the sandbox has no answer that could be trusted."""
    return GraphError(501, "NotImplemented", f"The sandbox does not know this: {what}")


def wrong_method(method: str) -> GraphError:
    return GraphError(405, "Request_BadRequest", f"Specified HTTP method '{method}' is not allowed here.")


def _wrapped(said: str) -> str:
    return json.dumps(_inner(said), indent=2).replace("\n", "\r\n")


def _inner(said: str, *, bearer: bool = False) -> dict[str, object]:
    activity = uuid4()
    return {
        "_version": 3,
        "Message": (
            f"{said} - Operation ID (for customer support): 00000000-0000-0000-0000-000000000000 - "
            f"Activity ID: {activity} - Url: https://fef.msua02.manage.microsoft.com/DeviceFE/"
            "StatelessDeviceFEService/deviceManagement/managedDevices"
        ),
        "CustomApiErrorPhrase": "",
        "RetryAfter": None,
        "ErrorSourceService": "",
        "HttpHeaders": json.dumps({"WWW-Authenticate": "Bearer"} if bearer else {}),
    }
