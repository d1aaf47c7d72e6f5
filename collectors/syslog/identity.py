"""Who a sender proved to be, as one text for the column `identity`.

A certificate: the common name of its subject, else the first DNS name of its subjectAltName, else the first IP address,
else its whole subject. RFC 5425 section 5.2 matches dNSName and common name; the common name comes first because it is
what a site's own CA writes for a device, one name for one certificate. Only verified certificates get here.

A local process: what the kernel knows of who wrote to the Unix socket (unix(7), SCM_CREDENTIALS), and nobody can forge:
`uid=1000 pid=4711`. The process id that a program writes behind its tag stays `proc_id`.
"""

import ssl
import struct
from collections.abc import Iterator
from typing import Any, Final

LENGTH: Final = 255  # of an identity: a CA may sign a longer name, but it stands in every row
CREDENTIALS: Final = struct.Struct("=iII")  # struct ucred: pid, uid, gid
_ALERTS: Final = {
    "TLSV1_ALERT_UNKNOWN_CA": "the sender does not trust our certificate: give it the CA that signed cert_file",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "the sender finds our certificate expired",
    "SSLV3_ALERT_BAD_CERTIFICATE": "the sender refuses our certificate: is it for the name or address that it calls?",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "the sender refuses our certificate: does it know the CA that signed it?",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "the sender shows no certificate, and client_certificates is required",
    "HTTP_REQUEST": "the sender speaks HTTP",
    "WRONG_VERSION_NUMBER": "the sender speaks no TLS",
    "UNSUPPORTED_PROTOCOL": "the sender knows no TLS 1.2",
    "NO_SHARED_CIPHER": "the sender and we have no cipher in common",
}


def read_subject(certificate: dict[str, Any] | None) -> str | None:
    """Name the holder of a verified certificate; None where the sender showed none."""
    if not certificate:
        return None
    subject = [pair for names in certificate.get("subject", ()) for pair in names]
    alternatives = certificate.get("subjectAltName", ())
    found = next(_named(subject, "commonName"), None)
    for kind in ("DNS", "IP Address"):
        found = found or next(_named(alternatives, kind), None)
    return (found or ",".join(f"{key}={value}" for key, value in subject) or "certificate without a name")[:LENGTH]


def _named(pairs: Any, name: str) -> Iterator[str]:
    return (str(value) for key, value in pairs if key == name and value)


def read_credentials(ucred: bytes) -> str:
    """Name a local process by its struct ucred."""
    pid, uid, _ = CREDENTIALS.unpack(ucred)
    return f"uid={uid} pid={pid}"


def explain_handshake(error: OSError) -> str:
    """Say in words why a handshake failed."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the sender's certificate is refused: {error.verify_message}"
    if isinstance(error, ssl.SSLEOFError | ConnectionError):
        return "the sender broke it off"
    if isinstance(error, ssl.SSLError):
        reason = error.reason or "no reason given"
        return _ALERTS.get(reason, reason.replace("_", " ").lower())
    return error.strerror or str(error)
