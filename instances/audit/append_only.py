"""Owns the database triggers that keep audit rows as they were written.

A migration that makes SQLite rebuild the table (any AlterField there) loses them: it ends with ``protect``.
"""

from django.db.backends.base.base import BaseDatabaseWrapper

_TABLE = "instances_auditentry"
_MESSAGE = "Audit entries are added, never changed or removed."

_PROTECT = {
    "sqlite": [
        f"CREATE TRIGGER audit_no_update BEFORE UPDATE ON {_TABLE} BEGIN SELECT RAISE(ABORT, '{_MESSAGE}'); END",
        f"CREATE TRIGGER audit_no_delete BEFORE DELETE ON {_TABLE} BEGIN SELECT RAISE(ABORT, '{_MESSAGE}'); END",
    ],
    "postgresql": [
        "CREATE OR REPLACE FUNCTION audit_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{_MESSAGE}' USING ERRCODE = 'integrity_constraint_violation'; END $$",
        f"CREATE TRIGGER audit_no_update BEFORE UPDATE OR DELETE OR TRUNCATE ON {_TABLE} "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only()",
    ],
}
_UNPROTECT = {
    "sqlite": ["DROP TRIGGER IF EXISTS audit_no_update", "DROP TRIGGER IF EXISTS audit_no_delete"],
    "postgresql": [
        f"DROP TRIGGER IF EXISTS audit_no_update ON {_TABLE}",
        "DROP FUNCTION IF EXISTS audit_append_only()",
    ],
}


def protect(connection: BaseDatabaseWrapper) -> None:
    """Make the database refuse to change or remove audit rows. Raises: KeyError for an unsupported database."""
    _execute(connection, _PROTECT[connection.vendor])


def unprotect(connection: BaseDatabaseWrapper) -> None:
    """Take the refusal away; for undoing the migration, and for emptying a test database."""
    _execute(connection, _UNPROTECT[connection.vendor])


def _execute(connection: BaseDatabaseWrapper, statements: list[str]) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
