"""syslog-ng of Debian on the same work, with its reliable disk buffer, to TCP or to MQTT.

Its package conflicts with rsyslog's, so its parts are fetched with `apt-get download`, unpacked with `dpkg -x` into
$XDG_CACHE_HOME/edgepost-bench (default ~/.cache) and run from there; nothing is installed.

`disk-buffer(reliable(yes))`: every message goes through the file before the source is told to go on (`flow-control`);
there is no fsync. Debian's build lacks the mqtt() destination, so MQTT is reached as people without it do: a `program()`
destination that pipes into mosquitto_pub, one message a line at QoS 1. What stands in that pipe, and in the memory of
mosquitto_pub, has left the disk buffer. A shell around it starts it again once a second, else each of its failed starts
would take a pipe full of lines with it.

The values that differ from its defaults are in its favour: a window of 100,000 messages (default 1,000 over all
connections), 1,000 a fetch (10), reconnecting after 1 s (60).
"""

import os
import subprocess
from pathlib import Path

from contest import Setup
from far_end import TOPIC, LineSink, MqttSink
from places import free_port, listens, wait_for
from processes import Process, program

# what a Debian without a desktop may lack, besides the program itself
_PACKAGES = (
    "syslog-ng-core",
    "libivykis0",
    "libnet1",
    "libjson-c5",
    "libpcre3",
    "libpcre2-8-0",
    "libglib2.0-0",
    "libwrap0",
)
PROMISES = {
    "TCP": "in a file, never synced; gone when the kernel has taken it",
    "MQTT": "in a file, never synced; gone when the pipe to mosquitto_pub has taken it",
}
_CONFIG = """@version: 3.38
options {{ stats-freq(0); use-dns(no); keep-hostname(yes); frac-digits(6); time-reopen(1); threaded(yes); log-msg-size(65536); }};
source s_tcp {{ network(ip("127.0.0.1") port({port}) transport("tcp") flags(syslog-protocol)
  max-connections(64) log-iw-size(100000) log-fetch-limit(1000)); }};
source s_udp {{ network(ip("127.0.0.1") port({port}) transport("udp") flags(syslog-protocol)
  log-iw-size(100000) log-fetch-limit(1000) {buffer}); }};
destination d {{ {destination} }};
log {{ source(s_tcp); source(s_udp); destination(d); flags(flow-control); }};
"""
_DISK = 'disk-buffer(reliable(yes) disk-buf-size(17179869184) mem-buf-size(67108864) dir("{spool}"))'
_TCP = 'network("127.0.0.1" port({out}) transport("tcp") flags(syslog-protocol) {disk});'
_MQTT = (
    'program("until {pub} -p {out} -t {topic} -q 1 -l -i bench-pub; do sleep 1; done" template("{template}") {disk});'
)
_TEMPLATE = r"<${PRI}>1 ${ISODATE} ${HOST} ${PROGRAM} ${PID} ${MSGID} ${SDATA} ${MSG}\n"


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgepost-bench" / "syslog-ng"


def fetch() -> Path:
    """Have the program unpacked in the cache; give its root.

    Raises:
        FileNotFoundError: it cannot be had, with the reason.
    """
    root = _cache() / "root"
    try:
        if not (root / "usr/sbin/syslog-ng").exists():
            _unpack(root)
        version(root)
    except subprocess.CalledProcessError as error:
        said = (error.stderr or "").strip().splitlines()[-1:]
        raise FileNotFoundError(f"{Path(error.cmd[0]).name} {error.cmd[1]} failed: {' '.join(said)}") from error
    return root


def _unpack(root: Path) -> None:
    debs = _cache() / "debs"
    debs.mkdir(parents=True, exist_ok=True)
    download = [program("apt-get"), "download", "-qq", *_PACKAGES]
    try:
        _run(download, cwd=debs)
    except subprocess.CalledProcessError:
        if os.geteuid():
            raise
        _run([program("apt-get"), "update", "-qq"], cwd=debs)  # the lists may be old, or none
        _run(download, cwd=debs)
    for deb in sorted(debs.glob("*.deb")):  # the program itself comes last: once it is there, all is
        _run([program("dpkg"), "-x", str(deb), str(root)], cwd=debs)


def _run(command: list[str], *, cwd: Path, env: dict[str, str] | None = None) -> str:
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, check=True, text=True).stdout


def version(root: Path) -> str:
    """Give the first line of what it says of itself."""
    said = _run([*_command(root), "--version"], cwd=root, env=_environment(root))
    return said.partition("\n")[0]


def has_mqtt(root: Path) -> bool:
    """Whether this build has the mqtt() destination."""
    return bool(list(_modules(root).glob("lib*mqtt*.so")))


def _modules(root: Path) -> Path:
    return next((root / "usr/lib/syslog-ng").glob("[0-9]*"))


def _command(root: Path) -> list[str]:
    return [str(root / "usr/sbin/syslog-ng"), f"--module-path={_modules(root)}"]


def _environment(root: Path) -> dict[str, str]:
    places = [
        root / "usr/lib/syslog-ng",
        *(root / "usr/lib").glob("*-linux-gnu*"),
        *(root / "lib").glob("*-linux-gnu*"),
    ]
    return {**os.environ, "LD_LIBRARY_PATH": ":".join(map(str, places))}


class SyslogNg:
    """syslog-ng with its own configuration, folder and pid, and what stands behind it."""

    def __init__(self, setup: Setup, *, to: str) -> None:
        self.name = f"syslog-ng {to}"
        root = fetch()
        folder = setup.folder / f"syslog-ng-{to}"
        self.store = folder / "spool"
        self.store.mkdir(parents=True)
        self.port = free_port()
        self.far_end: LineSink | MqttSink = (LineSink if to == "TCP" else MqttSink)(setup.beside)
        if setup.has_far_end:
            self.far_end.start()
        config = folder / "syslog-ng.conf"
        config.write_text(self._config(setup, to=to), encoding="ascii")
        command = [*_command(root), "-F", "--no-caps", "-f", str(config), "-R", str(folder / "persist")]
        command += ["-p", str(folder / "pid"), "-c", str(folder / "ctl")]
        self._process = Process(command, folder / "log", on=setup.cores, env=_environment(root))
        self.pid = self._process.pid
        wait_for(self._listens, seconds=10, what="syslog-ng listens")

    def _config(self, setup: Setup, *, to: str) -> str:
        disk = _DISK.format(spool=self.store)
        values = {"out": self.far_end.port, "disk": disk, "topic": TOPIC, "template": _TEMPLATE}
        destination = _TCP.format(**values) if to == "TCP" else _MQTT.format(pub=program("mosquitto_pub"), **values)
        buffer = f"so-rcvbuf({setup.receive_buffer})"
        return _CONFIG.format(port=self.port, buffer=buffer, destination=destination)

    def _listens(self) -> bool:
        self._process.must_run()
        return listens(self.port)

    def counted_lost(self) -> int | None:
        """What it says itself that it lost: nothing, it does not read the kernel's drops."""
        return None

    def stop(self) -> None:
        """End it and what stands behind it."""
        self._process.end(seconds=30)
        self.far_end.stop()
