import re

import pytest
from axes.models import AccessAttempt
from django.test import Client
from django.urls import reverse

from console.members import services
from console.members.models import User
from instances.access.models import Role
from instances.audit.models import AuditEntry
from tests.support.factories import UserFactory
from tests.support.site import browser

pytestmark = pytest.mark.django_db
PASSWORD, ANOTHER = "a long enough passphrase", "another long passphrase"


def person(role=Role.OPERATOR, password=PASSWORD, **values):
    user = UserFactory(role=role, **values)
    user.set_password(password)
    user.save()
    return user


def sign_in(client, username, password=PASSWORD, **extra):
    return client.post(reverse("sign-in"), {"username": username, "password": password}, **extra)


def is_signed_in(client):
    return client.get(reverse("account")).status_code == 200


# ------------------------------------------------------------------ sign-in and sign-out


def test_signing_in_and_out(client):
    user = person()
    assert client.get(reverse("sign-in")).status_code == 200
    assert sign_in(client, user.username).url == reverse("home")
    assert is_signed_in(client)
    assert client.post(reverse("sign-out")).url == reverse("sign-in")
    assert not is_signed_in(client)


def test_signing_in_leads_back_to_the_page_asked_for(client):
    user = person()
    asked = client.get(reverse("account"))
    assert asked.url == f"{reverse('sign-in')}?next={reverse('account')}"
    values = {"username": user.username, "password": PASSWORD, "next": reverse("account")}
    assert client.post(reverse("sign-in"), values).url == reverse("account")


def test_signing_in_never_leads_elsewhere(client):
    values = {"username": person().username, "password": PASSWORD, "next": "https://evil.example/"}
    assert client.post(reverse("sign-in"), values).url == reverse("home")


def test_signing_in_gives_a_new_session(client):
    client.get(reverse("first-sign-in", args=["x"]))
    session = client.session
    session["planted"] = True
    session.save()
    sign_in(client, person().username)
    assert client.session.session_key != session.session_key


def test_every_refusal_sounds_the_same(client):
    known, inactive, passwordless = person(), person(is_active=False), UserFactory()
    services.ensure_cli_user()
    refusals = set()
    for username, password in [
        (known.username, "wrong"),
        ("nobody", PASSWORD),
        (inactive.username, PASSWORD),
        (passwordless.username, ""),
        (passwordless.username, "!"),
        ("cli", "!"),
    ]:
        response = sign_in(client, username, password or " ")
        assert response.status_code == 422
        refusals.add(str(response.context["form"].non_field_errors()))
    assert len(refusals) == 1
    assert not is_signed_in(client)


def test_a_refused_page_shows_no_password(client):
    page = sign_in(client, "nobody", "canary-77aa-password").content.decode()
    assert "canary-77aa" not in page


def test_signing_out_is_no_link(client):
    client.force_login(person())
    assert client.get(reverse("sign-out")).status_code == 405
    assert is_signed_in(client)


def test_too_many_wrong_passwords_lock_out_from_that_address_only(client, settings):
    user, other = person(), person()
    for number in range(settings.AXES_FAILURE_LIMIT):
        response = sign_in(client, user.username, "wrong", HTTP_X_FORWARDED_FOR=f"10.0.0.{number}")
    assert response.status_code == 429
    assert "Too many attempts" in response.content.decode()
    began = AccessAttempt.objects.values_list("attempt_time", "post_data").get()
    assert sign_in(client, user.username).status_code == 429
    # The wait does not begin anew, and what is kept does not grow.
    assert AccessAttempt.objects.values_list("attempt_time", "post_data").get() == began
    assert not is_signed_in(client)
    assert sign_in(browser(), other.username).status_code == 302
    assert sign_in(Client(REMOTE_ADDR="192.0.2.7"), user.username).status_code == 302


def test_a_lockout_keeps_no_password(client, caplog):
    caplog.set_level("DEBUG")
    for _ in range(9):
        sign_in(client, "nobody", "canary-19be-password")
    assert "canary-19be" not in repr(list(AccessAttempt.objects.values())) + caplog.text


def test_forms_without_their_token_are_refused():
    client = browser(enforce_csrf_checks=True)
    user = person(Role.ADMINISTRATOR)
    assert sign_in(client, user.username).status_code == 403
    client.force_login(user)
    for name in ("sign-out", "sign-out-everywhere", "add-member", "account"):
        assert client.post(reverse(name)).status_code == 403
    assert is_signed_in(client)


# ------------------------------------------------------------------ first sign-in


def choose(client, password=PASSWORD, again=None):
    return client.post(reverse("choose-password"), {"password": password, "again": again or password})


def test_a_link_leads_to_choosing_a_password_and_in(client):
    user = UserFactory()
    path = services.make_sign_in_link(user)
    assert client.get(path).url == reverse("choose-password")
    page = client.get(reverse("choose-password")).content.decode()
    assert user.username in page
    assert path.strip("/").split("/")[-1] not in page
    assert choose(client).url == reverse("home")
    assert is_signed_in(client)
    assert sign_in(browser(), user.username).status_code == 302


def test_looking_at_a_link_does_not_use_it_up(client):
    path = services.make_sign_in_link(UserFactory())
    for _ in range(3):
        visitor = browser()
        assert visitor.get(path, follow=True).status_code == 200
    client.get(path)
    assert choose(client).status_code == 302


def test_a_used_link_is_gone(client):
    path = services.make_sign_in_link(UserFactory())
    late = browser()
    late.get(path)
    client.get(path)
    choose(client)
    assert choose(late, ANOTHER).status_code == 410
    assert not is_signed_in(late)
    response = browser().get(path)
    assert response.status_code == 410
    assert "no longer good" in response.content.decode()


def test_a_refused_password_can_be_entered_again(client):
    client.get(services.make_sign_in_link(UserFactory()))
    assert choose(client, "short").status_code == 422
    response = choose(client, PASSWORD, ANOTHER)
    assert "again" in response.context["form"].errors
    assert choose(client).status_code == 302


def test_the_page_without_a_link_lets_nobody_in(client):
    assert client.get(reverse("choose-password")).status_code == 410
    assert choose(client).status_code == 410


def test_a_link_of_somebody_else_replaces_who_is_signed_in(client):
    client.force_login(person())
    user = UserFactory()
    client.get(services.make_sign_in_link(user))
    choose(client)
    assert client.get(reverse("account")).context["user"] == user


# ------------------------------------------------------------------ the own account


def test_a_password_change_ends_the_other_sessions_and_keeps_this_one(client):
    user, other = person(), browser()
    sign_in(client, user.username)
    sign_in(other, user.username)
    values = {"old": PASSWORD, "password": ANOTHER, "again": ANOTHER}
    assert client.post(reverse("account"), values).status_code == 302
    assert is_signed_in(client)
    assert not is_signed_in(other)
    assert sign_in(browser(), user.username, ANOTHER).status_code == 302


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"old": "wrong", "password": ANOTHER, "again": ANOTHER}, "old"),
        ({"old": PASSWORD, "password": "short", "again": "short"}, "password"),
        ({"old": PASSWORD, "password": ANOTHER, "again": "different"}, "again"),
    ],
)
def test_a_refused_password_change_says_why_and_shows_no_password(client, values, field):
    client.force_login(person())
    response = client.post(reverse("account"), values)
    assert response.status_code == 422
    assert field in response.context["form"].errors
    assert PASSWORD not in response.content.decode()
    assert ANOTHER not in response.content.decode()


def test_a_session_cannot_try_passwords_without_end(client, settings, caplog):
    user = person()
    client.force_login(user)
    values = {"password": "canary-55b1 phrase", "again": "canary-55b1 phrase"}
    for number in range(settings.AXES_FAILURE_LIMIT):
        response = client.post(reverse("account"), {"old": f"canary-55b1 {number}", **values})
    assert response.status_code == 429
    assert "Wait 15 minutes" in response.content.decode()
    assert "To your account" in response.content.decode()
    assert client.post(reverse("account"), {"old": PASSWORD, **values}).status_code == 429
    assert User.objects.get(pk=user.pk).check_password(PASSWORD)
    # Both places count together, and what was tried is kept nowhere.
    assert sign_in(Client(), user.username).status_code == 429
    assert "canary-55b1" not in repr(list(AccessAttempt.objects.values())) + caplog.text


def test_signing_out_everywhere_ends_all_sessions(client):
    user, other = person(), browser()
    sign_in(client, user.username)
    sign_in(other, user.username)
    assert client.post(reverse("sign-out-everywhere")).url == reverse("sign-in")
    assert not is_signed_in(client)
    assert not is_signed_in(other)
    assert AuditEntry.objects.filter(action="sign_out_everywhere", actor=user).exists()


# ------------------------------------------------------------------ people


@pytest.fixture
def administrator(client):
    user = person(Role.ADMINISTRATOR)
    client.force_login(user)
    return user


def act(client, member, do, **values):
    return client.post(reverse("change-member", args=[member.pk]), {"do": do, **values})


def link_in(page):
    return re.search(r"http://[^<\s]+/first/[^<\s]+", page)


def test_a_member_is_added_and_the_link_shown_once(client, administrator):
    response = client.post(reverse("add-member"), {"username": "ana", "role": "operator"})
    link = link_in(response.content.decode())
    assert link
    assert response.headers["Cache-Control"].count("no-store")
    assert not link_in(client.get(reverse("people")).content.decode())
    visitor = browser()
    visitor.get(link[0].removeprefix("http://testserver"))
    assert choose(visitor).status_code == 302
    assert services.role_of(User.objects.get(username="ana")) == Role.OPERATOR


def test_a_refused_member_is_told_beside_the_field(client, administrator):
    response = client.post(reverse("add-member"), {"username": administrator.username, "role": "viewer"})
    assert response.status_code == 422
    assert "taken" in str(response.context["form"].errors["username"])


def test_the_table_shows_people_and_not_the_shell(client, administrator):
    services.ensure_cli_user()
    person(username="ana")
    page = client.get(reverse("people")).content.decode()
    assert '<th scope="row">ana</th>' in page
    assert '<th scope="row">cli</th>' not in page


def test_roles_deactivation_and_links_by_buttons(client, administrator):
    member = person(Role.VIEWER)
    assert act(client, member, "role", role="operator").status_code == 302
    assert services.role_of(member) == Role.OPERATOR
    assert act(client, member, "deactivate").status_code == 302
    assert sign_in(browser(), member.username).status_code == 422
    assert act(client, member, "link").status_code == 422
    assert act(client, member, "activate").status_code == 302
    assert link_in(act(client, member, "link").content.decode())


def test_a_deactivated_member_is_out_with_the_next_click(client, administrator):
    member, theirs = person(), browser()
    sign_in(theirs, member.username)
    act(client, member, "deactivate")
    assert not is_signed_in(theirs)
    act(client, member, "activate")
    assert not is_signed_in(theirs)


def test_signing_a_member_out(client, administrator):
    member, theirs = person(), browser()
    sign_in(theirs, member.username)
    act(client, member, "sign-out")
    assert not is_signed_in(theirs)
    assert is_signed_in(client)


@pytest.mark.parametrize(
    ("do", "told"), [("deactivate", "yourself"), ("role", "own role"), ("nonsense", "choose what to do")]
)
def test_what_cannot_be_done_is_told(client, administrator, do, told):
    response = act(client, administrator, do, role="viewer")
    assert response.status_code == 422
    assert told in response.content.decode()
    assert services.role_of(administrator) == Role.ADMINISTRATOR


def test_the_shells_account_is_not_to_be_had(client, administrator):
    assert act(client, services.ensure_cli_user(), "link").status_code == 404


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.VIEWER, None])
def test_others_are_refused(client, role):
    client.force_login(person(role))
    member = person(Role.VIEWER)
    assert client.get(reverse("people")).status_code == 403
    assert client.post(reverse("add-member"), {"username": "x", "role": "administrator"}).status_code == 403
    assert act(client, member, "role", role="administrator").status_code == 403
    assert services.role_of(member) == Role.VIEWER
    assert is_signed_in(client)


def test_visitors_are_sent_to_the_sign_in_page_and_htmx_is_told_so(client):
    assert client.get(reverse("people")).url.startswith(reverse("sign-in"))
    response = client.get(reverse("people"), headers={"HX-Request": "true"})
    assert (response.status_code, response.headers["HX-Redirect"]) == (401, reverse("sign-in"))
