"""Owns the index of words: which commands and outputs hold a word, in tables that each database has its own form of.

SQLite: FTS5. PostgreSQL: ``tsvector`` with GIN, which needs no extension. Both hold the words that this module cuts
text into, so that the same search finds the same on either. An SQLite without FTS5 has no index: ``is_available``.
"""

import functools
import re
import sqlite3
from collections.abc import Iterable, Mapping
from enum import StrEnum

from django.db import OperationalError, connection
from django.db.backends.base.base import BaseDatabaseWrapper

# Longer ones are hashes and the like: their beginning finds them.
WORD_CHARACTERS = 40
# A shorter beginning is that of too many words.
PREFIX_CHARACTERS = 3
_WORD = re.compile(r"\w+")
_APART = {number: " " for number in range(128) if not _WORD.match(chr(number))}


class Words(StrEnum):
    """The tables: the words of runs' commands, and those of invocations' outputs; the id is the row's."""

    OF_COMMANDS = "console_command_words"
    OF_OUTPUTS = "console_output_words"


def words_of(text: str) -> set[str]:
    """Cut a text into its words: letters, digits and underscores, without case."""
    folded = text.casefold()
    # Most output is ASCII, and cut three times as fast so.
    found = folded.translate(_APART).split() if folded.isascii() else _WORD.findall(folded)
    return {word[:WORD_CHARACTERS] for word in set(found)}


# ------------------------------------------------------------------ tables


def create(connection: BaseDatabaseWrapper) -> None:
    """Make the tables, for a migration. Where SQLite lacks FTS5 there are none."""
    with connection.cursor() as cursor:
        for table in Words:
            if connection.vendor == "postgresql":
                cursor.execute(f"CREATE TABLE {table} (id bigint PRIMARY KEY, words tsvector NOT NULL)")
                cursor.execute(f"CREATE INDEX {table}_gin ON {table} USING gin (words)")
            elif _has_fts5():
                cursor.execute(
                    f"CREATE VIRTUAL TABLE {table} USING "
                    "fts5(words, detail=none, tokenize=\"unicode61 remove_diacritics 0 tokenchars '_'\")"
                )


def drop(connection: BaseDatabaseWrapper) -> None:
    """Take the tables away, for undoing the migration."""
    with connection.cursor() as cursor:
        for table in Words:
            cursor.execute(f"DROP TABLE IF EXISTS {table}")


def _has_fts5() -> bool:
    probe = sqlite3.connect(":memory:")
    try:
        probe.execute("CREATE VIRTUAL TABLE probe USING fts5(words)")
    except sqlite3.OperationalError:
        return False
    finally:
        probe.close()
    return True


def is_available() -> bool:
    """Say whether there is an index to search."""
    return connection.vendor == "postgresql" or _are_there()


@functools.cache
def _are_there() -> bool:
    return _has_fts5() and Words.OF_OUTPUTS in connection.introspection.table_names()


# ------------------------------------------------------------------ rows


def put(table: Words, rows: Mapping[int, set[str]]) -> None:
    """Keep which words each row has, in place of what was kept of it; inside the caller's transaction."""
    if not is_available():
        return
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.executemany(
                f"INSERT INTO {table} (id, words) VALUES (%s, array_to_tsvector(%s::text[])) "  # noqa: S608
                "ON CONFLICT (id) DO UPDATE SET words = excluded.words",
                [(pk, sorted(words)) for pk, words in rows.items()],
            )
            return
        remove(table, rows)
        cursor.executemany(
            f"INSERT INTO {table} (rowid, words) VALUES (%s, %s)",  # noqa: S608
            [(pk, " ".join(sorted(words))) for pk, words in rows.items()],
        )


def remove(table: Words, ids: Iterable[int]) -> None:
    """Forget rows, inside the caller's transaction."""
    if not is_available():
        return
    key = "id" if connection.vendor == "postgresql" else "rowid"
    with connection.cursor() as cursor:
        cursor.executemany(f"DELETE FROM {table} WHERE {key} = %s", [(pk,) for pk in ids])  # noqa: S608


def having(table: Words, words: Iterable[str], *, before: int, limit: int) -> list[int]:
    """Return rows that have all the words, or words that begin like them, by id from ``before`` downwards.

    A word of fewer than ``PREFIX_CHARACTERS`` letters must be there as it is.
    """
    asked = sorted(words)
    if not asked or not is_available():
        return []
    if connection.vendor == "postgresql":
        sql = f"SELECT id FROM {table} WHERE words @@ %s::tsquery AND id < %s ORDER BY id DESC LIMIT %s"  # noqa: S608
        query = " & ".join(f"'{word}'{':*' if _is_beginning(word) else ''}" for word in asked)
    else:
        sql = (
            f"SELECT rowid FROM {table} WHERE {table} MATCH %s AND rowid < %s "  # noqa: S608
            "ORDER BY rowid DESC LIMIT %s"
        )
        query = " AND ".join(f'"{word}"{"*" if _is_beginning(word) else ""}' for word in asked)
    with connection.cursor() as cursor:
        try:
            cursor.execute(sql, [query, before, limit])
        except OperationalError as error:
            # Letters that the tokenizer cuts a word at, although they are letters.
            if "fts5" not in str(error):
                raise
            return []
        return [row[0] for row in cursor.fetchall()]


def _is_beginning(word: str) -> bool:
    return len(word) >= PREFIX_CHARACTERS
