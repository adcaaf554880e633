"""One of everything, in a group of its own, and the people who come to look at it."""

import base64
import functools
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection, transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone

from console.history import services as filters
from console.members import services as members
from console.members.models import User
from console.notifications import services as notifications
from console.notifications.models import Destination
from console.runs.models import Invocation, Output, OutputKind, Run
from console.runs.status import Status
from console.saved_commands import folders
from console.saved_commands import services as saved_commands
from console.saved_commands.models import SavedCommand
from console.schedules import services as schedules
from console.schedules.models import Schedule
from console.schedules.timing import Kind, Rule
from console.transfers import store
from console.transfers.models import Delivery, Transfer
from instances.access.models import Group, Role
from instances.audit.models import AuditEntry
from instances.authorise.forms import AuthoriseForm, TakeAwayForm
from instances.authorise.models import Authorisation, Placement
from instances.credentials.models import Credential
from instances.engine.types import HostKey
from instances.host_keys import importing
from instances.host_keys.models import HostKeyState
from instances.inventory.models import Instance
from tests.support import factories, runs
from tests.support.site import browser

# Nothing of what only the group's people may see is called by a word that a page has anyway.
SECRET = "canary"
OUTPUT = b"canary-output\n"
# Who may look: nobody; a deactivated person, with the session of before; a person without any role; the strongest role
# in another group only, and in this group only; the three roles everywhere.
ACTORS = ("anonymous", "former", "roleless", "elsewhere", "inside", "viewer", "operator", "admin")
# Kept per browser rather than per thing.
_PASSED_OVER = {"sessions.Session", "axes.AccessLog", "axes.AccessAttempt", "axes.AccessFailureLog"}


@dataclass(frozen=True)
class World:
    """The things there are: ids by the name that URLs use for them; session keys by the actors who were signed in."""

    ids: dict[str, Any]
    run: Run
    administrator: User
    signed_in: dict[str, str] = field(default_factory=dict)


def build() -> World:
    """Make one of everything; each name begins with ``SECRET``."""
    group = factories.GroupFactory(name=f"{SECRET}-group")
    credential = factories.CredentialFactory(name=f"{SECRET}-credential")
    instance = factories.InstanceFactory(name=f"{SECRET}-instance", address=f"{SECRET}.example", group=group)
    administrator = factories.UserFactory(username=f"{SECRET}-administrator")
    run = runs.send(actor=administrator, instances=[instance], command=f"echo {SECRET}-command")
    _give_output(run.invocations.get())
    saved = factories.saved_command(name=f"{SECRET}-saved", text="true", owner=administrator)
    member = factories.UserFactory(username=f"{SECRET}-member", role=Role.VIEWER)
    key = factories.HostKeyFactory(instance=instance, state=HostKeyState.UNKNOWN)
    authority = factories.HostAuthorityFactory(name=f"{SECRET}-authority", group=group)
    revoked = factories.RevokedKeyFactory(comment=f"{SECRET}-revoked", group=group)
    authorisation = Authorisation.objects.create(action="place", credential=credential, credential_name=credential.name)
    Placement.objects.create(authorisation=authorisation, instance=instance, instance_name=instance.name)
    transfer = Transfer.objects.create(direction="fetch", path=f"/{SECRET}-command", actor=administrator)
    name, size = store.keep([OUTPUT], limit_bytes=1000)
    delivery = Delivery.objects.create(
        transfer=transfer, instance=instance, instance_name=instance.name, stored=name, size=size, state="succeeded"
    )
    destination = factories.webhook(f"{SECRET}-destination", f"https://{SECRET}.example/hook")
    (notice,) = notifications.tell([destination], notifications.Told("subject", "text", {}), run_id=run.pk)
    schedule = schedules.add(administrator, _plan(instance))
    session = factories.session(instance, administrator, kind="terminal", name=f"{SECRET}-session")
    recording = factories.recording(instance, administrator, OUTPUT)
    ids = {
        "session_id": session.pk,
        "recording_id": recording.pk,
        "shell_id": factories.session(instance, administrator, name=f"{SECRET}-session").pk,
        "destination_id": destination.pk,
        "notice_id": notice.pk,
        "schedule_id": schedule.pk,
        "transfer_id": transfer.pk,
        "delivery_id": delivery.pk,
        "authorisation_id": authorisation.pk,
        "run_id": run.pk,
        "ordinal": 0,
        "line": 1,
        "instance_id": instance.pk,
        "group_id": group.pk,
        "credential_id": credential.pk,
        "host_key_id": key.pk,
        "authority_id": authority.pk,
        "revoked_id": revoked.pk,
        "saved_id": saved.pk,
        "filter_id": filters.save_filter(administrator, name=f"{SECRET}-filter", query="text=x").pk,
        "member_id": member.pk,
        "token": members.make_sign_in_link(member).strip("/").split("/")[-1],
    }
    return World(ids, run, administrator)


def _plan(instance: Instance) -> schedules.Plan:
    values = {"command": [f"echo {SECRET}-command"], "command_type": ["shell"], "ids": [str(instance.pk)]}
    return schedules.Plan(f"{SECRET}-schedule", Rule(Kind.CRON, expression="0 0 1 1 *"), values)


def _give_output(invocation: Invocation) -> None:
    Output.objects.create(
        invocation=invocation, offset=0, kind=OutputKind.STDOUT, stream_offset=0, data=OUTPUT, at=timezone.now()
    )
    Invocation.objects.filter(pk=invocation.pk).update(
        size=len(OUTPUT), stdout_bytes=len(OUTPUT), status=Status.LOST, marker="0" * 32, last_line=f"{SECRET}-output"
    )


def make(actor: str, world: World) -> User | None:
    """Make the person an actor stands for; None for ``anonymous``."""
    if actor == "anonymous":
        return None
    if actor in {"elsewhere", "inside"}:
        group = factories.GroupFactory() if actor == "elsewhere" else Group.objects.get(pk=world.ids["group_id"])
        return factories.UserFactory(role=Role.ADMINISTRATOR, role_group=group)
    if actor == "roleless":
        return factories.UserFactory(role=None)
    return factories.UserFactory(role=Role.ADMINISTRATOR if actor in {"former", "admin"} else Role(actor))


def sign_all_in(world: World) -> None:
    """Make every actor at once, for many tests that undo what is done after this."""
    for actor in ACTORS:
        if cookie := client_of(actor, world).cookies.get(settings.SESSION_COOKIE_NAME):
            world.signed_in[actor] = cookie.value


def client_of(actor: str, world: World, *, enforce_csrf_checks: bool = False) -> Client:
    """Return the browser of an actor, signed in; that of the former member was signed in before."""
    client = browser(enforce_csrf_checks)
    if actor in world.signed_in:
        client.cookies[settings.SESSION_COOKIE_NAME] = world.signed_in[actor]
        return client
    user = make(actor, world)
    if user is not None:
        client.force_login(user)
    if actor == "former":
        members.deactivate(world.administrator, member=user)
    return client


@functools.cache
def urls() -> dict[str, list[str]]:
    """Return every URL of the site: the names of its arguments by its name. Fails for one without a name."""
    found: dict[str, list[str]] = {}
    for pattern in _patterns(get_resolver()):
        assert pattern.name, f"{pattern.pattern} has no name"
        assert pattern.name not in found, f"{pattern.name} is the name of two URLs"
        found[pattern.name] = re.findall(r"<\w+:(\w+)>", str(pattern.pattern))
    return found


def _patterns(resolver: URLResolver) -> Iterator[URLPattern]:
    for one in resolver.url_patterns:
        if isinstance(one, URLResolver):
            assert not one.namespace, f"{one.namespace}: names in namespaces are not walked yet"
            yield from _patterns(one)
        else:
            yield one


def path_of(name: str, world: World) -> str:
    """Return the path of a URL, about the things of the world."""
    return reverse(name, kwargs={argument: world.ids[argument] for argument in urls()[name]})


def press(kind: type[AuthoriseForm] | type[TakeAwayForm], ids: dict[str, Any]) -> dict[str, Any]:
    """Return what the page sends once it has shown what would be done to an administrator."""
    choices = {"credential": ids["credential_id"], "limits": "restrict,pty", "next_credential": ""}
    instances = list(Instance.objects.filter(pk=ids["instance_id"]))
    form = kind(choices, user=User.objects.get(username=f"{SECRET}-administrator"), instances=instances)
    selection = form.selection
    return {**choices, "ids": ids["instance_id"], "do": "press", "shown": form.saying(selection)}


_NO_ROWS = {"parameters-TOTAL_FORMS": "0", "parameters-INITIAL_FORMS": "0"}
# What the forms send; a URL that is not named takes nothing.
_FORMS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "send": lambda ids: {
        "command": "true",
        "command_type": "shell",
        "ids": str(ids["instance_id"]),
        "request_key": "matrix",
    },
    "keep-runs": lambda ids: {"saved": ids["saved_id"], "keep": "for_ever"},
    "answer-run": lambda ids: {"do": "continue", "batch": "0"},
    "test-connections": lambda ids: {"ids": str(ids["instance_id"]), "start": "1"},
    "new-saved-command": lambda ids: {"name": "new", "seen_by": "shared", "text": "true", **_NO_ROWS},
    "edit-saved-command": lambda ids: {
        "name": "renamed",
        "seen_by": "shared",
        "text": "false",
        "base": saved_commands.edit_token(SavedCommand.objects.get(pk=ids["saved_id"])),
        **_NO_ROWS,
    },
    "restore-saved-command": lambda ids: {"version": 1},
    "import-saved-commands": lambda ids: _zip_form(),
    "save-filter": lambda ids: {"name": "mine", "query": "state=failed"},
    "open-sessions": lambda ids: {"ids": str(ids["instance_id"]), "do": "press", "request_key": "matrix"},
    "close-sessions": lambda ids: {"session": [ids["session_id"], ids["shell_id"]]},
    "send-to-sessions": lambda ids: {"session": [ids["shell_id"]]},
    "send-targets": lambda ids: {"ids": str(ids["instance_id"])},
    "sign-in": lambda ids: {"username": "nobody", "password": "wrong"},
    "account": lambda ids: {"old": "wrong", "password": "a long enough password", "again": "a long enough password"},
    "add-member": lambda ids: {"username": "newcomer", "role": "viewer"},
    "change-member": lambda ids: {"do": "role", "role": "administrator"},
    "add-instance": lambda ids: {"address": "new.example", "os": "linux", "group": ids["group_id"]},
    "paste-instances": lambda ids: {
        "text": "new.example",
        "group": ids["group_id"],
        "expected": "1",
        "confirm": "1",
    },
    "import-instances": lambda ids: {
        "kind": "csv",
        "text": "address\nnew.example",
        "group": ids["group_id"],
        "expected": "1",
        "confirm": "1",
    },
    "edit-instance": lambda ids: {
        "address": "moved.example",
        "name": "moved",
        "os": "linux",
        "group": ids["group_id"],
    },
    **{f"{verb}-instances": lambda ids: {"ids": [ids["instance_id"]]} for verb in ("check", "disable", "enable")},
    "delete-instances": lambda ids: {"ids": [ids["instance_id"]], "confirm": "1"},
    "delete-instance": lambda ids: {"confirm": "1"},
    "send-to-instances": lambda ids: {"ids": [ids["instance_id"]]},
    "groups": lambda ids: {"name": "new group"},
    "change-group": lambda ids: {"name": "renamed"},
    "select-group": lambda ids: {"group": ids["group_id"]},
    "add-credential": lambda ids: {"name": "new", "kind": "password", "user_name": "deploy", "password": "secret"},
    "edit-credential": lambda ids: {"name": "renamed", "user_name": "deploy"},
    "attach-credential": lambda ids: {"ids": str(ids["instance_id"]), "credential": ids["credential_id"]},
    "trust-host-keys": lambda ids: {"keys": [ids["host_key_id"]]},
    "import-known-hosts": lambda ids: _import_form(ids["group_id"]),
    "host-authorities": lambda ids: {"line": f"@cert-authority *.new {_NEW_KEY}", "group": ids["group_id"]},
    "revoked-keys": lambda ids: {"line": _NEW_KEY, "group": ids["group_id"]},
    "authorise": lambda ids: press(AuthoriseForm, ids),
    "take-away-key": lambda ids: press(TakeAwayForm, ids),
    "send-file": lambda ids: {
        "ids": ids["instance_id"],
        "path": "/tmp/x",
        "overwrite": "refuse",
        "file": SimpleUploadedFile("x", b"x"),
        "do": "press",
    },
    "add-schedule": lambda ids: {
        "name": "new",
        "values": json.dumps({"command": ["true"], "command_type": ["shell"], "ids": [str(ids["instance_id"])]}),
        "kind": "cron",
        "expression": "0 6 * * *",
        "unit": "hours",
        "zone": "UTC",
        "overlap": "skip",
        "do": "save",
    },
    "fetch-file": lambda ids: {"ids": ids["instance_id"], "path": "/tmp/x", "do": "press"},
    "add-destination": lambda ids: {"name": "new", "kind": "webhook", "url": "https://new.example/"},
    "destination": lambda ids: {
        "name": "renamed",
        "url": "https://new.example/",
        "base": notifications.edit_token(Destination.objects.get(pk=ids["destination_id"])),
    },
    "make-key-pair": lambda ids: {"name": "new", "user_name": "deploy"},
}
_NEW_KEY = HostKey("ssh-ed25519", factories.host_key_data(3_000_000)).line


def _zip_form() -> dict[str, Any]:
    scripts = {"new.sh": b"true\n"}
    who = User.objects.get(username=f"{SECRET}-administrator")
    zipped = base64.b64encode(folders.zipped(scripts)).decode()
    return {"zipped": zipped, "expected": folders.plan(who, scripts).version, "confirm": "yes"}


def _import_form(group_id: int) -> dict[str, Any]:
    # Hashed, so that the answer to a stranger who sent it does not name the instance.
    text = f"{factories.hashed_name(f'{SECRET}.example')} {_NEW_KEY}"
    who, group = User.objects.get(username=f"{SECRET}-administrator"), Group.objects.get(pk=group_id)
    version = importing.preview(who, text=text, group=group).version
    return {"text": text, "group": group_id, "expected": version, "confirm": "yes"}


def form_of(name: str, world: World) -> dict[str, Any]:
    """Return what a page sends to this URL: something that is obeyed, if the actor may."""
    return _FORMS.get(name, lambda ids: {})(world.ids)


def prepare(name: str, world: World) -> None:
    """Bring about what a URL needs to have something to do."""
    if name in {"authorise", "take-away-key", "public-key"}:
        key = factories.host_key_line(1)
        Credential.objects.filter(pk=world.ids["credential_id"]).update(kind="key", public_keys=key)
        today = factories.CredentialFactory(name=f"{SECRET}-credential-today")
        Instance.objects.filter(pk=world.ids["instance_id"]).update(credential=today)
    if name == "restore-saved-command":
        factories.add_version(SavedCommand.objects.get(pk=world.ids["saved_id"]), text="another")
    if name == "answer-run":
        Invocation.objects.filter(run=world.run).update(status=Status.QUEUED, finished_at=None)
        Run.objects.filter(pk=world.run.pk).update(status="waiting", gate="ask", batch=0, finished_at=None)
    if name == "resume-schedule":
        Schedule.objects.update(paused_at=timezone.now(), next_at=None)
    if name.startswith("enable-"):
        Instance.objects.filter(pk=world.ids["instance_id"]).update(is_disabled=True)


@dataclass
class Changes:
    """What became of the database: whether any row is another, and what was recorded, oldest first."""

    is_any: bool = False
    audited: list[str] = field(default_factory=list)


@contextmanager
def undone() -> Iterator[Changes]:
    """Undo what the block does to the database, and say afterwards what that was."""
    changes, written = Changes(), []

    def note(execute: Any, sql: str, *how: Any) -> Any:
        if not sql.startswith(("SELECT ", "SAVEPOINT ", "RELEASE ", "ROLLBACK ")):
            written.append(sql)
        return execute(sql, *how)

    with transaction.atomic():
        with connection.execute_wrapper(note):
            yield changes
        # Most requests write nothing; only of those that do every row is compared.
        after, recorded = (_everything(), _audited()) if written else ({}, [])
        transaction.set_rollback(True)
    if written:
        changes.is_any, changes.audited = after != _everything(), recorded[len(_audited()) :]


def _everything() -> dict[str, Any]:
    found = {}
    with connection.cursor() as cursor:
        for model in apps.get_models():
            if model._meta.label not in _PASSED_OVER:
                cursor.execute(f"SELECT * FROM {model._meta.db_table}")
                found[model._meta.label] = sorted(map(repr, cursor.fetchall()))
    return found


def _audited() -> list[str]:
    return list(AuditEntry.objects.order_by("pk").values_list("action", flat=True))
