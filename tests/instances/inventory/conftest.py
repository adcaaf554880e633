from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from tests.support.factories import UserFactory

SignIn = Callable[..., Client]


@pytest.fixture
def as_() -> SignIn:
    def sign_in(role: str | None = "administrator", **kwargs: Any) -> Client:
        client = Client()
        client.force_login(UserFactory(role=role, **kwargs), backend="django.contrib.auth.backends.ModelBackend")
        return client

    return sign_in
