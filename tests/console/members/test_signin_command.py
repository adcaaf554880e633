import io

import pytest
from django.conf import settings
from django.core.management import call_command

from console.members import services
from console.members.models import User
from instances.access.models import Role
from tests.support.factories import UserFactory

pytestmark = pytest.mark.django_db


def signin(username):
    out = io.StringIO()
    call_command("signin", username, stdout=out)
    return out.getvalue().strip()


def test_the_first_one_becomes_administrator():
    url = signin("ana")
    assert url.startswith(f"{settings.ENV.url}/first/")
    assert services.find_link(url.strip("/").split("/")[-1]).user.username == "ana"
    assert services.role_of(User.objects.get(username="ana")) == Role.ADMINISTRATOR


def test_a_member_gets_a_new_link_and_keeps_the_role():
    UserFactory(role=Role.ADMINISTRATOR)
    member = UserFactory(role=Role.VIEWER)
    url = signin(member.username)
    assert services.find_link(url.strip("/").split("/")[-1]).user == member
    assert services.role_of(member) == Role.VIEWER


@pytest.mark.parametrize(
    ("username", "told"), [("nobody", "There is no user"), ("cli", "shell"), ("gone", "deactivated")]
)
def test_others_are_refused_in_one_sentence(username, told, capsys):
    UserFactory(role=Role.ADMINISTRATOR)
    UserFactory(username="gone", is_active=False)
    services.ensure_cli_user()
    with pytest.raises(SystemExit) as ended:
        signin(username)
    said = capsys.readouterr().err
    assert (ended.value.code, said.count("\n")) == (2, 1)
    assert told in said
