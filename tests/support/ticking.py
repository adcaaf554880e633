"""A process that looks for due schedules once, as a worker does: ``python -m tests.support.ticking NOW [die]``.

It waits for a line on its standard input, so that several begin together, and prints on how much it acted. With ``die``
it ends, as by ``kill -9``, inside the first transaction: everything is written and nothing is committed.
"""

import os
import sys
from datetime import datetime

STATUS = 137


def main(now: datetime, *, dies: bool) -> None:
    from django.db import transaction

    from console.schedules import firing

    due = firing.due(now)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    acted = 0
    for schedule_id, due_at in due:
        with transaction.atomic():
            acted += firing.act(schedule_id, due_at, now)
            if dies:
                os._exit(STATUS)
    sys.stdout.write(f"{acted}\n")


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
    import django

    django.setup()
    main(datetime.fromisoformat(sys.argv[1]), dies="die" in sys.argv)
