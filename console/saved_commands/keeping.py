"""Owns the rules of saved commands for how long their runs are kept."""

from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import Q, QuerySet

from console.saved_commands import services
from console.saved_commands.models import SavedCommand
from instances.access.rules import Action, allowed, require_anywhere
from instances.audit.services import record

if TYPE_CHECKING:
    from console.members.models import User

FOR_EVER = 0
MAX_DAYS = 36_500
DAYS_RULE = f"Between 1 and {MAX_DAYS:,} days."


class KeepingError(Exception):
    """Runs cannot be kept like this."""


def may_set(user: "User") -> QuerySet[SavedCommand]:
    """Return the saved commands whose rule a user may change; some may only make it longer.

    Whoever manages retention also gets those of others that have a rule, because it takes up the room of all; of them
    the name is all that is told.
    """
    visible = services.visible(user)
    if not allowed(user, Action.MANAGE_RETENTION):
        return visible
    return SavedCommand.objects.filter(Q(pk__in=visible.values("pk")) | Q(keep_days__isnull=False))


def set_keep_days(actor: "User", *, saved: SavedCommand, days: int | None, setting_days: int) -> SavedCommand:
    """Keep the runs of a saved command for so many days after their end; 0: for ever, None: as the setting says.

    Whoever may manage saved commands can make it longer than it is; to make it shorter is for administrators, because
    it removes what others may count on.
    Raises: KeepingError; NotAllowed.
    """
    require_anywhere(actor, Action.MANAGE_SAVED_COMMANDS)
    if days is not None and not 0 <= days <= MAX_DAYS:
        raise KeepingError(DAYS_RULE)
    with transaction.atomic():
        # As the rule is now: somebody else may have made it longer since the page was drawn.
        saved = SavedCommand.objects.select_for_update().get(pk=saved.pk)
        before = setting_days if saved.keep_days is None else saved.keep_days
        after = setting_days if days is None else days
        if is_longer(before, after) and not allowed(actor, Action.MANAGE_RETENTION):
            raise KeepingError(
                f"Its runs are kept {words(before)} now. Ask an administrator to have them removed earlier."
            )
        saved.keep_days = days
        saved.save(update_fields=["keep_days"])
        record(actor, "saved_command.keep_runs", f"saved command {saved.name}", days=days)
    return saved


def is_longer(days: int, other: int) -> bool:
    """Say whether one number of days keeps longer than another, 0 being for ever."""
    return other != FOR_EVER and (days == FOR_EVER or days > other)


def words(days: int) -> str:
    """Return "90 days" or "for ever"."""
    return "for ever" if days == FOR_EVER else f"{days:,} day{'' if days == 1 else 's'}"
