"""Entra's errors: numbers and sentences are Microsoft's, in data/entra_errors.toml."""

from datetime import datetime

from sandbox.data import load


class Refusal(Exception):
    """One AADSTS error. `error` is the OAuth code, `status` the HTTP status at the token endpoint.

    `facts` fill the names in the error's sentence. `claims` is the claims request (JSON) of a step-up.
    """

    def __init__(self, code: int, *, claims: str = "", **facts: object) -> None:
        known = load("entra_errors.toml")[str(code)]
        super().__init__(f"AADSTS{code}: {known['description'].format(**facts)}")
        self.code = code
        self.error = str(known["error"])
        self.status = int(known.get("status", 400))
        self.suberror = str(known.get("suberror", ""))
        self.claims = claims

    @property
    def uri(self) -> str:
        """The `error_uri`: Microsoft's page about this error."""
        return f"https://login.microsoftonline.com/error?code={self.code}"

    def body(self, *, at: datetime, trace: str = "", correlation: str = "") -> dict[str, object]:
        """The JSON body of a refused token request."""
        stamp = f"{at:%Y-%m-%d %H:%M:%SZ}"
        body: dict[str, object] = {
            "error": self.error,
            "error_description": f"{self} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {stamp}",
            "error_codes": [self.code],
            "timestamp": stamp,
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": self.uri,
        }
        more = {"suberror": self.suberror, "claims": self.claims}
        return body | {name: value for name, value in more.items() if value}


def malformed(what: str) -> Refusal:
    return Refusal(9002313, what=what)


def missing(parameter: str) -> Refusal:
    return Refusal(900144, parameter=parameter)
