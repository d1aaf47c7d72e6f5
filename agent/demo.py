"""`edgepost demo`: the whole way on this machine, by one command and without root.

    demo_feed ──syslog──► edgepost run ──MQTT──► amqtt ──MQTT──► edgepost-center receive ──► *.ndjson ──► screen

Every part is the real program in a process of its own, in a temporary folder; only the broker is the embedded one of
the extra `demo`. All of it listens on the loopback interface alone. At the end both ledgers are asked, and the account
is printed: sent, delivered, lost.
"""

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from shutil import rmtree
from typing import Any, Final

import agent
from agent.ask import NoAgent, ask_once
from agent.demo_view import Arrivals, Screen
from agent.screen import account_of

PORT: Final = 5514
LOST: Final = 1
START_SECONDS: Final = 20.0
SETTLE_SECONDS: Final = 10.0  # for the last rows to be receipted
STOP_SECONDS: Final = 15.0
_LOOK_SECONDS: Final = 0.2
_ASK_SECONDS: Final = 1.0

Account = dict[str, tuple[int, int, int]]
"""By stream: rows sent (taken by the agent, or dropped before), delivered (committed at the center), lost."""


class Failed(Exception):
    """A part did not start. The text says which, and shows its last words."""


class Stop:
    """Whether Ctrl-C or SIGTERM has asked for the end; these signals are ours only inside `listening`."""

    def __init__(self) -> None:
        self.is_asked = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Turn the first signals into an orderly end."""
        before = {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _ask(self, *_: object) -> None:
        self.is_asked = True


class Children:
    """The processes of the demo, each with its own log, none with our terminal; ended by pid, the last one first."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        place = str(Path(agent.__file__).parent.parent)
        paths = [place, *filter(None, [os.environ.get("PYTHONPATH")])]
        self._environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONSAFEPATH": "1"}

    def start(self, name: str, *arguments: str, **environment: str) -> None:
        """Run a Python module as a child."""
        with (self._folder / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment | environment,
                start_new_session=True,  # Ctrl-C is for us: the order of the end matters
            )

    def wait_for(self, name: str, is_up: Callable[[], bool], *, stop: Stop) -> None:
        """Wait until a child is up.

        Raises:
            Failed: it ended, took too long, or nobody wants to wait.
        """
        until = time.monotonic() + START_SECONDS
        while not is_up():
            if stop.is_asked:
                raise Failed("ended before everything had started")
            if self._running[name].poll() is not None or time.monotonic() > until:
                log = (self._folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")
                raise Failed(f"{name} did not start:\n{log[-2000:]}")
            time.sleep(0.05)

    def end(self, name: str) -> None:
        """Ask a child to end; kill it if it does not."""
        child = self._running.pop(name, None)
        if child is None:
            return
        child.terminate()
        try:
            child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()

    def end_all(self) -> None:
        """End what still runs."""
        for name in reversed(list(self._running)):
            self.end(name)

    def output(self, *arguments: str) -> str:
        """Run a Python module to its end and give what it printed."""
        command = [sys.executable, "-m", *arguments]
        return subprocess.run(
            command, env=self._environment, capture_output=True, text=True, timeout=30, check=False
        ).stdout


def demo(*, seconds: float | None, is_kept: bool) -> int:
    """Run the demo; 0 when nothing was lost."""
    if importlib.util.find_spec("amqtt") is None:
        print("edgepost demo: the embedded broker is missing: pip install 'edgepost[demo]'", file=sys.stderr)
        return LOST
    folder = Path(tempfile.mkdtemp(prefix="edgepost-demo-"))
    stop, children = Stop(), Children(folder)
    with ExitStack() as ending:
        if not is_kept:
            ending.callback(rmtree, folder, ignore_errors=True)
        ending.enter_context(stop.listening())
        ending.callback(children.end_all)
        try:
            port = _start(folder, children, stop=stop)
            title = f"edgepost demo: rows as they arrive at the center. Try: logger -n 127.0.0.1 -P {port} hello"
            _show(folder, title, seconds=seconds, stop=stop)
            print("edgepost demo: ending; the last rows are on their way ...", flush=True)
            children.end("feed")
            account = close_account(_settle(folder), _ledger(folder, children))
        except Failed as error:
            print(f"edgepost demo: {error}", file=sys.stderr)
            return LOST
    return _print_account(account, kept=folder if is_kept else None)


def _start(folder: Path, children: Children, *, stop: Stop) -> int:
    """Start broker, receiver, agent and feed, each when the one before answers; give the syslog port."""
    broker, port, state = _free_port(), _syslog_port(), folder / "agent"
    state.mkdir()
    children.start("broker", "agent.demo_broker", str(broker))
    children.wait_for("broker", lambda: _answers(broker), stop=stop)
    url = f"mqtt://127.0.0.1:{broker}"
    children.start("center", "center.cli", "receive", "--broker", url, "--dir", str(folder / "center"))
    children.start(
        "agent",
        "agent.cli",
        "run",
        str(config_path()),
        STATE_DIRECTORY=str(state),
        RUNTIME_DIRECTORY=str(state),
        EDGEPOST_DEMO_BROKER=url,
        EDGEPOST_DEMO_PORT=str(port),
    )
    children.wait_for("agent", lambda: _answers(port), stop=stop)
    children.start("feed", "agent.demo_feed", str(port))
    print(f"edgepost demo: in {folder}; in another shell: edgepost status --socket {_socket(folder)}", flush=True)
    return port


def config_path() -> Path:
    """Where `demo.yaml` is: in the wheel as `agent/_config`, in a tree beside the package."""
    packaged = Path(agent.__file__).parent / "_config" / "demo.yaml"
    return packaged if packaged.exists() else Path(agent.__file__).parent.parent / "config" / "demo.yaml"


def _socket(folder: Path) -> Path:
    return folder / "agent" / "status.sock"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _syslog_port() -> int:
    """5514 where it is free for both UDP and TCP, else another, and say so."""
    for port in [PORT, *(_free_port() for _ in range(20))]:
        if _is_free(port):
            if port != PORT:
                print(f"edgepost demo: port {PORT} is taken, so syslog listens on {port}", flush=True)
            return port
    raise Failed("no free port for syslog on 127.0.0.1")


def _is_free(port: int) -> bool:
    with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # or a demo that has just ended counts as there
        try:
            tcp.bind(("127.0.0.1", port))
            udp.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def _show(folder: Path, title: str, *, seconds: float | None, stop: Stop) -> None:
    """Show rows and status until the end."""
    until = None if seconds is None else time.monotonic() + seconds
    arrivals, screen = Arrivals(folder / "center"), Screen(title)
    facts: Mapping[str, Any] | None = None
    asked = 0.0
    screen.enter()
    try:
        while not stop.is_asked and (until is None or time.monotonic() < until):
            if time.monotonic() - asked >= _ASK_SECONDS:
                asked, facts = time.monotonic(), _facts(folder)
            screen.show(arrivals.new(), facts)
            time.sleep(_LOOK_SECONDS)
    finally:
        screen.leave()


def _facts(folder: Path) -> Mapping[str, Any] | None:
    try:
        return ask_once(str(_socket(folder)), {"verb": "status"})
    except NoAgent:
        return None


def _settle(folder: Path) -> Mapping[str, Any]:
    """Wait until the agent holds nothing more, or long enough; give its last facts.

    Raises:
        Failed: the agent does not answer.
    """
    until = time.monotonic() + SETTLE_SECONDS
    while True:
        facts = _facts(folder)
        if facts is None:
            raise Failed("the agent does not answer any more: agent.log in the folder of --keep tells why")
        is_settled = all(sums["held"] == 0 for sums in account_of(facts).values())
        if (is_settled and _is_counted(facts)) or time.monotonic() > until:
            return facts
        time.sleep(_LOOK_SECONDS)


def _is_counted(facts: Mapping[str, Any]) -> bool:
    """Whether all that the collectors put or lost in rows is in the ledger, and not on its way there."""
    counted = 0
    for collector in facts["collectors"]:
        counted += sum(counts["rows"] for counts in (collector.get("streams") or {}).values())
        counted += sum(
            collector["drops"][name] for name, meaning in collector.get("reasons", {}).items() if meaning["is_in_rows"]
        )
    streams = {stream for collector in facts["collectors"] for stream in (collector.get("streams") or {})}
    account = account_of(facts)
    return sum(sums["received"] for stream, sums in account.items() if stream in streams) >= counted


def _ledger(folder: Path, children: Children) -> Mapping[str, Any]:
    """Ask the receiver for its ledger.

    Raises:
        Failed: it gives none.
    """
    printed = children.output("center.cli", "ledger", str(folder / "center"), "--json")
    try:
        return dict(json.loads(printed))
    except ValueError:
        raise Failed("the receiver gives no ledger: center.log in the folder of --keep tells why") from None


def close_account(facts: Mapping[str, Any], ledger: Mapping[str, Any]) -> Account:
    """Set the agent's account, which has all that was lost in rows, against the receiver's ledger."""
    delivered: dict[str, int] = {}
    for entry in ledger["rows"]:
        delivered[entry["stream"]] = delivered.get(entry["stream"], 0) + entry["committed"]
    return {
        stream: (sums["received"], delivered.get(stream, 0), max(0, sums["received"] - delivered.get(stream, 0)))
        for stream, sums in sorted(account_of(facts).items())
    }


def _print_account(account: Account, *, kept: Path | None) -> int:
    print(f"{'stream':<12}{'sent':>12}{'delivered':>12}{'lost':>12}")
    for stream, numbers in account.items():
        print(f"{stream:<12}" + "".join(f"{number:>12,}" for number in numbers))
    lost = sum(numbers[2] for numbers in account.values())
    print("nothing was lost" if not lost else f"{lost:,} rows were lost")
    if kept is not None:
        print(f"kept: {kept}")
    return LOST if lost else 0
