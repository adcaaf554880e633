"""Owns constants of ours that are written into a statement, so that SQLite takes the partial index that is meant.

It takes one only when it sees the value; with a parameter it reads the whole history, several times a second
(https://www.sqlite.org/partialindex.html, section 3). PostgreSQL sees parameters too.
"""

from django.db import connection
from django.db.models import Q
from django.db.models.expressions import RawSQL


def literal(value: str | int) -> RawSQL:
    """Write a constant, never anything that was entered, as the value to compare a column with."""
    return RawSQL(str(value) if isinstance(value, int) else f"'{value}'", ())  # noqa: S611  (a constant)


def is_not(column: str, value: str | int) -> Q:
    """Return the condition of an index without ``value``, to say beside another value of the column; else nothing.

    PostgreSQL infers it, and told of it expects far fewer rows than there are.
    """
    return ~Q(**{column: literal(value)}) if connection.vendor == "sqlite" else Q()
