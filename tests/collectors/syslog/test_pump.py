"""Sources take turns, only when the sink has room, and are left alone for as long as their sockets can hold."""

import asyncio
import itertools
import os

import pytest
from parts.sinks import ListSink

from collectors.syslog import pump as pumping
from collectors.syslog.pump import LEAST_NAP_SECONDS, NAP_SECONDS, After, Nap, Pump


class Pipe:
    """A source over a pipe: each turn takes one byte, what follows is told beforehand."""

    def __init__(self, answers: list[After] = ()) -> None:
        self.nap = Nap(room=1)
        self.nap.seconds = 0.001
        self.turns: list[bytes] = []
        self.end, self.other = os.pipe()
        os.set_blocking(self.end, False)
        self.answers = list(answers)
        self.turned = asyncio.Event()

    def fileno(self) -> int:
        return self.end

    def read(self) -> After:
        try:
            self.turns.append(os.read(self.end, 1))
        except BlockingIOError:
            return After.WAIT
        self.turned.set()
        return self.answers.pop(0) if self.answers else After.MORE

    def close(self) -> None:
        os.close(self.end)
        os.close(self.other)


@pytest.fixture
async def pump():
    pump = Pump(ListSink())
    task = asyncio.create_task(pump.run())
    yield pump
    task.cancel()
    await asyncio.wait([task])


async def until(is_true) -> None:
    async with asyncio.timeout(5):
        while not is_true():
            await asyncio.sleep(0.001)


async def test_sources_with_more_to_read_take_turns(pump: Pump, monkeypatch) -> None:
    order = []
    one, other = Pipe(), Pipe()
    for name, source in (("one", one), ("other", other)):
        os.write(source.other, b"x" * 10)
        read = source.read
        monkeypatch.setattr(source, "read", lambda name=name, read=read: (order.append(name), read())[1])
        pump.add(source)
    await until(lambda: len(one.turns) == len(other.turns) == 10)
    middle = order[2:18]
    assert all(a != b for a, b in itertools.pairwise(middle))
    for source in (one, other):
        pump.remove(source)
        source.close()


@pytest.mark.parametrize("answer", [After.WAIT, After.NAP])
async def test_a_source_that_waits_or_naps_is_read_again(pump: Pump, answer: After) -> None:
    source = Pipe([answer] * 5)
    pump.add(source)
    for number in range(5):
        os.write(source.other, b"x")
        await until(lambda number=number: len(source.turns) == number + 1)
    pump.remove(source)
    source.close()


@pytest.mark.parametrize("answers", [[], [After.NAP], [After.WAIT]])
async def test_a_source_that_was_removed_is_read_no_more(pump: Pump, answers: list[After]) -> None:
    source = Pipe(answers)
    source.nap.seconds = 0.05
    pump.add(source)
    os.write(source.other, b"x")
    await source.turned.wait()
    pump.remove(source)
    seen = len(source.turns)
    os.write(source.other, b"x")
    await asyncio.sleep(0.1)  # longer than its nap: nothing may come
    assert len(source.turns) == seen
    source.close()


async def test_without_room_in_the_sink_nobody_is_read() -> None:
    sink = ListSink()
    sink.fill()
    pump = Pump(sink)
    task = asyncio.create_task(pump.run())
    source = Pipe([After.CLOSED])
    os.write(source.other, b"x")
    pump.add(source)
    await until(lambda: sink.drains)
    assert not source.turns
    sink.empty()
    await source.turned.wait()
    task.cancel()
    await asyncio.wait([task])
    source.close()


async def test_at_a_stop_those_who_wait_and_nap_are_read_too_until_all_have_closed() -> None:
    pump = Pump(ListSink())
    sources = [Pipe([After.MORE] * 9 + [After.CLOSED]) for _ in range(3)]
    for source in sources:
        os.write(source.other, b"x" * 100)
        pump.add(source)
    await pump.finish(until=asyncio.get_running_loop().time() + 5)
    assert [10, 10, 10] == [len(source.turns) for source in sources]
    for source in sources:
        source.close()


async def test_a_stop_does_not_wait_for_ever_for_room() -> None:
    sink = ListSink()
    sink.fill()
    pump = Pump(sink)
    source = Pipe()
    os.write(source.other, b"x")
    pump.add(source)
    await pump.finish(until=asyncio.get_running_loop().time() + 0.05)
    assert (1, []) == (sink.drains, source.turns)
    source.close()


class Clock:
    """Stands in for `time` in the pump."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(pumping, "time", clock)
    return clock


def test_a_slow_source_naps_and_waits_after_a_nap_in_which_nothing_came(clock: Clock) -> None:
    nap = Nap(room=1_000)
    assert nap.after(5, is_full=False) is After.NAP
    assert nap.seconds == NAP_SECONDS
    clock.now += nap.seconds
    assert nap.after(0, is_full=False) is After.WAIT


def test_a_nap_is_no_longer_than_its_room_takes_to_fill(clock: Clock) -> None:
    nap = Nap(room=1_000)
    for _ in range(5):
        clock.now += 0.02
        nap.after(2_000, is_full=False)
    assert nap.seconds == pytest.approx(0.01)


def test_a_source_too_fast_for_any_nap_does_not_nap(clock: Clock) -> None:
    nap = Nap(room=1_000)
    for _ in range(5):
        clock.now += 0.02
        after = nap.after(2_000_000, is_full=False)
    assert nap.seconds < LEAST_NAP_SECONDS
    assert after is After.WAIT


def test_a_full_turn_is_followed_by_another_one(clock: Clock) -> None:
    assert Nap(room=1).after(10, is_full=True) is After.MORE


def test_a_sender_held_up_by_its_window_is_found_out_and_trusted_again_later(clock: Clock) -> None:
    nap = Nap(room=49_152, has_window=True)
    for _ in range(3):  # each time its window is full, whatever the nap
        nap.after(1_000, is_full=False)
        clock.now += nap.seconds
        nap.after(65_536, is_full=True)
    assert nap.seconds < LEAST_NAP_SECONDS
    clock.now += 2
    nap.after(1_000, is_full=False)
    assert nap.seconds > NAP_SECONDS / 2
