import pytest
from django.conf import settings
from django.test import Client

from console.management.commands import web
from tests.support.factories import UserFactory

pytestmark = pytest.mark.django_db


def test_only_who_is_signed_in_may_bring_more_than_a_form():
    client, user = Client(), UserFactory()
    client.force_login(user)
    cookies = {settings.SESSION_COOKIE_NAME: client.session.session_key}
    assert web._may_bring_more(cookies)
    for others in ({}, {settings.SESSION_COOKIE_NAME: "made-up"}, {"other": cookies[settings.SESSION_COOKIE_NAME]}):
        assert not web._may_bring_more(others)
    user.is_active = False
    user.save()
    assert not web._may_bring_more(cookies)


def test_what_is_typed_comes_below_the_bound():
    assert settings.DATA_UPLOAD_MAX_MEMORY_SIZE < web.USUAL_BODY_BYTES
