"""How Unlatch proves to Entra that it is the registered app: a secret, or a certificate."""

import re
from dataclasses import dataclass
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

_BLOCK: Final = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)


@dataclass(frozen=True, slots=True, repr=False)
class Credential:
    """What MSAL calls `client_credential`."""

    for_msal: str | dict[str, str]

    @classmethod
    def secret(cls, secret: str) -> Self:
        """A client secret."""
        return cls(secret)

    @classmethod
    def certificate(cls, pem: str) -> Self:
        """A PEM text with an unencrypted private key and its certificate, in any order.

        Raises ValueError with a sentence for the installer that repeats nothing of the PEM.
        """
        blocks = {match.group(1): match.group(0) for match in reversed(list(_BLOCK.finditer(pem)))}
        key = next((text for name, text in blocks.items() if name.endswith("PRIVATE KEY")), "")
        certificate = blocks.get("CERTIFICATE", "")
        if not (key and certificate):
            raise ValueError("the certificate file needs a PRIVATE KEY block and a CERTIFICATE block")
        _check(key, certificate)
        return cls({"private_key": key, "public_certificate": certificate})

    def __repr__(self) -> str:
        """Never the secret."""
        return "Credential(…)"


def _check(key: str, certificate: str) -> None:
    try:
        private = load_pem_private_key(key.encode(), password=None)
        public = x509.load_pem_x509_certificate(certificate.encode()).public_key()
    except (ValueError, TypeError):
        raise ValueError(
            "the certificate file cannot be read; the private key must not be encrypted"
        ) from None
    if private.public_key() != public:
        raise ValueError("the private key and the certificate in the certificate file do not belong together")
