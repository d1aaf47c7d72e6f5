"""Text that would act on a terminal or deceive its reader: it may be kept, and must be shown written out.

Escapes, bidi controls and what is shown as nothing, in every place that somebody else fills: messages, host names,
states, topics, questions; looked for in everything that a person is shown.
"""

import os
import pty
import re
import select
import signal
import subprocess
import sys
from contextlib import suppress

import aiomqtt
import msgspec
import pytest
from parts.noise import throw_datagrams, throw_questions, throw_streams
from parts.siege import Siege, besieged, lasting
from parts.site import SITE, environment, until

from agent import cells
from wire.text import printable

EVIL = "\x1b[2J\x1b[35m\x1b]0;owned\x07 \x9b31m \u202egnihsup\u2066 \u200b\u2028 \x7f\x08\x08 \U000e0041 \ufeff end"
SEEN = "seen-by-tail"
COLOURS = re.compile("|".join(re.escape(f"\x1b[{code}m") for code in (*cells.COLOURS.values(), "0")))

pytestmark = [pytest.mark.needs("mosquitto"), pytest.mark.timeout(240)]


def lines() -> list[bytes]:
    text = f"{EVIL} {SEEN}"
    return [
        f"<13>Oct 11 22:14:15 host su: {text}".encode(),
        f"<13>Oct 11 22:14:15 ho\x1b[2Jst\u202e su\x9b[1]: {text}".encode(),
        f'<13>1 2026-11-24T01:59:59Z \u202ehost\x1b[2J a\u2066 1 m [i\x1b[2J@1 b="{text}"] {text}'.encode(),
        f"{text} without a header".encode(),
        b"<13>Oct 11 22:14:15 host su: \xff\x9b2J " + text.encode(),
    ]


def shown(what: str, text: str) -> None:
    """Nothing in a text that a person is shown may need to be written out."""
    bare = COLOURS.sub("", text).replace("\r\n", "\n").replace("\n", "")
    assert printable(bare) == bare, f"{what} shows {text!r}"


def run(*command: str) -> str:
    done = subprocess.run([sys.executable, "-m", *command], env=environment(), capture_output=True, timeout=60)
    return (done.stdout + done.stderr).decode()


class Terminal:
    """A program on a terminal of its own; `text` is what it wrote there."""

    def __init__(self, *command: str) -> None:
        self._own, theirs = pty.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-m", *command], env=environment(), stdin=theirs, stdout=theirs, stderr=theirs
        )
        os.close(theirs)
        self._data = b""

    @property
    def text(self) -> str:
        """What it has written so far."""
        with suppress(OSError):  # EIO: it has ended
            while select.select([self._own], [], [], 0)[0]:
                self._data += os.read(self._own, 65_536)
        return self._data.decode("utf-8", "backslashreplace")

    def is_over(self) -> bool:
        return self.text is not None and self._process.poll() is not None

    def end(self) -> str:
        """End it as Ctrl-C does; give all that it wrote."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait(10)
        said = self.text
        os.close(self._own)
        return said


async def say_evil_everywhere(siege: Siege) -> None:
    one = siege.one
    await throw_datagrams(one.port, lines())
    await throw_streams(one.port, lines())
    questions = [
        msgspec.json.encode({"verb": EVIL}),
        msgspec.json.encode({"verb": "tail", "stream": EVIL}),
        EVIL.encode(),
    ]
    questions.append(msgspec.json.encode({"verb": "tail", "where": [[EVIL, EVIL]]}))
    await throw_questions(one.socket, questions)
    await throw_questions(one.sink_dir / "center.sock", questions)
    state = {"state": "offline", "epoch": bytes(16), "connection": 1, "version": EVIL, "health": EVIL[:200]}
    async with aiomqtt.Client("127.0.0.1", siege.broker.port) as client:
        await client.publish(f"edgepost/v1/up/{SITE}/mallory/state", msgspec.msgpack.encode([1, state]), qos=1)
        await client.publish(f"edgepost/v1/up/{SITE}/\u202ey\u200b/state", EVIL.encode(), qos=1)
        await client.publish(f"edgepost/v1/up/{SITE}/mallory/log", EVIL.encode(), qos=1)
        await client.publish(f"edgepost/v1/down/{SITE}/edge-1", msgspec.msgpack.encode([1, EVIL, []]), qos=1)


@lasting
async def test_nothing_that_somebody_else_said_acts_on_a_terminal(tmp_path, seconds):
    async with besieged(tmp_path, "escapes and bidi controls everywhere") as siege:
        one = siege.one
        ask = ("--socket", str(one.socket))
        tails = [Terminal("agent.cli", "tail", "syslog", *ask), Terminal("agent.cli", "tail", "syslog", "--json", *ask)]
        for tail in tails:
            await until(lambda tail=tail: "meter" in tail.text, seconds=20, what="tail shows lines")
        for _ in siege.rounds(seconds):
            await say_evil_everywhere(siege)
            await siege.goes_on()
        for tail in tails:
            await until(lambda tail=tail: tail.text.count(SEEN) >= len(lines()), seconds=20, what="tail shows all")
            shown("tail on a terminal", tail.end())
        shown("status", run("agent.cli", "status", *ask))
        shown("status --json", run("agent.cli", "status", "--json", *ask))
        shown("tail of no stream", run("agent.cli", "tail", EVIL, *ask))
        ledger = run("center.cli", "ledger", str(one.sink_dir))
        assert "mallory" in ledger
        shown("ledger", ledger)
        shown("ledger --json", run("center.cli", "ledger", "--json", str(one.sink_dir)))
        shown("the agent's log", one.agent.log.read_text())
        shown("the receiver's log", one.receiver.log.read_text())
        held = await siege.lift()
    assert any(EVIL in message for message in held.strange), "the sink has it as it was"


async def test_parse_shows_it_written_out(tmp_path):
    file = tmp_path / "lines"
    file.write_bytes(b"\n".join(lines()) + b"\n")
    shown("parse", run("agent.cli", "parse", str(file)))
    terminal = Terminal("agent.cli", "parse", "--json", str(file))
    await until(terminal.is_over, seconds=20, what="all lines are parsed")
    said = terminal.end()
    assert len(lines()) == said.count("hostname")
    shown("parse --json on a terminal", said)


def test_check_shows_it_written_out(tmp_path):
    for name in ("agent.yaml", f"{EVIL}.yaml"):
        file = tmp_path / name.replace("/", "")
        file.write_text(f"version: 1\n'{EVIL.replace(chr(27), '').replace(chr(7), '').replace(chr(8), '')}': 1\n")
        shown("check", run("agent.cli", "check", str(file)))
    shown("check of no file", run("agent.cli", "check", str(tmp_path / EVIL)))
