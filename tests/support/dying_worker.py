"""A worker that dies at a named point, as by ``kill -9``: ``python tests/support/dying_worker.py POINT``.

The points follow one invocation from its claim to its end; what is patched is named beside each. The process ends with
status 137, before anything that follows the point in the product's own code.
"""

import os
import sys
from collections.abc import Callable
from typing import Any

STATUS = 137
Point = Callable[[], None]


def die(*_: object) -> None:
    os._exit(STATUS)


def after(owner: object, name: str, when: Callable[..., bool] = lambda *_, **__: True) -> None:
    """Die once a function has returned; ``when`` is asked with its arguments."""
    original = getattr(owner, name)

    def replacement(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        if when(result, *args, **kwargs):
            die()
        return result

    setattr(owner, name, replacement)


def after_async(owner: object, name: str) -> None:
    original = getattr(owner, name)

    async def replacement(*args: Any, **kwargs: Any) -> Any:
        await original(*args, **kwargs)
        die()

    setattr(owner, name, replacement)


def around_execute(callback: str, *, first: bool) -> None:
    """Die before or after a callback that the engine makes."""
    from console.runs import invoke

    original = invoke.execute

    async def replacement(connection: Any, command: Any, **given: Any) -> Any:
        call = given[callback]

        async def dying(*args: Any) -> None:
            if not first:
                await call(*args)
            die()

        return await original(connection, command, **given | {callback: dying})

    invoke.execute = replacement


def claimed() -> None:
    from console.runs import queue

    after(queue, "claim", lambda claims, *_, **__: bool(claims))


def prepared() -> None:
    from console.worker import preparation

    after(preparation, "prepare", lambda orders, *_: bool(orders))


def connected() -> None:
    around_execute("before_start", first=True)


def start_committed() -> None:
    around_execute("before_start", first=False)


def request_sent() -> None:
    from instances.engine.ssh import SSHConnection

    after_async(SSHConnection, "start")


def pid_read() -> None:
    from instances.engine.execute import _Run

    after_async(_Run, "begin")


def script_runs() -> None:
    around_execute("started", first=True)


def has(entry_is: Callable[[Any], bool]) -> Callable[..., bool]:
    return lambda _, taken: any(entry_is(entry) for _, entry in taken)


def running_committed() -> None:
    from console.worker import writer

    after(writer, "commit", has(lambda entry: entry.columns.get("status") == "running"))


def output_written() -> None:
    """Inside the transaction: the rows are inserted, nothing is committed."""
    from console.worker import writer

    after(writer, "_insert_output", lambda _, entries: any(entry.rows for entry in entries))


def output_committed() -> None:
    from console.worker import writer

    after(writer, "commit", has(lambda entry: bool(entry.rows)))


def end_written() -> None:
    from console.worker import writer

    after(writer, "_insert_output", lambda _, entries: any("finished_at" in entry.columns for entry in entries))


def end_committed() -> None:
    from console.worker import writer

    after(writer, "commit", has(lambda entry: "finished_at" in entry.columns))


# In the order in which an invocation passes them.
POINTS: tuple[Point, ...] = (
    claimed, prepared, connected, start_committed, request_sent, pid_read, script_runs, running_committed,
    output_written, output_committed, end_written, end_committed,
)  # fmt: skip
NAMES = tuple(point.__name__ for point in POINTS)


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
    import django
    from django.core.management import execute_from_command_line

    django.setup()
    dict(zip(NAMES, POINTS, strict=True))[sys.argv[1]]()
    execute_from_command_line(["manage.py", "worker"])


if __name__ == "__main__":
    main()
