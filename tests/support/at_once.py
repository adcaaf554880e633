"""Two requests at the same time, one of them not committed yet."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from django.db import connection, transaction

# For the other one to be over with all it may do before the commit, or to wait for that.
WAIT_S = 0.5


@contextlib.contextmanager
def during_another_request(other: Callable[[], object]) -> Iterator[None]:
    """Do what is in the block, then ``other`` on another connection, and only then commit the block.

    What the other one raises is raised here, at the end.
    """

    def do() -> None:
        try:
            other()
        finally:
            over.set()
            connection.close()

    over = threading.Event()
    with ThreadPoolExecutor(1) as thread:
        with transaction.atomic():
            yield
            doing = thread.submit(do)
            over.wait(WAIT_S)
        doing.result()
