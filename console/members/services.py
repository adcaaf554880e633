"""Everything done with accounts: add people, give roles, let them in, throw them out.

What a person entered wrongly is raised as Django's ValidationError.
"""

import hashlib
import secrets
from datetime import timedelta
from importlib import import_module

from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY, authenticate
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from console.members.models import SignInLink, User
from instances.access import rules
from instances.access.models import Grant, Role
from instances.access.rules import Action
from instances.audit.services import record

CLI_USERNAME = "cli"
FIRST_USERNAME = "admin"
FIRST_LIFETIME = timedelta(minutes=15)
# A link for a colleague has to reach that colleague first.
HANDED_OVER_LIFETIME = timedelta(hours=24)


class LinkSpent(Exception):
    """This sign-in link was used already or has expired. Ask an administrator for a new one."""


class LastAdministrator(ValidationError):
    """This is the last administrator: make somebody else one first."""

    def __init__(self) -> None:
        super().__init__(type(self).__doc__ or "")


# ------------------------------------------------------------------ people


def people() -> QuerySet[User]:
    """Return the accounts of people, by name; the account of the shell is not one of them."""
    return User.objects.exclude(username=CLI_USERNAME).order_by("username")


def role_of(member: User) -> str:
    """Return a member's role everywhere; empty without one."""
    return Grant.objects.filter(user=member, group=None).values_list("role", flat=True).first() or ""


def add_member(actor: User, *, username: str, role: str) -> tuple[User, str]:
    """Add a person and return the account and the path of the link to hand over: it is not to be had again.

    Raises: NotAllowed, ValidationError by field.
    """
    rules.require(actor, Action.MANAGE_MEMBERS)
    username = _checked_username(username)
    _check_role(role)
    with transaction.atomic():
        if User.objects.filter(username__iexact=username).exists():
            raise ValidationError({"username": "This user name is taken. Choose another one."})
        member = _create(username)
        Grant.objects.create(user=member, role=role)
        record(actor, "add_member", username, id=member.pk, role=role)
        link = _make_link(member, HANDED_OVER_LIFETIME)
    return member, link


def change_role(actor: User, *, member: User, role: str) -> None:
    """Give a member another role everywhere. Raises: NotAllowed, LastAdministrator, ValidationError."""
    rules.require(actor, Action.MANAGE_MEMBERS)
    _check_role(role)
    _check_other(actor, member, "You cannot change your own role: another administrator can.")
    with transaction.atomic():
        if role != Role.ADMINISTRATOR:
            _check_not_last(member)
        former = role_of(member)
        Grant.objects.update_or_create(user=member, group=None, defaults={"role": role})
        record(actor, "change_role", member.username, id=member.pk, role=role, former_role=former)


def deactivate(actor: User, *, member: User) -> None:
    """Lock a member out, at once and everywhere. Raises: NotAllowed, LastAdministrator, ValidationError."""
    rules.require(actor, Action.MANAGE_MEMBERS)
    _check_other(actor, member, "You cannot deactivate yourself: another administrator can.")
    with transaction.atomic():
        _check_not_last(member)
        User.objects.filter(pk=member.pk).update(is_active=False, session_epoch=F("session_epoch") + 1)
        SignInLink.objects.filter(user=member, used_at=None).delete()
        record(actor, "deactivate_member", member.username, id=member.pk)


def activate(actor: User, *, member: User) -> None:
    """Let a deactivated member sign in again. Raises: NotAllowed, ValidationError."""
    rules.require(actor, Action.MANAGE_MEMBERS)
    _check_person(member)
    with transaction.atomic():
        User.objects.filter(pk=member.pk).update(is_active=True)
        record(actor, "activate_member", member.username, id=member.pk)


def renew_link(actor: User, *, member: User) -> str:
    """Return the path of a new sign-in link for a member who never signed in or forgot the password.

    Raises: NotAllowed, ValidationError.
    """
    rules.require(actor, Action.MANAGE_MEMBERS)
    _check_may_enter(member)
    with transaction.atomic():
        record(actor, "renew_sign_in_link", member.username, id=member.pk)
        return _make_link(member, HANDED_OVER_LIFETIME)


def sign_out_everywhere(actor: User, *, member: User) -> None:
    """End all sessions of a member: one's own, or, for those who manage members, anybody's. Raises: NotAllowed."""
    if member.pk != actor.pk:
        rules.require(actor, Action.MANAGE_MEMBERS)
    with transaction.atomic():
        User.objects.filter(pk=member.pk).update(session_epoch=F("session_epoch") + 1)
        record(actor, "sign_out_everywhere", member.username, id=member.pk)


def change_own_password(actor: User, *, old: str, new: str, request: HttpRequest) -> None:
    """Change the actor's password and end all sessions; the caller keeps its own with update_session_auth_hash.

    Side effects: ``actor`` has the new hash and epoch. A wrong present password counts as one at the sign-in: too many
    from the address of ``request`` lock the name, and the answer to it is then the page that says so.
    Raises: ValidationError by field (old, new).
    """
    if authenticate(request, username=actor.username, password=old) is None:
        raise ValidationError({"old": "This is not your present password."})
    _check_password(new, actor)
    with transaction.atomic():
        _set_password(actor, new)
        record(actor, "change_own_password", actor.username, id=actor.pk)


# ------------------------------------------------------------------ sign-in links


def make_sign_in_link(user: User, *, lifetime: timedelta = FIRST_LIFETIME) -> str:
    """Return the path of a single-use link that leads to choosing a password; earlier links of the user end.

    For the shell and the first start; people use renew_link. Raises: ValidationError for a deactivated account and
    for the account of the shell.
    """
    _check_may_enter(user)
    with transaction.atomic():
        return _make_link(user, lifetime)


def find_link(token: str) -> SignInLink:
    """Return the link of a token without using it up. Raises: LinkSpent."""
    return link_by_hash(_hash(token))


def link_by_hash(token_sha256: str) -> SignInLink:
    """Return the unused link with this hash. Raises: LinkSpent."""
    link = _usable().filter(token_sha256=token_sha256).select_related("user").first()
    if link is None:
        raise LinkSpent(LinkSpent.__doc__)
    return link


def use_link(link: SignInLink, *, password: str) -> User:
    """Set the password of the link's user and use the link up; of two requests at once one gets through.

    The user's sessions end. Raises: LinkSpent, ValidationError by field (password); a refused password does not
    use up the link.
    """
    _check_password(password, link.user, field="password")
    with transaction.atomic():
        # By the link's own columns: PostgreSQL looks again only at those when it had to wait for another request.
        mine = SignInLink.objects.filter(pk=link.pk, used_at=None)
        if not _usable().filter(pk=link.pk).exists() or not mine.update(used_at=timezone.now()):
            raise LinkSpent(LinkSpent.__doc__)
        _set_password(link.user, password)
        record(link.user, "use_sign_in_link", link.user.username, id=link.user.pk)
    return link.user


# ------------------------------------------------------------------ sessions


def session_is_live(session_key: str | None, user_id: int) -> bool:
    """Say whether a session still lets its user in: not expired or ended, user active, password and epoch the same.

    Side effects: two queries. For sockets, which are authenticated only once by themselves.
    """
    user = session_user(session_key)
    return user is not None and user.pk == user_id


def session_user(session_key: str | None) -> User | None:
    """Return whom a session lets in, as ``session_is_live`` says; for what comes before the request is Django's.

    Side effects: two queries.
    """
    if not session_key:
        return None
    data = import_module(settings.SESSION_ENGINE).SessionStore(session_key).load()
    user = User.objects.filter(pk=data.get(SESSION_KEY), is_active=True).first()
    if user is None or not constant_time_compare(data.get(HASH_SESSION_KEY, ""), user.get_session_auth_hash()):
        return None
    return user


# ------------------------------------------------------------------ accounts without a person asking


def ensure_first_administrator(password: str | None) -> tuple[User, str | None]:
    """Return an administrator, made if there is none, and a first sign-in link if nobody could sign in otherwise.

    A password is set only where none was chosen yet. Raises: ValidationError for a password that is too weak.
    """
    with transaction.atomic():
        user = _administrators().order_by("pk").first()
        if user is None:
            user = _make_administrator(FIRST_USERNAME)
        if any(one.has_usable_password() for one in _administrators()):
            return user, None
        if password is None:
            return user, _make_link(user, FIRST_LIFETIME)
        _check_password(password, user, field="password")
        _set_password(user, password)
        record(user, "set_first_password", user.username, id=user.pk)
    return user, None


def sign_in_link_for(username: str) -> str:
    """Return the path of a new link for the shell's ``signin``; makes the administrator if there is none at all.

    Raises: ValidationError.
    """
    with transaction.atomic():
        user = User.objects.filter(username=username).first()
        if user is None:
            if _administrators().exists():
                raise ValidationError(f"There is no user {username}. Add people on the page People.")
            user = _make_administrator(_checked_username(username))
        _check_may_enter(user)
        record(user, "renew_sign_in_link", user.username, id=user.pk, by="shell")
        return _make_link(user, FIRST_LIFETIME)


def ensure_cli_user() -> User:
    """Return the account that commands from the shell act as: an administrator nobody can sign in as."""
    with transaction.atomic():
        user = User.objects.filter(username=CLI_USERNAME).first() or _create(CLI_USERNAME)
        Grant.objects.get_or_create(user=user, group=None, defaults={"role": Role.ADMINISTRATOR})
    return user


def shell_actor(username: str = "") -> User:
    """Return whom a command from the shell acts as: the member named with ``--as``, else the account of the shell.

    Raises: ValidationError for a member that does not exist or is deactivated.
    """
    if not username:
        return ensure_cli_user()
    user = User.objects.filter(username=username, is_active=True).first()
    if user is None:
        raise ValidationError(f"There is no active user {username}.")
    return user


def _make_administrator(username: str) -> User:
    user = User.objects.filter(username=username).first() or _create(username)
    User.objects.filter(pk=user.pk).update(is_active=True)
    user.is_active = True
    Grant.objects.update_or_create(user=user, group=None, defaults={"role": Role.ADMINISTRATOR})
    record(user, "add_member", username, id=user.pk, role=Role.ADMINISTRATOR.value, by="shell")
    return user


def _create(username: str) -> User:
    user = User(username=username)
    user.set_unusable_password()
    user.save()
    return user


def _administrators() -> QuerySet[User]:
    return people().filter(is_active=True, grants__role=Role.ADMINISTRATOR, grants__group=None)


def _make_link(user: User, lifetime: timedelta) -> str:
    SignInLink.objects.filter(user=user, used_at=None).delete()
    token = secrets.token_urlsafe(32)
    SignInLink.objects.create(user=user, token_sha256=_hash(token), expires_at=timezone.now() + lifetime)
    return reverse("first-sign-in", args=[token])


def _usable() -> QuerySet[SignInLink]:
    return SignInLink.objects.filter(used_at=None, expires_at__gt=timezone.now(), user__is_active=True)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _set_password(user: User, password: str) -> None:
    user.set_password(password)
    # A link that was handed over before must not choose another password after this.
    SignInLink.objects.filter(user=user, used_at=None).delete()
    User.objects.filter(pk=user.pk).update(password=user.password, session_epoch=F("session_epoch") + 1)
    user.refresh_from_db()


def _checked_username(username: str) -> str:
    # As the sign-in page reads it: an account of another spelling could never be entered.
    username = User.normalize_username(username).strip()
    if username.lower() == CLI_USERNAME:
        raise ValidationError({"username": f"{CLI_USERNAME} is the account of the shell. Choose another user name."})
    try:
        User._meta.get_field("username").run_validators(username)
    except ValidationError as error:
        raise ValidationError({"username": error.messages}) from None
    if not username or len(username) > 150:
        raise ValidationError({"username": "Enter a user name of at most 150 characters."})
    return username


def _check_password(password: str, user: User, *, field: str = "new") -> None:
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise ValidationError({field: error.messages}) from None


def _check_role(role: str) -> None:
    if role not in Role.values:
        raise ValidationError({"role": "Choose one of the roles."})


def _check_person(member: User) -> None:
    if member.username == CLI_USERNAME:
        raise ValidationError("This account belongs to the shell: nobody can sign in with it.")


def _check_may_enter(member: User) -> None:
    _check_person(member)
    if not member.is_active:
        raise ValidationError(f"{member.username} is deactivated: activate the account first.")


def _check_other(actor: User, member: User, message: str) -> None:
    _check_person(member)
    if actor.pk == member.pk:
        raise ValidationError(message)


def _check_not_last(member: User) -> None:
    # The grants are locked, so that of two who demote each other at once one is refused; SQLite has a single writer.
    grants = Grant.objects.select_for_update().filter(role=Role.ADMINISTRATOR, group=None, user__is_active=True)
    others = [grant for grant in grants.exclude(user__username=CLI_USERNAME) if grant.user_id != member.pk]
    if not others:
        raise LastAdministrator
