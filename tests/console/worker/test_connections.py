"""Which connections a worker gives up."""

from console.worker.worker import Worker


class KeptConnections:
    """What the worker needs of its pool."""

    def __init__(self, *keys):
        self._keys = list(keys)

    def keys(self):
        return list(self._keys)

    def open(self, key):
        self._keys.append(key)

    def close_unless(self, is_current):
        self._keys = [key for key in self._keys if is_current(key)]


async def test_a_connection_opened_while_it_is_asked_which_are_outdated_is_kept():
    worker, kept = Worker(), KeptConnections("current", "outdated")
    worker._pool = kept

    async def asked(call, keys, prompts):
        kept.open("new")
        return {"current"}

    worker._in_database = asked
    await worker._close_outdated_connections()
    assert kept.keys() == ["current", "new"]
