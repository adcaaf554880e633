"""Owns the values of secret variables between Send and the end of a run: sealed, opened by workers, then removed."""

import json
from collections.abc import Iterable

from console.runs.models import Run, RunSecrets
from console.runs.variables import Variables
from instances.credentials import vault


def keep(run: Run, secrets: Variables) -> None:
    """Seal the values for a new run, inside the caller's transaction. Raises: VaultError."""
    if secrets:
        sealed = vault.seal(json.dumps(secrets).encode(), owner=_owner(run.pk))
        RunSecrets.objects.create(run=run, sealed=sealed)


def opened(runs: Iterable[Run]) -> dict[int, Variables | None]:
    """Return names and values per run that has any; None where they do not open any more."""
    ids = [run.pk for run in runs if run.secret_names]
    rows = RunSecrets.objects.in_bulk(ids) if ids else {}
    return {pk: _open(rows.get(pk)) for pk in ids}


def forget(run: Run) -> None:
    """Remove the values of a run that has ended, inside the caller's transaction."""
    if run.secret_names:
        # SQLite leaves the bytes of a removed row where they were: they are overwritten first.
        kept = RunSecrets.objects.filter(run=run)
        kept.update(sealed=b"\0" * len(kept.values_list("sealed", flat=True).first() or b""))
        kept.delete()


def seal_again() -> int:
    """Seal all values again with the newest key after a rotation, and return those of how many runs.

    Those of a run that ends meanwhile are removed as ever. Raises: VaultError.
    """
    sealed = 0
    for row in RunSecrets.objects.order_by("pk"):
        former = bytes(row.sealed)
        if (again := vault.sealed_again(former, owner=_owner(row.pk))) is not None:
            sealed += RunSecrets.objects.filter(pk=row.pk, sealed=former).update(sealed=again)
    return sealed


def count_under_old_keys() -> int:
    """Return the values of how many runs are not sealed with the newest key. Raises: VaultError."""
    return sum(not vault.is_under_newest_key(bytes(row.sealed)) for row in RunSecrets.objects.all())


def _open(row: RunSecrets | None) -> Variables | None:
    if row is None:
        return None
    try:
        pairs = json.loads(vault.open_sealed(bytes(row.sealed), owner=_owner(row.pk)))
    except vault.VaultError:
        return None
    return tuple((name, value) for name, value in pairs)


def _owner(run_id: int) -> str:
    return f"run|{run_id}|environment"
