"""What Entra refuses, in Entra's own words and numbers (Microsoft: "Entra authentication error codes")."""

from datetime import datetime
from typing import Final

LOCAL_ONLY: Final = "The sandbox gives no token to an application: a passcode is reset by a person."


class Refusal(Exception):
    """One AADSTS answer. `error` is the OAuth word, `status` the HTTP status at the token endpoint."""

    def __init__(
        self,
        code: int,
        error: str,
        sentence: str,
        *,
        status: int = 400,
        suberror: str = "",
        claims: str = "",
    ) -> None:
        super().__init__(f"AADSTS{code}: {sentence}")
        self.code = code
        self.error = error
        self.status = status
        self.suberror = suberror
        self.claims = claims

    @property
    def described(self) -> str:
        """The sentence with its code in front, as in `error_description`."""
        return str(self)


def token_error(refusal: Refusal, *, at: datetime, trace: str, correlation: str) -> dict[str, object]:
    """The JSON body of a refused token request."""
    stamp = f"{at:%Y-%m-%d %H:%M:%SZ}"
    body: dict[str, object] = {
        "error": refusal.error,
        "error_description": (
            f"{refusal.described} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {stamp}"
        ),
        "error_codes": [refusal.code],
        "timestamp": stamp,
        "trace_id": trace,
        "correlation_id": correlation,
        "error_uri": f"https://login.microsoftonline.com/error?code={refusal.code}",
    }
    if refusal.suberror:
        body["suberror"] = refusal.suberror
    if refusal.claims:
        body["claims"] = refusal.claims
    return body


def unknown_tenant(tenant: str) -> Refusal:
    return Refusal(
        90002, "invalid_request", f"Tenant '{tenant}' not found. Check the tenant id of the authority."
    )


def unknown_client(client_id: str, tenant: str) -> Refusal:
    return Refusal(
        700016,
        "unauthorized_client",
        f"Application with identifier '{client_id}' was not found in the directory '{tenant}'.",
    )


def wrong_redirect(redirect_uri: str, client_id: str) -> Refusal:
    return Refusal(
        50011,
        "invalid_request",
        f"The redirect URI '{redirect_uri}' specified in the request does not match the redirect URIs "
        f"configured for the application '{client_id}'.",
    )


def missing(parameter: str) -> Refusal:
    return Refusal(
        900144, "invalid_request", f"The request body must contain the following parameter: '{parameter}'."
    )


def repeated(parameter: str) -> Refusal:
    return Refusal(
        9002313, "invalid_request", f"Invalid request. The parameter '{parameter}' is there twice."
    )


def malformed(what: str) -> Refusal:
    return Refusal(9002313, "invalid_request", f"Invalid request. Request is malformed or invalid: {what}.")


def other_response_type(asked: str) -> Refusal:
    return Refusal(
        700051,
        "unsupported_response_type",
        f"response_type '{asked}' is not enabled for the application. Use 'code'.",
    )


def unknown_scope(scope: str, app: str) -> Refusal:
    return Refusal(
        650053,
        "invalid_client",
        f"The application '{app}' asked for scope '{scope}' that doesn't exist on the resource "
        "'00000003-0000-0000-c000-000000000000'. Contact the app vendor.",
    )


def invalid_scope(scope: str) -> Refusal:
    return Refusal(
        70011,
        "invalid_scope",
        f"The provided value for the input parameter 'scope' ('{scope}') is not valid.",
    )


def no_consent(scope: str, app: str) -> Refusal:
    return Refusal(
        65001,
        "invalid_grant",
        f"The user or administrator has not consented to use the application '{app}' for '{scope}'. "
        "Send an interactive authorization request for this user and resource.",
        suberror="consent_required",
    )


def consent_declined() -> Refusal:
    return Refusal(65004, "access_denied", "User declined to consent to access the app.")


def nobody_signed_in() -> Refusal:
    return Refusal(50058, "login_required", "A silent sign-in request was sent but no user is signed in.")


def other_tenant(upn: str, tenant: str, app: str) -> Refusal:
    return Refusal(
        50020,
        "invalid_request",
        f"User account '{upn}' from another identity provider does not exist in tenant '{tenant}' and "
        f"cannot access the application '{app}' in that tenant. "
        "Sign out and sign in again with a different account.",
    )


def wrong_secret(client_id: str) -> Refusal:
    return Refusal(
        7000215,
        "invalid_client",
        "Invalid client secret provided. Ensure the secret being sent in the request is the client secret "
        f"value, not the client secret ID, for a secret added to app '{client_id}'.",
        status=401,
    )


def no_client_credential() -> Refusal:
    return Refusal(
        7000218,
        "invalid_client",
        "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
        status=401,
    )


def bad_assertion(code: int, sentence: str) -> Refusal:
    return Refusal(code, "invalid_client", sentence, status=401)


def bad_code(why: str) -> Refusal:
    return Refusal(70000, "invalid_grant", f"Provided grant is invalid or malformed: {why}.")


def redeemed_code() -> Refusal:
    return Refusal(
        54005,
        "invalid_grant",
        "OAuth2 Authorization code was already redeemed, please retry with a new valid code or use an "
        "existing refresh token.",
    )


def expired_grant() -> Refusal:
    return Refusal(70008, "invalid_grant", "The provided authorization code or refresh token has expired.")


def wrong_verifier() -> Refusal:
    return Refusal(
        501481,
        "invalid_grant",
        "The Code_Verifier does not match the code_challenge supplied in the authorization request.",
    )


def revoked_grant(issued_at: datetime) -> Refusal:
    return Refusal(
        50173,
        "invalid_grant",
        "The provided grant has expired due to it being revoked, a fresh auth token is needed. The "
        f"user might have changed or reset their password. "
        f"The grant was issued on '{issued_at:%Y-%m-%dT%H:%M:%S.%fZ}'.",
        suberror="bad_token",
    )


def step_up(claims: str) -> Refusal:
    return Refusal(
        50076,
        "invalid_grant",
        "Due to a configuration change made by your administrator, or because you moved to a new location, "
        "you must use multi-factor authentication to access '00000003-0000-0000-c000-000000000000'.",
        suberror="basic_action",
        claims=claims,
    )


def authorization_pending() -> Refusal:
    return Refusal(
        70016,
        "authorization_pending",
        "OAuth 2.0 device flow error. Authorization is pending. Continue polling.",
    )


def slow_down() -> Refusal:
    return Refusal(70016, "slow_down", "OAuth 2.0 device flow error. Poll less often.")


def expired_device_code() -> Refusal:
    return Refusal(
        70020,
        "expired_token",
        "The provided value for the input parameter 'device_code' is not valid. This code has expired.",
    )


def declined_device_code() -> Refusal:
    return Refusal(65004, "authorization_declined", "User declined to consent to access the app.")


def blocked_by_policy() -> Refusal:
    return Refusal(
        53003,
        "access_denied",
        "Access has been blocked by Conditional Access policies. The access policy does not allow token "
        "issuance.",
    )


def app_only() -> Refusal:
    return Refusal(70001, "unauthorized_client", LOCAL_ONLY)


def other_grant(grant: str) -> Refusal:
    return Refusal(70003, "unsupported_grant_type", f"The app requested an unsupported grant type '{grant}'.")
