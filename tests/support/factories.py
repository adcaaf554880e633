"""Makes the rows tests start from, through factory_boy; what a test does not name gets a sensible value."""

import base64
import dataclasses
import hashlib
import hmac
import itertools
from typing import Any

import factory
from django.utils import timezone

from console.members.models import User
from console.notifications.models import Destination, Kind
from console.recordings import services as recordings
from console.recordings.asciicast import Tape
from console.recordings.models import Recording
from console.saved_commands.models import SavedCommand, SavedCommandVersion
from console.sessions.models import Session
from instances.access.models import Grant, Group, Role
from instances.credentials.models import Credential, CredentialKind, GroupCredential
from instances.engine.transport import Size
from instances.engine.types import HostKey as PublicKey
from instances.host_keys.models import HostAuthority, HostKey, HostKeyState, RevokedKey
from instances.inventory.models import Instance, Tag

_numbers = itertools.count(1)


class GroupFactory(factory.django.DjangoModelFactory[Group]):
    class Meta:
        model = Group

    name = factory.Sequence(lambda n: f"group-{n}")


class UserFactory(factory.django.DjangoModelFactory[User]):
    """A user; ``role`` grants a role, in ``role_group`` or (without one) everywhere; ``role=None`` grants nothing.

    The password is unusable: sign in with ``client.force_login``.
    """

    class Meta:
        model = User
        skip_postgeneration_save = True

    role = Role.ADMINISTRATOR
    role_group = None
    username = factory.Sequence(lambda n: f"user-{n}")
    password = "!"

    @classmethod
    def _create(cls, model_class: type[User], *args: Any, **kwargs: Any) -> User:
        role, group = kwargs.pop("role"), kwargs.pop("role_group")
        user = super()._create(model_class, *args, **kwargs)
        if role is not None:
            Grant.objects.create(user=user, role=role, group=group)
        return user


class CredentialFactory(factory.django.DjangoModelFactory[Credential]):
    """A password credential whose secret is not sealed; tests that sign in make theirs through the service."""

    class Meta:
        model = Credential

    name = factory.Sequence(lambda n: f"credential-{n}")
    kind = CredentialKind.PASSWORD
    user_name = "deploy"


class GroupCredentialFactory(factory.django.DjangoModelFactory[GroupCredential]):
    class Meta:
        model = GroupCredential

    group = factory.SubFactory(GroupFactory)
    credential = factory.SubFactory(CredentialFactory)


class InstanceFactory(factory.django.DjangoModelFactory[Instance]):
    """An instance; ``tags={"env": "prod"}`` adds its tags."""

    class Meta:
        model = Instance
        skip_postgeneration_save = True

    name = factory.Sequence(lambda n: f"instance-{n}")
    # Apart from those that tests name.
    address = factory.Sequence(lambda n: f"10.200.{n // 256 % 256}.{n % 256}")

    @factory.post_generation
    def tags(self, create: bool, extracted: dict[str, str] | None, **_: Any) -> None:
        for key, value in (extracted or {}).items():
            Tag.objects.create(instance=self, key=key, value=value)


class HostKeyFactory(factory.django.DjangoModelFactory[HostKey]):
    """A host key with made-up but well-formed ed25519 data; trusted unless told."""

    class Meta:
        model = HostKey

    instance = factory.SubFactory(InstanceFactory)
    state = HostKeyState.TRUSTED
    algorithm = "ssh-ed25519"
    data = factory.LazyFunction(lambda: host_key_data(next(_numbers)))
    fingerprint = factory.LazyAttribute(lambda key: fingerprint_of(key.data))
    trusted_at = factory.LazyAttribute(lambda key: timezone.now() if key.state == HostKeyState.TRUSTED else None)


class HostAuthorityFactory(factory.django.DjangoModelFactory[HostAuthority]):
    """A host authority that vouches for every address."""

    class Meta:
        model = HostAuthority

    name = factory.Sequence(lambda n: f"authority-{n}")
    patterns = "*"
    algorithm = "ssh-ed25519"
    data = factory.LazyFunction(lambda: host_key_data(next(_numbers)))
    fingerprint = factory.LazyAttribute(lambda key: fingerprint_of(key.data))


class RevokedKeyFactory(factory.django.DjangoModelFactory[RevokedKey]):
    """A key that is revoked everywhere."""

    class Meta:
        model = RevokedKey

    algorithm = "ssh-ed25519"
    data = factory.LazyFunction(lambda: host_key_data(next(_numbers)))
    fingerprint = factory.LazyAttribute(lambda key: fingerprint_of(key.data))


def hashed_name(name: str, salt: bytes = b"twenty bytes of salt") -> str:
    """Return a name as a known_hosts file hides it."""
    digest = hmac.digest(salt, name.encode(), "sha1")
    return "|1|" + "|".join(base64.b64encode(part).decode() for part in (salt, digest))


def host_key_data(number: int) -> bytes:
    """Return the wire form of an ed25519 public key that differs with the number."""
    name, point = b"ssh-ed25519", hashlib.sha256(str(number).encode()).digest()
    return b"".join(len(part).to_bytes(4, "big") + part for part in (name, point))


def host_key_line(number: int) -> str:
    """Return the OpenSSH form of ``host_key_data``."""
    return PublicKey("ssh-ed25519", host_key_data(number)).line


def fingerprint_of(data: bytes) -> str:
    """Return ``SHA256:…`` as OpenSSH prints it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")


def allow_localhost(settings: Any) -> None:
    """Let the console's own machine be an instance, for one test; ``settings`` is pytest-django's fixture."""
    settings.ENV = dataclasses.replace(settings.ENV, allow_localhost=True)


def webhook(name: str, url: str, **fields) -> Destination:
    """Add a destination that gets a POST."""
    return Destination.objects.create(name=name, kind=Kind.WEBHOOK, url=url, **fields)


def saved_command(*, name: str, text: str = "true", command_type: str = "shell", owner=None, **fields) -> SavedCommand:
    """Keep a command with one version."""
    saved = SavedCommand.objects.create(name=name, owner=owner, **fields)
    add_version(saved, text=text, command_type=command_type)
    return saved


def add_version(saved: SavedCommand, *, text: str, command_type: str = "shell", **fields) -> SavedCommandVersion:
    """Give a saved command its next version."""
    texts = {"text": text} if command_type == "shell" else {"windows_text": text, "windows_type": command_type}
    number = saved.versions.count() + 1
    saved.latest = SavedCommandVersion.objects.create(saved=saved, number=number, **texts, **fields)
    saved.save()
    return saved.latest


def session(instance: Instance, owner: User, **fields: Any) -> Session:
    """Return an open session that no worker holds."""
    wanted = {
        "kind": "shell",
        "name": instance.name,
        "state": "ready",
        "opened_at": timezone.now(),
        "idle_limit_s": 7200,
        "age_limit_s": 86400,
        "grace_s": 14400,
        "request_key": f"session-{next(_numbers)}",
    }
    return Session.objects.create(
        instance=instance,
        instance_name=instance.name,
        address=instance.address,
        owner=owner,
        owner_name=owner.get_username(),
        **(wanted | fields),
    )


def recording(
    instance: Instance, owner: User, *outputs: bytes | Size, is_live: bool = False, **fields: Any
) -> Recording:
    """Return the recording of a terminal that showed these, one a second."""
    seconds = itertools.count()
    one = session(instance, owner, kind="terminal", closed_at=None if is_live else timezone.now())
    tape = Tape(Size(80, 24), title=instance.name, started_at=timezone.now(), clock=lambda: next(seconds))
    made = recordings.begin(
        session_id=one.pk,
        instance_id=instance.pk,
        instance_name=instance.name,
        owner_id=owner.pk,
        owner_name=owner.get_username(),
        started_at=tape.started_at,
        columns=80,
        rows=24,
    )
    for output in outputs:
        tape.resize(output) if isinstance(output, Size) else tape.write(output)
    add_to(made, tape)
    if not is_live:
        recordings.end(made.pk, duration_ms=tape.now_ms)
    Recording.objects.filter(pk=made.pk).update(**fields)
    made.refresh_from_db()
    return made


def add_to(recording: Recording, tape: Tape) -> None:
    """Write what waits on a tape."""
    while (lines := tape.take(100_000)) is not None:
        recording.refresh_from_db()
        recordings.append(
            [recordings.Addition(recording.pk, recording.size, lines.data, lines.events, lines.until_ms, lines.lost)]
        )
