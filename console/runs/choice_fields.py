"""Owns the fields of the Send Command form that say which instances are meant, and what was shown and confirmed."""

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms

from console.members.models import User
from console.runs.choice import Choice
from console.runs.confirmation import plain_number
from console.runs.former import WHICH
from console.runs.names import TEXT_LIMIT
from console.runs.number_sets import unfold
from console.runs.services import RunError
from instances.access.rules import Action, scope
from instances.inventory.models import Instance
from instances.inventory.query import TEXT_LIMIT as FILTER_LIMIT

SELECTION, FILTER, GROUP, NAMES, RUN, ADDRESS = "selection", "filter", "group", "names", "run", "address"
WAYS = (
    (SELECTION, "Selection"),
    (FILTER, "Filter"),
    (GROUP, "Group"),
    (NAMES, "Names"),
    (RUN, "Former run"),
    (ADDRESS, "Address"),
)
# Where what is wrong with a choice is said.
FIELD_OF = {SELECTION: "ids", FILTER: "filter_text", GROUP: "in_group", NAMES: "names", RUN: "former_run"}
_NOTHING = {
    SELECTION: "Select at least one instance.",
    FILTER: "Nothing matches this filter.",
    GROUP: "There is no instance in this group.",
    NAMES: "Every name is left out again.",
    RUN: "The run has no such instance.",
}
_TOLD = 10
# As many ids as a form could carry.
_SHOWN_LIMIT = 200_000


class CountField(forms.IntegerField):
    """A number as it is typed from the page."""

    def to_python(self, value: Any) -> int | None:
        """Return the number. Raises: ValidationError."""
        return super().to_python(plain_number(value) if isinstance(value, str) else value)


class ChoiceFields(forms.Form):
    """Which way the instances are chosen, and the fields of each; those of a selection are the form's own.

    ``shown`` is the set of ids that the page showed (number_sets.fold): what is sent goes to exactly these.
    """

    choose = forms.ChoiceField(choices=WAYS, required=False)
    everything = forms.BooleanField(required=False, widget=forms.HiddenInput)
    filter_text = forms.CharField(label="Filter", required=False, max_length=FILTER_LIMIT)
    in_group = forms.CharField(label="Group", required=False, max_length=20)
    names = forms.CharField(label="Names", required=False, max_length=TEXT_LIMIT)
    left_out = forms.CharField(required=False, max_length=TEXT_LIMIT)
    former_run = forms.CharField(label="Run", required=False, max_length=20)
    which = forms.CharField(label="Which of them", required=False, max_length=20)
    ordinals = forms.CharField(required=False, max_length=TEXT_LIMIT, widget=forms.HiddenInput)
    shown = forms.CharField(required=False, max_length=TEXT_LIMIT)
    confirmed_count = CountField(required=False)
    dry_run = forms.BooleanField(required=False)

    @property
    def choosing(self) -> dict[str, Any]:
        """What the template shows of these fields: the way, the ways, and the kinds of a run's instances."""
        data = self.data if self.is_bound else self.initial
        has_selection = bool(data.get("ids") or data.get("by_query"))
        is_open = not self.is_bound and not (has_selection or data.get("choose") or data.get("address"))
        return {
            "way": FILTER if is_open else way_of(data),
            "has_selection": has_selection,
            "ways": WAYS,
            "which": [(name, words) for name, (words, _) in WHICH.items() if name != "rows" or data.get("ordinals")],
        }


def way_of(data: Mapping[str, Any]) -> str:
    """Return the way a form's instances are chosen; one that does not say has ids, a query or an address."""
    way = str(data.get("choose") or "")
    if way in dict(WAYS):
        return way
    if str(data.get("address") or "").strip():
        return ADDRESS
    return SELECTION if data.get("ids") or data.get("by_query") else ADDRESS


def choice_in(data: Mapping[str, Any]) -> Choice:
    """Return the choice in a form's fields. Raises: RunError for a way that is chosen without saying what."""
    way = way_of(data)
    given = str(data.get(FIELD_OF.get(way, "")) or "").strip()
    if way in {GROUP, NAMES, RUN} and not given:
        raise RunError(
            FIELD_OF[way], {GROUP: "Choose a group.", NAMES: "Enter names."}.get(way, "Enter a run's number.")
        )
    match way:
        case "filter":
            return Choice(by_query=True, query=given)
        case "group":
            return Choice(by_query=True, group=given)
        case "names":
            return Choice(names=str(data["names"]), left_out=str(data.get("left_out") or ""))
        case "run":
            which = str(data.get("which") or "all")
            return Choice(run=given.lstrip("#"), which=which, ordinals=str(data.get("ordinals") or ""))
        case "selection":
            names = ("ids", "by_query", "query", "group", "except_ids", "everything")
            return Choice.of({name: data.get(name) for name in names})
    return Choice()


def field_for(error: RunError, data: Mapping[str, Any]) -> str:
    """Return the form's field for what is wrong with a choice."""
    return error.field if error.field in {"names", "former_run", "which"} else FIELD_OF.get(way_of(data), "ids")


def nothing_chosen(data: Mapping[str, Any]) -> RunError:
    """Return what is said of a choice that comes to nothing."""
    way = way_of(data)
    return RunError(FIELD_OF.get(way, "ids"), _NOTHING.get(way, _NOTHING[SELECTION]))


def changed_since_shown(user: User, data: Mapping[str, Any], found: Sequence[Instance]) -> str:
    """Return what to say when these are not the instances the page showed; empty when they are, or when none were.

    A selection may be sent without having been shown; a filter, a group, names and a run are shown first.
    """
    text = str(data.get("shown") or "")
    if not text:
        if way_of(data) in {SELECTION, ADDRESS}:
            return ""
        return "These are the instances it comes to. Look at them, then send."
    try:
        shown = unfold(text, most=_SHOWN_LIMIT)
    except ValueError:
        return "Look at the instances once more, then send."
    now = {instance.pk: instance.name for instance in found}
    if shown == now.keys():
        return ""
    before = f"{len(shown):,} instance{'' if len(shown) == 1 else 's'}"
    words = [f"The selection was {before} when it was shown, now {len(now):,}."]
    if added := sorted(name for pk, name in now.items() if pk not in shown):
        words.append(f"Added: {_told(added)}.")
    if gone := _names_of(user, shown - now.keys()):
        words.append(f"No longer among them: {_told(gone)}.")
    return " ".join([*words, "Look again."])


def _names_of(user: User, ids: set[int]) -> list[str]:
    wanted = sorted(ids)
    names: list[str] = []
    for start in range(0, len(wanted), 5000):
        part = Instance.objects.filter(scope(user, Action.VIEW), pk__in=wanted[start : start + 5000])
        names += part.values_list("name", flat=True)
    left = len(wanted) - len(names)
    return [*sorted(names), *([f"{left:,} deleted since"] if left else [])]


def _told(names: list[str]) -> str:
    return ", ".join(names[:_TOLD]) + (f" and {len(names) - _TOLD:,} more" if len(names) > _TOLD else "")
