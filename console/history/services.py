"""Keeps filters of the history under names, for one person each."""

from django.db import transaction
from django.db.models import QuerySet
from django.http import QueryDict

from console.history.models import SavedFilter
from console.members.models import User
from instances.access import rules
from instances.audit.services import record

# More would be a list that needs a filter itself.
FILTERS_EACH = 50
# What says where one is in the list, not what is in it.
PLACES = ("before", "after", "page", "all")


class SavedFilterError(Exception):
    """The filter cannot be kept; the message says why and belongs beside ``field``."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def saved_filters(user: User) -> QuerySet[SavedFilter]:
    """Return the filters somebody has kept, by name."""
    return SavedFilter.objects.filter(owner=user)


def query_of(params: QueryDict) -> str:
    """Return the filters of an address as a query string: without empty ones, and without the place in the list."""
    kept = params.copy()
    for name in params:
        values = [value for value in params.getlist(name) if value.strip()]
        if name in PLACES or not values:
            del kept[name]
        else:
            kept.setlist(name, values)
    return kept.urlencode()


def save_filter(actor: User, *, name: str, query: str, is_default: bool = False) -> SavedFilter:
    """Keep a filter; one of the same name is replaced. Raises: SavedFilterError, NotAllowed."""
    rules.require_anywhere(actor, rules.Action.VIEW)
    name, query = name.strip(), query_of(QueryDict(query))
    longest = SavedFilter._meta.get_field("name").max_length
    if not name or len(name) > longest or not name.isprintable():  # type: ignore[operator]
        raise SavedFilterError("name", f"Give it a name of at most {longest} visible characters.")
    if not query or len(query) > SavedFilter._meta.get_field("query").max_length:  # type: ignore[operator]
        raise SavedFilterError("name", "Choose a filter first: there is nothing to keep yet.")
    with transaction.atomic():
        mine = saved_filters(actor)
        if mine.exclude(name=name).count() >= FILTERS_EACH:
            raise SavedFilterError("name", f"You keep {FILTERS_EACH} filters already: delete one first.")
        if is_default:
            mine.update(is_default=False)
        kept, _ = SavedFilter.objects.update_or_create(
            owner=actor, name=name, defaults={"query": query, "is_default": is_default}
        )
        record(actor, "history.save_filter", name, query=query, is_default=is_default)
    return kept


def delete_filter(actor: User, *, kept: SavedFilter) -> None:
    """Forget one of one's own filters. Raises: SavedFilter.DoesNotExist for somebody else's."""
    with transaction.atomic():
        saved_filters(actor).get(pk=kept.pk).delete()
        record(actor, "history.delete_filter", kept.name)
