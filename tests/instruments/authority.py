"""Certificates, right ones and wrong ones."""

from __future__ import annotations

import datetime as dt
import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Authority:
    """A certificate authority with everything a test may want to be wrong."""

    def __init__(self, folder, name):
        self._folder, self._name = folder / name, name
        self._folder.mkdir()
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = self._sign(self._key, name, issuer=name, days=(-1, 30), authority=True)
        self.ca_file = self._write("ca.pem", self._certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, name, days=(-1, 30), host="127.0.0.1"):
        """Paths of a certificate and its key, valid from and to these days from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._sign(key, name, issuer=self._name, days=days, host=host)
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        public = certificate.public_bytes(serialization.Encoding.PEM)
        return self._write(f"{name}.pem", public), self._write(f"{name}.key", secret)

    def _write(self, name, data):
        path = self._folder / name
        path.write_bytes(data)
        return str(path)

    def _sign(self, key, name, issuer, days, host=None, *, authority=False):
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + dt.timedelta(days=days[0]))
            .not_valid_after(now + dt.timedelta(days=days[1]))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            # What RFC 5280 demands of a certificate, and Python 3.13 checks (ssl.VERIFY_X509_STRICT):
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .add_extension(_usage(authority), critical=True)
        )
        if host:
            address = x509.IPAddress(ipaddress.ip_address(host))
            builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
        return builder.sign(self._key, hashes.SHA256())


def _usage(authority):
    """An authority signs certificates; everybody else signs handshakes."""
    names = (
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "encipher_only",
        "decipher_only",
    )
    uses = dict.fromkeys(names, False)
    return x509.KeyUsage(digital_signature=True, key_cert_sign=authority, crl_sign=authority, **uses)
