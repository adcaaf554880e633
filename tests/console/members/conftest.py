import pytest


@pytest.fixture(autouse=True)
def _quick_passwords(settings):
    """Argon2 is slow on purpose, and these tests hash a lot."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
