"""Owns what a schedule sends: the values of the Send Command form, without secrets, and sent as that form would."""

import secrets
from collections.abc import Mapping, Sequence

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS
from django.db import transaction
from django.http import QueryDict

from console.members.models import User
from console.notifications.services import is_usable
from console.runs import services as runs
from console.runs.choice import chosen
from console.runs.choice_fields import ChoiceFields, choice_in
from console.runs.families import send_to_families
from console.runs.forms import SendForm
from console.runs.models import CommandType, Run
from console.saved_commands import services as saved_commands
from console.saved_commands.models import SavedCommandVersion
from console.schedules.models import Schedule, Source
from instances.inventory.errors import InventoryError
from instances.inventory.models import Instance

Values = dict[str, list[str]]
# Of one sending, or of the page it came from.
_NOT_KEPT = frozenset(
    {
        "csrfmiddlewaretoken",
        "request_key",
        "expected_count",
        "shown",
        "look",
        "keep",
        "keep_name",
        "script",
        "prompt_user",
        "prompt_password",
        "remember",
    }
)
_CHOICE = frozenset({"ids", "by_query", "query", "group", "except_ids", "address", *ChoiceFields.base_fields})


class SendingRefused(Exception):
    """It cannot be sent like this. ``errors``: messages by field of the Send Command form, "" for the whole of it."""

    def __init__(self, errors: Mapping[str, list[str]]) -> None:
        super().__init__(" ".join(message for messages in errors.values() for message in messages))
        self.errors = errors


def form_of(user: User, values: Mapping[str, list[str]], request_key: str = "") -> SendForm:
    """Return the Send Command form, filled in with kept values; its instances are looked up, whatever was shown."""
    data = QueryDict(mutable=True)
    for name, texts in values.items():
        data.setlist(name, texts)
    # A command is not left out because nobody is to be told there any more.
    data.setlist("notify_to", [pk for pk in data.getlist("notify_to") if is_usable(pk)])
    data["request_key"] = request_key
    return SendForm(data, user=user, is_unseen=True)


def values_of(form: SendForm, data: QueryDict) -> Values:
    """Return what is kept of a valid form and what it was filled in with; a script file's text is the command.

    Raises: SendingRefused where it holds a secret, which is what is entered in a password field or as a secret
    variable: it would have to be kept in a form that opens by itself.
    """
    _refuse_secrets(form)
    values = {name: [str(text) for text in data.getlist(name)] for name in data if name not in _NOT_KEPT}
    given = ("command", "script_name", "windows_command")
    return values | {name: [form.cleaned_data[name]] for name in given if form.cleaned_data.get(name)}


def _refuse_secrets(form: SendForm) -> None:
    errors: dict[str, list[str]] = {}
    if form.is_in_sessions:
        errors["sessions"] = ["A session is not kept until then: schedule it for instances."]
    if form.cleaned_data.get("secret_environment"):
        errors["secret_environment"] = ["A schedule keeps no secrets: it cannot send secret variables."]
    if form.cleaned_data.get("prompt_password"):
        errors["prompt_password"] = ["A schedule keeps no passwords: give these instances a credential."]
    for name, field in form.fields.items():
        if name not in errors and isinstance(field.widget, forms.PasswordInput) and form.cleaned_data.get(name):
            errors[name] = ["A schedule keeps no secrets: it cannot send this."]
    if errors:
        raise SendingRefused(errors)


def frozen(user: User, values: Values) -> Values:
    """Return the values with the instances that the choice in them comes to now, by id."""
    instances = form_instances(user, values)
    without = {name: texts for name, texts in values.items() if name not in _CHOICE}
    return without | {"ids": [",".join(str(instance.pk) for instance in instances)]}


def form_instances(user: User, values: Mapping[str, list[str]]) -> list[Instance]:
    """Return the instances that the choice in the values comes to now. Raises: SendingRefused."""
    form = form_of(user, values)
    if not form.is_valid():
        raise SendingRefused(_errors(form))
    try:
        return form.instances()
    except InventoryError as error:
        raise SendingRefused({"address": [str(error)]}) from None


def contents(schedule: Schedule) -> Values:
    """Return the values a schedule sends now. Raises: SendingRefused when its saved command is not to be had."""
    if schedule.source == Source.TEXT:
        return dict(schedule.values)
    return with_saved(dict(schedule.values), _version(schedule))


def _version(schedule: Schedule) -> SavedCommandVersion:
    name = schedule.saved_name
    if schedule.saved is None or schedule.owner is None:
        raise SendingRefused({"": [f"The saved command {name} was deleted."]})
    saved = saved_commands.visible(schedule.owner).filter(pk=schedule.saved.pk).first()
    if saved is None:
        raise SendingRefused({"": [f"The saved command {name} is archived, or no longer shared with its owner."]})
    version = saved.latest if schedule.source == Source.LATEST else schedule.version
    if version is None:
        raise SendingRefused({"": [f"That version of the saved command {name} was deleted."]})
    return version


def with_saved(values: Values, version: SavedCommandVersion) -> Values:
    """Return the values with the text of a version in the place of theirs; their options stay."""
    changed = {"saved_version": str(version.pk), "script_name": ""}
    is_split = bool(values.get("split", [""])[-1])
    if version.text:
        changed |= {"command": version.text, "command_type": CommandType.SHELL.value}
    elif not is_split:
        changed |= {"command": version.windows_text, "command_type": version.windows_type}
    if version.windows_text and (version.text or is_split):
        changed |= {"windows_command": version.windows_text, "windows_type": version.windows_type, "split": "1"}
    return values | {name: [text] for name, text in changed.items()}


def send(owner: User, values: Values, *, request_key: str) -> Run:
    """Send what the values say, as their form would; return the run, the first of two for two OS families.

    Raises: SendingRefused, NotAllowed. Side effects: those of ``runs.send_command``.
    """
    form = form_of(owner, values, request_key)
    if not form.is_valid():
        raise SendingRefused(_errors(form))
    # The values come back from the page that asks when, and may be others than it was given.
    _refuse_secrets(form)
    try:
        instances = form.instances()
        if form.cleaned_data["split"]:
            posix, windows = form.parts()
            return send_to_families(
                owner,
                posix=posix,
                windows=windows,
                request_key=request_key,
                confirmed_count=_confirmed(form, instances),
                origin=form.origin(),
            )[0]
        return runs.send_command(
            owner,
            instances=instances,
            confirmed_count=_confirmed(form, instances),
            command=form.cleaned_data["command"],
            request_key=request_key,
            options=form.options(),
            origin=form.origin(),
        )
    except runs.RunError as error:
        if error.field == "ids" and not chosen(owner, choice_in(form.cleaned_data)):
            raise SendingRefused(
                {"ids": ["There is no instance to send to: none matches, or those chosen are gone."]}
            ) from None
        raise SendingRefused({error.field: [str(error)]}) from None
    except InventoryError as error:
        raise SendingRefused({"address": [str(error)]}) from None


def _confirmed(form: SendForm, instances: Sequence[Instance]) -> int | None:
    """Return the number that counts as confirmed: who confirmed many has confirmed fewer, and not more."""
    confirmed: int | None = form.cleaned_data["confirmed_count"]
    return confirmed if confirmed is None or len(instances) > confirmed else len(instances)


def try_out(owner: User, values: Values) -> int:
    """Send, see what comes of it, and take it all back: what would be refused when it is due is refused now.

    Return to how many instances it would go. Raises: SendingRefused, NotAllowed.
    """
    with transaction.atomic():
        run = send(owner, values, request_key=f"trial-{secrets.token_urlsafe(18)}")
        transaction.set_rollback(True)
    return run.target_count


def _errors(form: SendForm) -> dict[str, list[str]]:
    errors = {name: [str(text) for text in texts] for name, texts in form.errors.items()}
    if "ids" in errors and not form.data.get("shown"):
        errors["ids"] = ["There is no instance to send to: none matches, or those chosen are gone."]
    if NON_FIELD_ERRORS in errors:
        errors[""] = errors.pop(NON_FIELD_ERRORS)
    if "saved_version" in errors:
        errors["saved_version"] = ["The saved command it comes from was deleted, archived, or is no longer shared."]
    return errors
