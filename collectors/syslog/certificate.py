"""Between which times the certificates of a PEM file are valid.

    PEM ──base64──► DER ──► Certificate { tbsCertificate { version, serial, algorithm, issuer, validity { from, to } } }

Source: RFC 5280 section 4.1 (Certificate, Validity, UTCTime and GeneralizedTime), RFC 7468 (PEM). The ssl module tells
this of the other end's certificate only. Total: what is no certificate gives ValueError, whatever its bytes.
"""

import re
import ssl
from datetime import UTC, datetime
from typing import Final, NamedTuple

_PEM: Final = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_SEQUENCE: Final = 0x30
_VERSION: Final = 0xA0  # [0] EXPLICIT, left out by version 1
_UTC_TIME: Final = 0x17
_GENERALIZED_TIME: Final = 0x18
_BEFORE_VALIDITY: Final = 3  # serialNumber, signature, issuer


class Validity(NamedTuple):
    """From when to when, both in UTC."""

    begins: datetime
    ends: datetime


class _Element(NamedTuple):
    tag: int
    content: bytes
    rest: bytes


def read_validity(pem: str) -> Validity:
    """Give the time in which all certificates of a file are valid.

    Raises:
        ValueError: there is none, or one of them cannot be read.
    """
    each = [_read_der(ssl.PEM_cert_to_DER_cert(text)) for text in _PEM.findall(pem)]
    if not each:
        raise ValueError("there is no certificate in it")
    return Validity(max(one.begins for one in each), min(one.ends for one in each))


def _read_der(der: bytes) -> Validity:
    inside = _take(_take(der, _SEQUENCE).content, _SEQUENCE).content
    if inside[:1] == bytes([_VERSION]):
        inside = _take(inside, _VERSION).rest
    for _ in range(_BEFORE_VALIDITY):
        inside = _take(inside).rest
    begins = _take(_take(inside, _SEQUENCE).content)
    return Validity(_read_time(begins), _read_time(_take(begins.rest)))


def _take(data: bytes, tag: int | None = None) -> _Element:
    """Cut the first element off; its length has one byte, or says in one byte how many follow."""
    if len(data) < 2 or (tag is not None and data[0] != tag):
        raise ValueError("this is no certificate")
    length, at = data[1], 2
    if length > 0x80:
        at += length - 0x80
        length = int.from_bytes(data[2:at], "big")
    if length == 0x80 or len(data) < at + length:
        raise ValueError("the certificate breaks off")
    return _Element(data[0], data[at : at + length], data[at + length :])


def _read_time(element: _Element) -> datetime:
    text = element.content.decode("ascii", "replace")
    if element.tag == _UTC_TIME:  # RFC 5280 section 4.1.2.5.1: years 50 to 99 are of the last century
        text = ("19" if text >= "50" else "20") + text
    elif element.tag != _GENERALIZED_TIME:
        raise ValueError("the certificate has no time where one belongs")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
