import pytest

from instances.access.models import Role
from tests.support.factories import UserFactory


@pytest.fixture(autouse=True)
def ring_folder(settings, tmp_path):
    """A data folder for each test: its own key ring."""
    settings.DATA_DIR = tmp_path
    return tmp_path


@pytest.fixture
def administrator():
    return UserFactory(role=Role.ADMINISTRATOR)
