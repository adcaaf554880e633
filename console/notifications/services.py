"""Owns destinations, and the notices on their way to them."""

import datetime
import hashlib
import json
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from console import bus
from console.literals import literal
from console.notifications.models import Destination, Kind, Notice, NoticeState
from instances.access.rules import Action, require
from instances.audit.services import record

if TYPE_CHECKING:
    from console.members.models import User

MAX_ADDRESSES = 50
MAX_DESTINATIONS = 20
# After each attempt that failed: ten seconds to six hours, nine hours in all; then it is given up.
WAITS_S = (10, 60, 300, 1800, 7200, 21600)
# Longer than an attempt takes; a notice whose worker died in the middle of one is taken again.
CLAIM_S = 90
TESTS_KEPT = 100


class DestinationError(Exception):
    """The destination cannot be like this. ``field`` names the form field the message belongs to."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class ChangedMeanwhile(DestinationError):
    """Somebody else changed the destination since its form was drawn; ``destination`` is how it is now."""

    def __init__(self, destination: Destination) -> None:
        super().__init__("base", "The destination was changed meanwhile, in another window. Nothing was saved.")
        self.destination = destination


@dataclass(frozen=True, slots=True)
class Told:
    """What is told about a run. ``payload`` is what webhooks get, without secrets and without output."""

    subject: str
    text: str
    payload: dict[str, Any] = field(repr=False)


# ------------------------------------------------------------------ destinations


def add_destination(
    actor: "User", *, name: str, kind: str, addresses: Sequence[str] = (), url: str = ""
) -> Destination:
    """Add a destination. Raises: NotAllowed, DestinationError."""
    require(actor, Action.MANAGE_NOTIFICATIONS)
    if kind not in Kind.values:
        raise DestinationError("kind", "Choose e-mail or webhook.")
    with transaction.atomic():
        made = _save(Destination(kind=kind), name, addresses, url)
        record(actor, "destination.add", made.name, id=made.pk, kind=kind, to=told_to(made))
    return made


def change_destination(
    actor: "User",
    *,
    destination: Destination,
    base: str,
    name: str,
    addresses: Sequence[str] = (),
    url: str = "",
    is_disabled: bool = False,
) -> Destination:
    """Change a destination. ``base`` is the ``edit_token`` of what the actor looked at.

    Raises: NotAllowed, ChangedMeanwhile, DestinationError.
    """
    require(actor, Action.MANAGE_NOTIFICATIONS)
    with transaction.atomic():
        destination = Destination.objects.select_for_update().get(pk=destination.pk)
        if edit_token(destination) != base:
            raise ChangedMeanwhile(destination)
        destination.is_disabled = is_disabled
        _save(destination, name, addresses, url)
        record(
            actor,
            "destination.change",
            destination.name,
            id=destination.pk,
            to=told_to(destination),
            is_disabled=is_disabled,
        )
    return destination


def delete_destination(actor: "User", *, destination: Destination) -> None:
    """Delete a destination; what was told stays in the log, what waits is given up. Raises: NotAllowed."""
    require(actor, Action.MANAGE_NOTIFICATIONS)
    with transaction.atomic():
        record(actor, "destination.delete", destination.name, id=destination.pk)
        destination.delete()


def new_secret(actor: "User", *, destination: Destination) -> None:
    """Give a webhook another signing secret; the former one signs nothing any more. Raises: NotAllowed."""
    require(actor, Action.MANAGE_NOTIFICATIONS)
    with transaction.atomic():
        destination.secret_number += 1
        destination.save(update_fields=["secret_number"])
        record(actor, "destination.new_secret", destination.name, id=destination.pk)


def send_test(actor: "User", *, destination: Destination) -> Notice:
    """Send a notice about no run, to see whether it arrives. Raises: NotAllowed."""
    require(actor, Action.MANAGE_NOTIFICATIONS)
    told = Told(
        "Muster: a test",
        f"{actor.get_username()} sent this to see whether notices of {settings.ENV.url} arrive.\n",
        {"type": "test", "timestamp": timezone.now().isoformat(), "data": {"console": settings.ENV.url}},
    )
    with transaction.atomic():
        record(actor, "destination.test", destination.name, id=destination.pk)
        (notice,) = tell([destination], told, run_id=None)
        old = Notice.objects.filter(run=None).order_by("-pk").values_list("pk", flat=True)[TESTS_KEPT:]
        Notice.objects.filter(pk__in=list(old)).delete()
        transaction.on_commit(bus.ring)
    return notice


def edit_token(destination: Destination) -> str:
    """Return what changes whenever what a form says of a destination does; a form carries it."""
    said = json.dumps([destination.name, destination.addresses, destination.url, destination.is_disabled])
    return hashlib.sha256(said.encode()).hexdigest()[:32]


def usable() -> QuerySet[Destination]:
    """Return the destinations that a run can name."""
    return Destination.objects.filter(is_disabled=False)


def is_usable(pk: str) -> bool:
    """Say whether a run can still name a destination, by its id as a form gives it. Side effects: one query."""
    return pk.isascii() and pk.isdigit() and len(pk) < 19 and usable().filter(pk=pk).exists()


def told_to(destination: Destination) -> str:
    """Return whom a destination reaches; of a URL the server alone, because its path may be a secret."""
    if destination.kind == Kind.EMAIL:
        return ", ".join(destination.addresses)[:500]
    return urlsplit(destination.url).netloc[:500]


def _save(row: Destination, name: str, addresses: Sequence[str], url: str) -> Destination:
    row.name = name.strip()
    if not row.name or len(row.name) > 80 or not row.name.isprintable():
        raise DestinationError("name", "A name has 1 to 80 visible characters.")
    if row.kind == Kind.EMAIL:
        row.addresses = _addresses(addresses)
    else:
        row.url = _url(url)
    try:
        with transaction.atomic():
            row.save()
    except IntegrityError:
        raise DestinationError("name", f"There is a destination “{row.name}” already.") from None
    return row


def _addresses(given: Iterable[str]) -> list[str]:
    if not settings.ENV.email_url:
        raise DestinationError("addresses", "This console has no mail server: set MUSTER_EMAIL_URL and restart it.")
    found = list(dict.fromkeys(address.strip() for address in given if address.strip()))
    if not found:
        raise DestinationError("addresses", "Enter at least one e-mail address.")
    if len(found) > MAX_ADDRESSES:
        raise DestinationError("addresses", f"At most {MAX_ADDRESSES} addresses; use a mailing list for more.")
    for address in found:
        try:
            validate_email(address)
        except ValidationError:
            raise DestinationError("addresses", f"{address} is not an e-mail address.") from None
    return found


def _url(given: str) -> str:
    given = given.strip()
    try:
        parts = urlsplit(given)
        is_right = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_right = False
    if not is_right or any(not 32 < ord(letter) < 127 for letter in given):
        raise DestinationError("url", "Enter an address such as https://chat.example.com/hooks/muster.")
    if "@" in parts.netloc:
        raise DestinationError("url", "Leave the user name and password out: the receiver checks the signature.")
    if len(given) > 2000:
        raise DestinationError("url", "An address has at most 2,000 characters.")
    return given


# ------------------------------------------------------------------ notices


def tell(destinations: Iterable[Destination], told: Told, *, run_id: int | None) -> list[Notice]:
    """Put notices on their way, inside the caller's transaction."""
    now = timezone.now()
    return Notice.objects.bulk_create(
        Notice(
            run_id=run_id,
            destination=destination,
            destination_name=destination.name,
            to=told_to(destination),
            subject=told.subject[:300],
            text=told.text,
            payload=told.payload,
            due_at=now,
        )
        for destination in destinations
    )


def claim_due(limit: int) -> list[Notice]:
    """Take up to ``limit`` notices that are due, each for one attempt."""
    now = timezone.now()
    due = Notice.objects.filter(state=literal(NoticeState.WAITING), due_at__lte=now).order_by("due_at")
    if not due.exists():
        return []
    with transaction.atomic():
        ids = list(due.select_for_update(skip_locked=True).values_list("pk", flat=True)[:limit])
        Notice.objects.filter(pk__in=ids).update(due_at=now + datetime.timedelta(seconds=CLAIM_S))
    return list(Notice.objects.filter(pk__in=ids).select_related("destination"))


def note_sent(key: uuid.UUID, answer: str) -> None:
    """Write that a notice arrived; nothing of one that was removed while it was on its way."""
    notice = Notice.objects.filter(key=key).first()
    if notice is not None:
        _end(notice, NoticeState.SENT, answer)


def note_not_sent(key: uuid.UUID, why: str, *, is_final: bool) -> None:
    """Write that an attempt failed; the next one is later, or there is none. Nothing of one that was removed."""
    notice = Notice.objects.filter(key=key).first()
    if notice is None:
        return
    if is_final or notice.attempts >= len(WAITS_S):
        _end(notice, NoticeState.FAILED, why)
        return
    Notice.objects.filter(pk=notice.pk, state=NoticeState.WAITING).update(
        attempts=notice.attempts + 1,
        answer=why[:500],
        due_at=timezone.now() + datetime.timedelta(seconds=WAITS_S[notice.attempts]),
    )


def try_again(actor: "User", *, notice: Notice) -> None:
    """Send a notice that was given up, or that waits, once more now. Raises: NotAllowed."""
    require(actor, Action.MANAGE_NOTIFICATIONS)
    with transaction.atomic():
        open_again = Notice.objects.filter(pk=notice.pk).exclude(state=NoticeState.SENT)
        if open_again.update(state=NoticeState.WAITING, attempts=0, due_at=timezone.now(), ended_at=None):
            record(actor, "notice.try_again", notice.destination_name, notice=str(notice.key))
        transaction.on_commit(bus.ring)


def _end(notice: Notice, state: NoticeState, answer: str) -> None:
    Notice.objects.filter(pk=notice.pk, state=NoticeState.WAITING).update(
        state=state, attempts=notice.attempts + 1, answer=answer[:500], ended_at=timezone.now()
    )
