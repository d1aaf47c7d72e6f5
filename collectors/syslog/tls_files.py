"""The files of a TLS listener: from PEM to a context, taken up anew when they change, without a restart.

    cert_file, key_file, ca_file ──thread──► context ──► the next handshakes; connections that are made keep theirs
              ▲                                  └─ what cannot be used: the old context goes on, a problem in status
              └─ looked at every two seconds

Source: RFC 5425 section 4.2, RFC 9662 (TLS 1.2 at least, with forward secrecy).
"""

import asyncio
import ssl
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

from collectors.syslog.certificate import Validity, read_validity
from collectors.syslog.listener import Listener
from collectors.syslog.shown import Problem

LOOK_SECONDS: Final = 2.0
WARN_DAYS: Final = 14
_WANTED: Final = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}
_RENEW: Final = "put the new cert_file and key_file in its place: they are taken up without a restart"


class FilesUnusable(OSError):
    """No context can be made of the files; `remedy` tells a sysadmin what to do."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.remedy = remedy


class _Loaded(NamedTuple):
    context: ssl.SSLContext
    validity: Validity


class TlsFiles:
    """Owns the context of one listener. What is in use is whole: it is replaced by one that could be loaded, or kept."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._seen = _look(listener)
        self._loaded = _load(listener)
        self._failed: FilesUnusable | None = None
        self.renewals = 0

    @classmethod
    async def open(cls, listener: Listener) -> "TlsFiles":
        """Read the files for the first time.

        Raises:
            FilesUnusable: with the reason and what to do.
        """
        return await asyncio.to_thread(cls, listener)

    @property
    def context(self) -> ssl.SSLContext:
        """For the next handshake."""
        return self._loaded.context

    @property
    def facts(self) -> dict[str, object]:
        """What status shows: whole days until a certificate of the chain ends, and how often they were renewed."""
        return {"certificate_days": _days_left(self._loaded.validity), "certificate_renewals": self.renewals}

    @property
    def problems(self) -> list[Problem]:
        """New files that cannot be used, and a certificate that ends soon."""
        found = list(_judge(self._listener, self._loaded.validity))
        if self._failed is not None:
            said = f"the new files cannot be used, the old certificate goes on: {self._failed}"
            found.insert(0, Problem(said, self._failed.remedy))
        return found

    async def renew(self) -> None:
        """Look whether the files have changed, and take them up; files that cannot be used change nothing."""
        seen = await asyncio.to_thread(_look, self._listener)
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._loaded = await asyncio.to_thread(_load, self._listener)
        except FilesUnusable as error:
            self._failed = error
        else:
            self._failed = None
            self.renewals += 1


def find_problems(listener: Listener) -> list[Problem]:
    """Say what is wrong with the files of a TLS listener as they are now; for `edgepost check`."""
    try:
        loaded = _load(listener)
    except FilesUnusable as error:
        return [Problem(str(error), error.remedy)]
    found = list(_judge(listener, loaded.validity))
    if Path(listener.key_file or "").stat().st_mode & stat.S_IROTH:
        found.append(Problem(f"everybody may read key_file {listener.key_file}", f"chmod o= {listener.key_file}"))
    return found


def _files(listener: Listener) -> list[tuple[str, str]]:
    """Name and path of each file that is set."""
    named = (("cert_file", listener.cert_file), ("key_file", listener.key_file), ("ca_file", listener.ca_file))
    return [(name, path) for name, path in named if path]


def _look(listener: Listener) -> list[tuple[int, ...] | None]:
    """Give what changes whenever a file is written, replaced, or becomes readable."""
    found: list[tuple[int, ...] | None] = []
    for _, path in _files(listener):
        try:
            now = Path(path).stat()
        except OSError:
            found.append(None)
        else:
            found.append((now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns))
    return found


def _load(listener: Listener) -> _Loaded:
    texts = {name: _read(name, path) for name, path in _files(listener)}
    cert, key = f"cert_file {listener.cert_file}", f"key_file {listener.key_file}"
    try:
        validity = read_validity(texts["cert_file"])
    except ValueError as error:
        raise FilesUnusable(f"{cert}: {error}", "give a file with certificates in PEM, ours first") from error
    if "PRIVATE KEY-----" not in texts["key_file"]:
        raise FilesUnusable(f"{key}: there is no private key in it", "give the key of the certificate, in PEM")
    if "ENCRYPTED" in texts["key_file"]:
        remedy = f"take it off: openssl pkey -in {listener.key_file} -out NEW.key"
        raise FilesUnusable(f"{key} has a passphrase", remedy)
    context = _new_context(listener)
    try:
        context.load_cert_chain(
            listener.cert_file or "", listener.key_file, password=lambda: b""
        )  # never asks a terminal
    except (ssl.SSLError, OSError) as error:
        reason = getattr(error, "reason", None) or error.strerror or str(error)
        if reason == "KEY_VALUES_MISMATCH":
            raise FilesUnusable(f"{key} is not the key of {cert}", "give files that belong together") from error
        raise FilesUnusable(f"{cert} with {key}: {_said(reason)}", "give PEM files that belong together") from error
    try:
        if listener.ca_file:
            context.load_verify_locations(listener.ca_file)
    except (ssl.SSLError, OSError) as error:
        raise FilesUnusable(
            f"ca_file {listener.ca_file}: there is no certificate in it", "give a file of PEM"
        ) from error
    return _Loaded(context, validity)


def _read(name: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii", errors="replace")
    except OSError as error:
        remedy = f"check the path, and who may read it: namei -l {path}"
        raise FilesUnusable(f"{name} {path} cannot be read: {error.strerror}", remedy) from error


def _new_context(listener: Listener) -> ssl.SSLContext:
    """Set what does not come from a file.

    No session tickets: a sender that never reads would leave them in its receive buffer, and a close with unread bytes
    is a reset, which overtakes its last lines.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.num_tickets = 0
    context.verify_mode = _WANTED[listener.client_certificates]
    return context


def _days_left(validity: Validity) -> int:
    return (validity.ends - datetime.now(UTC)) // timedelta(days=1)


def _judge(listener: Listener, validity: Validity) -> Iterator[Problem]:
    """Say whether senders will soon refuse the certificate, or do already."""
    certificate, now = f"the certificate in cert_file {listener.cert_file}", datetime.now(UTC)
    if now >= validity.ends:
        yield Problem(f"{certificate} has expired on {validity.ends:%Y-%m-%d}: senders refuse it", _RENEW)
    elif now < validity.begins:
        said = f"{certificate} is not valid before {validity.begins:%Y-%m-%d %H:%M} UTC"
        yield Problem(said, "check this machine's clock: timedatectl")
    elif (days := _days_left(validity)) < WARN_DAYS:
        yield Problem(f"{certificate} ends in {days} days, on {validity.ends:%Y-%m-%d}", _RENEW)


def _said(reason: str) -> str:
    return reason.replace("_", " ").lower()
