"""Keys and certificates in PEM."""

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PrivateFormat

Key = RSAPrivateKey | EllipticCurvePrivateKey


def certificate(key: Key, *hosts: str, days: int = 1) -> str:
    """A certificate of this key for these hosts, which is its own CA."""
    name, until = x509.Name([]), datetime.now(UTC) + timedelta(days=days)
    names = x509.SubjectAlternativeName([*map(x509.DNSName, hosts or ["unlatch"])])
    built = x509.CertificateBuilder(name, name, key.public_key(), 1, until - timedelta(days=9), until)
    built = built.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    return built.add_extension(names, critical=True).sign(key, SHA256()).public_bytes(Encoding.PEM).decode()


def pem(key: Key, *, password: bytes = b"") -> str:
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption).decode()
