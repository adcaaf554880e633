import threading
from datetime import timedelta

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.core.exceptions import ValidationError
from django.db import connection
from django.test import RequestFactory
from django.utils import timezone

from console.members import services
from console.members.models import SignInLink, User
from instances.access import rules
from instances.access.models import Grant, Role
from instances.access.rules import NotAllowed
from instances.audit.models import AuditEntry
from tests.support.factories import GroupFactory, UserFactory
from tests.support.site import browser

pytestmark = pytest.mark.django_db
PASSWORD = "a long enough passphrase"


@pytest.fixture
def administrator():
    return UserFactory(role=Role.ADMINISTRATOR)


def token_of(path):
    return path.strip("/").split("/")[-1]


def asked():
    return RequestFactory().post("/")


# ------------------------------------------------------------------ people


def test_a_new_member_has_a_role_no_password_and_a_link(administrator):
    member, link = services.add_member(administrator, username="ana", role=Role.OPERATOR)
    assert services.role_of(member) == Role.OPERATOR
    assert not member.has_usable_password()
    assert services.find_link(token_of(link)).user == member


def test_only_the_hash_of_a_link_is_stored(administrator):
    _, link = services.add_member(administrator, username="ana", role=Role.OPERATOR)
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM console_signinlink")
        assert token_of(link) not in repr(cursor.fetchall())
    assert token_of(link) not in repr(list(AuditEntry.objects.values()))


def test_a_user_name_is_kept_as_the_sign_in_page_reads_it(administrator):
    member, _ = services.add_member(administrator, username="\ufb01ona", role=Role.VIEWER)
    assert member.username == "fiona"


@pytest.mark.parametrize(
    "username", ["", "  ", "a b", "a/b", "<x>", "x" * 151, "cli", "CLI", "\uff43\uff4c\uff49", "TAKEN", "\uff54aken"]
)
def test_an_unusable_user_name_is_refused(administrator, username):
    UserFactory(username="taken")
    with pytest.raises(ValidationError) as error:
        services.add_member(administrator, username=username, role=Role.VIEWER)
    assert "username" in error.value.message_dict


def test_an_unknown_role_is_refused(administrator):
    with pytest.raises(ValidationError):
        services.add_member(administrator, username="ana", role="root")
    with pytest.raises(ValidationError):
        services.change_role(administrator, member=UserFactory(), role="")


def test_a_role_is_changed(administrator):
    member = UserFactory(role=Role.VIEWER)
    services.change_role(administrator, member=member, role=Role.ADMINISTRATOR)
    assert rules.allowed(member, rules.Action.MANAGE_MEMBERS)
    assert AuditEntry.objects.get().details == {"id": member.pk, "role": "administrator", "former_role": "viewer"}


def test_changing_a_role_everywhere_leaves_roles_in_groups():
    group = GroupFactory()
    member = UserFactory(role=Role.OPERATOR, role_group=group)
    services.change_role(UserFactory(), member=member, role=Role.VIEWER)
    assert set(Grant.objects.filter(user=member).values_list("role", "group")) == {
        ("operator", group.pk),
        ("viewer", None),
    }


def test_a_deactivated_member_may_do_nothing_until_activated(administrator):
    member = UserFactory(role=Role.OPERATOR)
    services.deactivate(administrator, member=member)
    member.refresh_from_db()
    assert not rules.allowed(member, rules.Action.VIEW)
    services.activate(administrator, member=member)
    member.refresh_from_db()
    assert rules.allowed(member, rules.Action.SEND_COMMAND)


def test_deactivating_ends_links(administrator):
    member, link = services.add_member(administrator, username="ana", role=Role.OPERATOR)
    services.deactivate(administrator, member=member)
    services.activate(administrator, member=member)
    with pytest.raises(services.LinkSpent):
        services.find_link(token_of(link))


def test_nobody_locks_out_or_demotes_themself(administrator):
    UserFactory(role=Role.ADMINISTRATOR)
    with pytest.raises(ValidationError, match="yourself"):
        services.deactivate(administrator, member=administrator)
    with pytest.raises(ValidationError, match="own role"):
        services.change_role(administrator, member=administrator, role=Role.VIEWER)
    assert services.role_of(administrator) == Role.ADMINISTRATOR


def test_the_last_administrator_stays_even_when_the_shell_asks(administrator):
    shell = services.ensure_cli_user()
    UserFactory(role=Role.ADMINISTRATOR, is_active=False)
    UserFactory(role=Role.ADMINISTRATOR, role_group=GroupFactory())
    with pytest.raises(services.LastAdministrator):
        services.deactivate(shell, member=administrator)
    with pytest.raises(services.LastAdministrator):
        services.change_role(shell, member=administrator, role=Role.OPERATOR)
    administrator.refresh_from_db()
    assert administrator.is_active


def test_one_of_two_administrators_can_go(administrator):
    other = UserFactory(role=Role.ADMINISTRATOR)
    services.deactivate(administrator, member=other)
    assert not User.objects.get(pk=other.pk).is_active


@pytest.mark.parametrize("who", [{"role": Role.OPERATOR}, {"role": Role.VIEWER}, {"role": None}, {"is_active": False}])
def test_only_administrators_manage_people(who):
    user, member = UserFactory(**who), UserFactory(role=Role.VIEWER)
    calls = [
        lambda: services.add_member(user, username="ana", role=Role.VIEWER),
        lambda: services.change_role(user, member=member, role=Role.ADMINISTRATOR),
        lambda: services.deactivate(user, member=member),
        lambda: services.activate(user, member=member),
        lambda: services.renew_link(user, member=member),
        lambda: services.sign_out_everywhere(user, member=member),
    ]
    for call in calls:
        with pytest.raises(NotAllowed):
            call()
    assert not AuditEntry.objects.exists()


def test_who_administers_one_group_does_not_manage_people():
    user = UserFactory(role=Role.ADMINISTRATOR, role_group=GroupFactory())
    with pytest.raises(NotAllowed):
        services.add_member(user, username="ana", role=Role.ADMINISTRATOR)


# ------------------------------------------------------------------ the account of the shell


def test_the_shells_account_acts_but_nobody_signs_in_as_it(administrator):
    shell = services.ensure_cli_user()
    assert services.ensure_cli_user() == shell
    assert rules.allowed(shell, rules.Action.SEND_COMMAND)
    assert not shell.has_usable_password()
    assert shell not in services.people()
    for call in (
        lambda: services.renew_link(administrator, member=shell),
        lambda: services.make_sign_in_link(shell),
        lambda: services.deactivate(administrator, member=shell),
        lambda: services.change_role(administrator, member=shell, role=Role.VIEWER),
        lambda: services.sign_in_link_for("cli"),
    ):
        with pytest.raises(ValidationError):
            call()


# ------------------------------------------------------------------ the first administrator


def test_the_first_administrator_comes_with_a_link():
    user, link = services.ensure_first_administrator(None)
    assert services.role_of(user) == Role.ADMINISTRATOR
    assert services.find_link(token_of(link)).user == user


def test_another_link_is_made_until_a_password_was_chosen():
    services.ensure_first_administrator(None)
    user, link = services.ensure_first_administrator(None)
    services.use_link(services.find_link(token_of(link)), password=PASSWORD)
    assert services.ensure_first_administrator(None) == (user, None)
    assert User.objects.count() == 1


def test_a_password_given_at_the_start_is_set_once():
    user, link = services.ensure_first_administrator(PASSWORD)
    assert link is None
    assert user.check_password(PASSWORD)
    again, _ = services.ensure_first_administrator("quite another one")
    assert again.check_password(PASSWORD)


def test_a_weak_password_given_at_the_start_is_refused_and_makes_nobody():
    with pytest.raises(ValidationError):
        services.ensure_first_administrator("admin")
    assert not User.objects.exists()


def test_the_shells_account_is_no_first_administrator():
    services.ensure_cli_user()
    _, link = services.ensure_first_administrator(None)
    assert link is not None


# ------------------------------------------------------------------ sign-in links


def test_a_link_sets_the_password_once():
    user = UserFactory()
    link = services.find_link(token_of(services.make_sign_in_link(user)))
    services.use_link(link, password=PASSWORD)
    assert User.objects.get(pk=user.pk).check_password(PASSWORD)
    with pytest.raises(services.LinkSpent):
        services.use_link(link, password="another long passphrase")
    assert User.objects.get(pk=user.pk).check_password(PASSWORD)


def test_a_refused_password_does_not_use_the_link_up():
    path = services.make_sign_in_link(UserFactory())
    with pytest.raises(ValidationError):
        services.use_link(services.find_link(token_of(path)), password="short")
    services.use_link(services.find_link(token_of(path)), password=PASSWORD)


def test_an_expired_link_is_refused():
    path = services.make_sign_in_link(UserFactory(), lifetime=timedelta(seconds=-1))
    with pytest.raises(services.LinkSpent):
        services.find_link(token_of(path))


def test_a_link_that_expires_while_the_form_is_open_is_refused():
    link = services.find_link(token_of(services.make_sign_in_link(UserFactory())))
    SignInLink.objects.update(expires_at=timezone.now())
    with pytest.raises(services.LinkSpent):
        services.use_link(link, password=PASSWORD)


def test_a_new_link_ends_the_one_before():
    user = UserFactory()
    first, second = services.make_sign_in_link(user), services.make_sign_in_link(user)
    with pytest.raises(services.LinkSpent):
        services.find_link(token_of(first))
    assert services.find_link(token_of(second)).user == user


def test_a_changed_password_ends_links():
    user = UserFactory()
    user.set_password(PASSWORD)
    user.save()
    path = services.make_sign_in_link(user)
    services.change_own_password(user, old=PASSWORD, new="another long passphrase", request=asked())
    with pytest.raises(services.LinkSpent):
        services.find_link(token_of(path))


def test_a_deactivated_account_gets_no_link_and_cannot_use_one(administrator):
    user = UserFactory()
    link = services.find_link(token_of(services.make_sign_in_link(user)))
    User.objects.filter(pk=user.pk).update(is_active=False)
    with pytest.raises(services.LinkSpent):
        services.use_link(link, password=PASSWORD)
    user.refresh_from_db()
    with pytest.raises(ValidationError, match="deactivated"):
        services.renew_link(administrator, member=user)


@pytest.mark.parametrize("token", ["", "x", "x" * 5000, "\0", "ü"])
def test_a_made_up_token_is_refused(token):
    with pytest.raises(services.LinkSpent):
        services.find_link(token)


@pytest.mark.django_db(transaction=True)
def test_of_two_who_use_a_link_at_once_one_gets_through():
    user = UserFactory()
    token = token_of(services.make_sign_in_link(user))
    passwords = [f"a long enough passphrase {number}" for number in range(6)]
    together, got_through = threading.Barrier(len(passwords)), []

    def use(password: str) -> None:
        try:
            link = services.find_link(token)
            together.wait(60)
            services.use_link(link, password=password)
            got_through.append(password)
        except services.LinkSpent:
            pass
        finally:
            connection.close()

    threads = [threading.Thread(target=use, args=[password]) for password in passwords]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert len(got_through) == 1
    assert User.objects.get(pk=user.pk).check_password(got_through[0])


# ------------------------------------------------------------------ sessions


def signed_in(user):
    client = browser()
    client.force_login(user)
    return client.session.session_key


def test_a_session_lives_for_its_user_only():
    user, other = UserFactory(), UserFactory()
    key = signed_in(user)
    assert services.session_is_live(key, user.pk)
    assert not services.session_is_live(key, other.pk)
    for nothing in (None, "", "x" * 32):
        assert not services.session_is_live(nothing, user.pk)


def _sign_out(user, key):
    SessionStore(key).flush()


def _expire(user, key):
    Session.objects.filter(pk=key).update(expire_date=timezone.now())


def _deactivate(user, key):
    services.deactivate(UserFactory(), member=user)


def _sign_out_everywhere(user, key):
    services.sign_out_everywhere(user, member=user)


def _change_password(user, key):
    user.set_password("old")
    user.save()
    services.change_own_password(user, old="old", new=PASSWORD, request=asked())


def _use_link(user, key):
    services.use_link(services.find_link(token_of(services.make_sign_in_link(user))), password=PASSWORD)


def _delete(user, key):
    user.delete()


@pytest.mark.parametrize(
    "end", [_sign_out, _expire, _deactivate, _sign_out_everywhere, _change_password, _use_link, _delete]
)
def test_a_session_ends_with(end):
    user = UserFactory()
    key, pk = signed_in(user), user.pk
    end(user, key)
    assert not services.session_is_live(key, pk)


def test_looking_at_a_session_does_not_prolong_or_make_one():
    user = UserFactory()
    key = signed_in(user)
    before = Session.objects.get().expire_date
    services.session_is_live(key, user.pk)
    services.session_is_live("made-up", user.pk)
    assert Session.objects.get().expire_date == before


def test_a_password_change_needs_the_present_one_and_a_good_new_one():
    user = UserFactory()
    user.set_password(PASSWORD)
    user.save()
    with pytest.raises(ValidationError) as error:
        services.change_own_password(user, old="wrong", new="another long passphrase", request=asked())
    assert "old" in error.value.message_dict
    with pytest.raises(ValidationError) as error:
        services.change_own_password(user, old=PASSWORD, new="password", request=asked())
    assert "new" in error.value.message_dict
    assert User.objects.get(pk=user.pk).check_password(PASSWORD)
