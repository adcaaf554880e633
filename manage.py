#!/usr/bin/env python3
"""Muster's command line: ``manage.py serve`` starts the console, ``manage.py help`` lists the rest."""

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line
from django.db import DatabaseError

NO_CONSOLE = (
    "The database here is not that of this version of the console. manage.py serve makes it and brings it up to date;"
    " MUSTER_DATA and DATABASE_URL say where it is."
)


def _is_not_up_to_date(error: DatabaseError) -> bool:
    """Whether a table or column is missing: 42P01 and 42703 of PostgreSQL, the words of SQLite."""
    is_missing = any(words in str(error) for words in ("no such table", "no such column"))
    return is_missing or getattr(error.__cause__, "sqlstate", "") in {"42P01", "42703"}


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(f"Muster's settings cannot be used. {error}")
    except DatabaseError as error:
        if not _is_not_up_to_date(error):
            raise
        sys.exit(NO_CONSOLE)
    except KeyboardInterrupt:
        # A command that does something about it has taken it itself.
        sys.exit(130)
