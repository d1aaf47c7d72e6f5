"""What comes back behind the forwarder is sent all the same, over a real broker to a center that is a list."""

import pytest
from parts.buffers import keeper, opened, put, sealed
from parts.disks import CANTOPEN, CORRUPT, IO, Broken, sqlite_error
from parts.hop import forwarding, hurry, new_root, one_broker, receiving

from agent.buffer.rows import Done

pytestmark = pytest.mark.needs("mosquitto")


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    with one_broker(tmp_path_factory.mktemp("broker")) as running:
        yield running


@pytest.fixture
def root(monkeypatch):
    hurry(monkeypatch)
    return new_root()


async def test_a_backlog_that_could_not_be_read_for_a_while_is_sent(tmp_path, broker, root):
    """Memory is sent meanwhile, so the cursor goes past what lies on the disk."""
    disk = Broken()
    async with forwarding(tmp_path, broker.url, root) as hop:
        rows = await hop.put(batches=20)
    async with receiving(broker.url, root) as center:
        disk.fail(CANTOPEN)
        async with forwarding(tmp_path, broker.url, root, step=disk) as hop:
            hop.next = len(rows)
            rows += await hop.put()
            await center.has(rows[-2:])
            assert center.rows == rows[-2:]
            disk.mend()
            await center.has(rows)
            await hop.has_ended_all()
            assert sorted(center.rows) == rows
            assert hop.account() == {"received": len(rows), "confirmed": len(rows)}


async def test_a_backlog_that_met_a_read_error_is_sent_when_the_disk_can_be_read(tmp_path, broker, root):
    disk = Broken()
    async with forwarding(tmp_path, broker.url, root) as hop:
        rows = await hop.put(batches=20)
    disk.fail(IO, "read", is_once=True)
    async with receiving(broker.url, root) as center, forwarding(tmp_path, broker.url, root, step=disk) as hop:
        await center.has(rows)
        await hop.has_ended_all()
        assert sorted(center.rows) == rows


async def test_batches_that_were_named_before_the_store_could_be_opened_end_under_their_new_keys(
    tmp_path, broker, root
):
    async with forwarding(tmp_path, broker.url, root) as hop:
        old = await hop.put(batches=5)
    disk = Broken()
    disk.fail(CANTOPEN, "open")
    async with receiving(broker.url, root) as center:
        center.answers.clear()  # so that they stay in flight
        async with forwarding(tmp_path, broker.url, root, step=disk) as hop:
            hop.next = 100
            new = await hop.put(batches=3)
            await hop.until(lambda: len(hop.forward.sender.window.flights) >= 3, "the new ones are in flight")
            disk.mend()
            await hop.until(lambda: hop.buffer.facts()["state"] == "ok", "the store is open")
            center.answers.set()
            await center.has([*old, *new])
            await hop.has_ended_all()
            assert sorted(center.rows) == [*old, *new]
            assert hop.account() == {"received": 16, "confirmed": 16}


async def test_what_is_salvaged_from_a_damaged_file_is_sent(tmp_path, broker, root):
    one = keeper(tmp_path)
    for first in range(0, 40, 2):
        put(one, first)
    one.close()
    async with receiving(broker.url, root) as center, forwarding(tmp_path, broker.url, root) as hop:
        await center.has([0, 1])
        hop.next = 100
        rows = await hop.put()
        await center.has(rows)
        center.answers.clear()
        later = await hop.put(batches=4)
        await hop.buffer._ask(lambda: hop.buffer._keeper.fail(sqlite_error(CORRUPT)))
        center.answers.set()
        later += await hop.put()
        await center.has([*range(40), *rows, *later])
        await hop.has_ended_all()
        assert sorted(center.rows) == [*range(40), *rows, *later]


async def test_a_read_that_was_under_way_when_everything_came_back_does_not_move_the_cursor(tmp_path, broker, root):
    async with receiving(broker.url, root) as center, forwarding(tmp_path, broker.url, root) as hop:
        sender, read = hop.forward.sender, hop.buffer.read

        async def read_and_rewind(lane, **how):
            found = await read(lane, **how)
            if found and lane == 1:
                hop.buffer.read = read
                sender.rewind()
            return found

        hop.buffer.read = read_and_rewind
        rows = await hop.put(batches=3)
        await center.has(rows)
        await hop.has_ended_all()
        assert sorted(center.rows) == rows
        assert not center.repeats


async def test_what_is_in_flight_is_not_sent_twice_when_all_is_read_again(tmp_path, broker, root):
    async with receiving(broker.url, root) as center, forwarding(tmp_path, broker.url, root) as hop:
        center.answers.clear()
        rows = await hop.put(batches=5)
        await hop.until(lambda: len(hop.forward.sender.window.flights) == 5, "all are in flight")
        sent = hop.forward.sender.sent_batches
        hop.forget_newest()
        hop.forward.sender.rewind()
        more = await hop.put()
        await hop.until(lambda: len(hop.forward.sender.window.flights) == 6, "one more is in flight")
        assert hop.forward.sender.sent_batches == sent + 1
        center.answers.set()
        await center.has([*rows, *more])


async def test_ended_batches_that_wait_for_their_commit_do_not_hide_those_behind_them(tmp_path, broker, root):
    """A whole read of them is nothing to send, and not the end of the lane."""
    one = await opened(tmp_path)
    for first in range(0, 20, 2):
        one.seal(sealed(first))
    held = await one.commit()
    one._newest = type(one._newest)(tuple(one._keeper.names.next))
    one.discard([Done(batch, "confirmed") for batch in held[:5]])
    found = await one.read(1, after=0, limit_bytes=held[0].size)
    assert [batch.key for batch in found] == [held[5].key]
    await one.close()
