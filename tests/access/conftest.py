from collections.abc import Iterator
from typing import Any

import pytest
from django.db import transaction
from pytest_django import DjangoDbBlocker

from tests.access import world as worlds


@pytest.fixture(autouse=True)
def _quick_passwords(settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(scope="module")
def world(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[worlds.World]:
    """One of everything and everybody, made once for a module; what a test does to it is undone with that test."""
    with django_db_blocker.unblock(), transaction.atomic():
        world = worlds.build()
        worlds.sign_all_in(world)
        yield world
        transaction.set_rollback(True)
