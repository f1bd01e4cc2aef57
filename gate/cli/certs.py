"""Certificates to develop and try with: a CA, and one certificate for each side of the sync.

They are good for a year. A real installation has its own CA; these files show which are needed.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gate.cli.errors import CliError
from gate.files import PUBLIC, replace_file

_LIFETIME: Final = datetime.timedelta(days=365)

CA: Final = "ca"
SERVERS: Final = ("registry", "gate")
CLIENTS: Final = ("registry-client", "gate-client")


class CertsError(CliError):
    """The folder can't be used; says what to do."""


@dataclass(slots=True, frozen=True)
class _Pair:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def init(folder: Path, names: Sequence[str], *, now: datetime.datetime) -> list[Path]:
    """Make the CA and all certificates in `folder`; gives the files.

    `names` are the host names and IP addresses under which the two servers are reached.
    Raises CertsError, also when a CA is there already: nothing is replaced by accident.
    """
    if (folder / f"{CA}.pem").exists():
        raise CertsError(
            f"{folder / CA}.pem is there already; remove it to begin anew, or name another folder"
        )
    authority = _make_ca(now)
    pairs = {CA: authority}
    try:
        for name in SERVERS:
            pairs[name] = _issue(authority, name, ExtendedKeyUsageOID.SERVER_AUTH, names, now)
    except ValueError as error:
        raise CertsError(
            f"a name can't stand in a certificate: {error}; use its A-label"
        ) from error
    for name in CLIENTS:
        pairs[name] = _issue(authority, name, ExtendedKeyUsageOID.CLIENT_AUTH, (), now)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # The CA's certificate last: it is the sign that everything is there.
        return [path for name in (*SERVERS, *CLIENTS, CA) for path in _save(folder, name, pairs)]
    except OSError as error:
        raise CertsError(f"can't write certificates to {folder}: {error}") from error


def _make_ca(now: datetime.datetime) -> _Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _subject("filing-gate development CA")
    builder = _builder(subject, subject, key, now).add_extension(
        x509.BasicConstraints(ca=True, path_length=0), critical=True
    )
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    builder = builder.add_extension(usage, critical=True).add_extension(identifier, critical=False)
    return _Pair(builder.sign(key, hashes.SHA256()), key)


def _issue(
    authority: _Pair,
    name: str,
    usage: x509.ObjectIdentifier,
    hosts: Sequence[str],
    now: datetime.datetime,
) -> _Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        _builder(_subject(name), authority.certificate.subject, key, now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()),
            critical=False,
        )
    )
    if hosts:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([_general_name(host) for host in hosts]), critical=False
        )
    return _Pair(builder.sign(authority.key, hashes.SHA256()), key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + _LIFETIME)
    )


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _save(folder: Path, name: str, pairs: dict[str, _Pair]) -> list[Path]:
    pair = pairs[name]
    key_path, path = folder / f"{name}.key", folder / f"{name}.pem"
    key = pair.key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    replace_file(key_path, key)
    replace_file(path, pair.certificate.public_bytes(serialization.Encoding.PEM), mode=PUBLIC)
    return [key_path, path]
