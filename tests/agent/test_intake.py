"""Intake on a real buffer: what is put is committed, in its lane, with its mark, and never beyond the bound unseen."""

import asyncio

import msgspec

from agent.buffer import Buffer, BufferSettings, Origin
from agent.encode import PIECE_BYTES, encode_rows, shrink_row
from agent.events import AGENT, row
from agent.intake import Intake
from agent.taps import QUEUE_BYTES
from collectors.sink import Lane
from wire.batch import Batch, Hop, decode_rows
from wire.head import decode_head

ORIGIN = Origin("a1", "s1", bytes(16))


async def opened(folder):
    return await Buffer.open(folder, origin=ORIGIN, settings=BufferSettings())


def some(count, text="x"):
    return [row("ping", text=f"{text}{at}") for at in range(count)]


def as_batch(held):
    return Batch(Hop("a1", 2, (), 1, 0), held.digest, held.head, held.body, decode_head(held.head))


def decoded(piece):
    return msgspec.msgpack.decode(bytes((0x90 | piece.rows,)) + piece.data)


async def held_rows(buffer, lane):
    batches, after = [], 0
    while found := await buffer.read(lane, after=after, limit_bytes=1 << 20):
        batches += found
        after = found[-1].key
    return [list(one) for held in batches for one in decode_rows(as_batch(held))]


async def test_rows_are_committed_in_order_and_whole(tmp_path):
    buffer = await opened(tmp_path)
    intake = Intake(buffer)
    rows = some(5000)
    for at in range(0, 5000, 100):
        intake.sink("test").put(AGENT, rows[at : at + 100])
    await intake.close()
    assert [list(one) for one in rows] == await held_rows(buffer, Lane.NORMAL)
    await buffer.close()


async def test_an_urgent_row_is_committed_without_waiting_for_the_others(tmp_path):
    buffer = await opened(tmp_path)
    intake = Intake(buffer)
    named = asyncio.get_running_loop().create_future()
    intake.on_named.append(lambda new: named.done() or named.set_result(new))
    intake.sink("test").put(AGENT, some(1), lane=Lane.NORMAL)
    intake.sink("test").put(AGENT, some(1), lane=Lane.URGENT)
    assert [Lane.URGENT] == [held.name.lane for held in await named]
    await intake.close()
    await buffer.close()


async def test_a_mark_is_there_after_a_reopen_and_an_urgent_commit_takes_all_rows_with_it(tmp_path):
    buffer = await opened(tmp_path)
    intake = Intake(buffer)
    named = asyncio.get_running_loop().create_future()
    intake.on_named.append(lambda new: named.done() or named.set_result(new))
    intake.sink("files").put(AGENT, some(3), lane=Lane.NORMAL, mark=("a.log", b"100"))
    intake.sink("files").put(AGENT, some(1), lane=Lane.URGENT, mark=("a.log", b"120"))
    assert {Lane.URGENT, Lane.NORMAL} == {held.name.lane for held in await named}
    await intake.close()
    await buffer.close()
    buffer = await opened(tmp_path)
    assert {"a.log": b"120"} == dict(buffer.marks("files"))
    await buffer.close()


async def test_a_put_beyond_the_bound_is_dropped_and_counted_where_the_ledger_sees_it(tmp_path):
    buffer = await opened(tmp_path)
    intake = Intake(buffer, limit_bytes=1000)
    sink = intake.sink("test")
    sink.put(AGENT, some(100))
    sink.put(AGENT, some(7))
    assert {"intake-full": 7} == intake.facts()["test"]["drops"]
    await intake.close()
    await buffer.close()
    buffer = await opened(tmp_path)
    account = {entry["what"]: entry["rows"] for entry in buffer.facts()["account"]}
    assert {"received": 107, "dropped:intake-full": 7} == account
    await buffer.close()


async def test_drain_waits_for_room_and_a_put_after_it_never_drops(tmp_path):
    buffer = await opened(tmp_path)
    intake = Intake(buffer, limit_bytes=20_000)
    sink = intake.sink("test")
    for _ in range(200):
        await sink.drain()
        sink.put(AGENT, some(50))
    await intake.close()
    assert {} == intake.facts()["test"]["drops"]
    assert 10_000 == len(await held_rows(buffer, Lane.NORMAL))
    await buffer.close()


async def test_nothing_is_scheduled_while_there_is_nothing_to_write(tmp_path):
    buffer = await opened(tmp_path)
    intake = Intake(buffer)
    assert (None, None, None) == (intake._timer, intake._urgent_at, intake._group_at)
    await intake.close()
    await buffer.close()


async def test_a_tap_sees_rows_and_is_told_what_it_was_too_slow_for(tmp_path):
    buffer = await opened(tmp_path)
    intake = Intake(buffer)
    tap = intake.subscribe("agent")
    intake.sink("test").put(AGENT, some(2500))
    rows, lost = await tap.take()
    assert (2000, 500) == (len(rows), lost)
    intake.unsubscribe(tap)
    await intake.close()
    await buffer.close()


async def test_a_tap_holds_no_more_than_its_bytes_but_always_one_row(tmp_path):
    buffer = await opened(tmp_path)
    intake = Intake(buffer)
    tap = intake.subscribe("agent")
    sink = intake.sink("test")
    sink.put(AGENT, [row("ping", text="x", detail={"deep": ["y" * 100_000]})] * 50)
    rows, lost = await tap.take()
    assert (QUEUE_BYTES // 100_000, 50) == (len(rows), len(rows) + lost)
    sink.put(AGENT, [row("ping", text="x" * 2 * QUEUE_BYTES)] * 2)
    assert (1, 1) == tuple(len(part) if isinstance(part, list) else part for part in await tap.take())
    intake.unsubscribe(tap)
    await intake.close()
    await buffer.close()


async def test_who_waits_for_room_waits_for_the_disk_and_not_for_the_clock(tmp_path):
    buffer = await opened(tmp_path)
    intake = Intake(buffer, limit_bytes=10_000)
    sink = intake.sink("test")
    sink.put(AGENT, some(200))
    waiting = asyncio.create_task(sink.drain())
    await asyncio.sleep(0)
    assert (True, None) == (intake._commit is not None, intake._timer)
    await waiting
    await intake.close()
    await buffer.close()


def test_values_that_no_format_can_hold_are_mended_counted_and_no_row_is_lost():
    rows = [(1, 2, "\ud800", 1 << 70, "a", {"a": {1, 2}}), (1, 2, "whole", 5, "b", None)]
    encoded = encode_rows(rows, AGENT)
    assert (1, 0) == (encoded.mended, encoded.shrunk)
    (piece,) = encoded.pieces
    assert 2 == piece.rows
    assert [[1, 2, "\\ud800", None, "a", {"a": [1, 2]}], list(rows[1])] == decoded(piece)


def test_pieces_of_large_rows_stay_small():
    rows = [(1, 2, "ping", 5, "y" * 60_000, None)] * 100
    pieces = encode_rows(rows, AGENT).pieces
    assert 100 == sum(piece.rows for piece in pieces)
    assert all(len(piece.data) <= PIECE_BYTES for piece in pieces)


def test_a_row_too_large_for_a_message_loses_raw_first_and_says_so():
    columns = (("time", "time"), ("received", "time"), ("message", "str"), ("flag", "str"), ("raw", "bytes"))
    row = msgspec.msgpack.encode((None, 5, "m" * 1000, None, b"r" * 5000))
    shrunk = shrink_row(columns, row, fits=lambda data: len(data) < 2000)
    assert [None, 5, "m" * 1000, "shrunk", None] == msgspec.msgpack.decode(shrunk)
