"""A worker that takes seconds where others take a minute: ``python -m tests.support.hasty_worker WHAT``.

``contact``: to see that an instance is out of reach. ``use``: to write down that a terminal is used.
"""

import os
import sys


def main(what: str) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
    import django
    from django.core.management import execute_from_command_line

    django.setup()
    {"contact": look_for_instances_briefly, "use": note_use_often}[what]()
    execute_from_command_line(["manage.py", "worker"])


def look_for_instances_briefly() -> None:
    from instances.engine import contact
    from instances.engine.ssh import SSHTransport

    contact.CONTACT_S = 1.0
    (SSHTransport.__init__.__kwdefaults__ or {})["keepalive_s"] = 2.0


def note_use_often() -> None:
    from console.worker import sessions

    sessions.NOTE_USED_S = 1.0


if __name__ == "__main__":
    main(sys.argv[1])
