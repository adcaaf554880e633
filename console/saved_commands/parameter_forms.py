"""Owns the rows in which the parameters of a saved command are declared, as forms."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from django import forms
from django.forms.formsets import DELETION_FIELD_NAME, ORDERING_FIELD_NAME

from console.saved_commands.parameters import MOST, DeclarationError, Kind, Parameter, check_is_new

EMPTY_ROWS = 2
_PLAIN = {"autocomplete": "off", "spellcheck": "false"}


class ParameterForm(forms.Form):
    """One row. A row without a name declares nothing; its place is in ``ORDER``."""

    name = forms.CharField(
        required=False,
        help_text="Letters, digits and _.",
        max_length=64,
        widget=forms.TextInput({"class": "mono", **_PLAIN}),
    )
    type = forms.ChoiceField(
        required=False,
        choices=[(kind.value, "instance attribute" if kind is Kind.ATTRIBUTE else kind.value) for kind in Kind],
    )
    default = forms.CharField(
        help_text="Sent where nothing is entered. Of an instance attribute: which one, such as instance.tags.env.",
        required=False,
        strip=False,
        max_length=4000,
        widget=forms.Textarea({"rows": 1, **_PLAIN}),
    )
    required = forms.BooleanField(required=False)
    pattern = forms.CharField(
        help_text="What the whole value must match, such as [a-z]+-[0-9]{1,3}.",
        required=False,
        max_length=200,
        widget=forms.TextInput({"class": "mono", **_PLAIN}),
    )
    choices = forms.CharField(
        help_text="Of a choice: one on each line.",
        required=False,
        max_length=4000,
        widget=forms.Textarea({"rows": 2, **_PLAIN}),
    )
    description = forms.CharField(required=False, max_length=500)

    parameter: Parameter | None = None

    def clean(self) -> dict[str, Any]:
        """Say beside each field what cannot be declared."""
        data = super().clean() or {}
        if self.errors or not data.get("name"):
            if not self.errors and any(data.get(name) for name in ("default", "pattern", "choices", "description")):
                self.add_error("name", "Give it a name, or empty the row.")
            return data
        data["default"] = data["default"].replace("\r\n", "\n")
        try:
            self.parameter = Parameter.of(data)
        except DeclarationError as error:
            self.add_error(error.field, str(error))
        return data


if TYPE_CHECKING:
    _RowsBase = forms.BaseFormSet[ParameterForm]
else:
    _RowsBase = forms.BaseFormSet


class Rows(_RowsBase):
    """All rows of a saved command."""

    default_error_messages = {
        **forms.BaseFormSet.default_error_messages,
        "too_many_forms": "At most %(num)d parameters are taken.",
        "missing_management_form": "The rows of the parameters did not come along. Load the page again.",
    }

    @property
    def is_open(self) -> bool:
        """Whether there is anything to see: a row that declares something, or what is wrong with one."""
        return self.initial_form_count() > 0 or (
            self.is_bound and (self.total_error_count() > 0 or any(form["name"].value() for form in self.forms))
        )

    @property
    def parameters(self) -> list[Parameter]:
        """What valid rows declare, in order; rows marked to be removed do not."""
        kept = [form for form in self.forms if form.parameter and not form.cleaned_data.get("DELETE")]
        places = {id(form): place for place, form in enumerate(kept)}
        kept.sort(key=lambda form: (form.cleaned_data.get("ORDER") or 1000, places[id(form)]))
        return [form.parameter for form in kept if form.parameter]

    def clean(self) -> None:
        """Say beside a name that it is there twice."""
        seen: list[Parameter] = []
        for form in self.forms:
            if form.parameter is None or form.cleaned_data.get("DELETE"):
                continue
            try:
                check_is_new(form.parameter, seen)
            except DeclarationError as error:
                form.add_error(error.field, str(error))
                # A formset counts the errors of its rows before this.
                raise forms.ValidationError(str(error)) from None
            seen.append(form.parameter)


ParameterRows: type[Rows] = forms.formset_factory(  # type: ignore[assignment]
    ParameterForm,
    formset=Rows,
    extra=EMPTY_ROWS,
    can_order=True,
    can_delete=True,
    max_num=MOST,
    absolute_max=MOST + EMPTY_ROWS,
    validate_max=True,
)
PREFIX = "parameters"


def rows_of(declared: Sequence[Mapping[str, Any]]) -> Rows:
    """Return rows that show what a version declares, and some empty ones."""
    initial = [{**row, "choices": "\n".join(row.get("choices", ()))} for row in declared]
    return ParameterRows(initial=initial, prefix=PREFIX)


def with_more_rows(data: Mapping[str, Any]) -> Rows:
    """Return the rows of submitted data as they were written, with some empty ones behind them; none is checked."""
    total = str(data.get(f"{PREFIX}-TOTAL_FORMS", ""))
    count = min(int(total), MOST) if total.isdecimal() and len(total) < 10 else 0
    names = (*ParameterForm.base_fields, ORDERING_FIELD_NAME, DELETION_FIELD_NAME)
    initial = [{name: data.get(f"{PREFIX}-{row}-{name}", "") for name in names} for row in range(count)]
    return ParameterRows(initial=initial, prefix=PREFIX)
