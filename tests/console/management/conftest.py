import pytest

from tests.support import factories


@pytest.fixture
def localhost_allowed(settings):
    factories.allow_localhost(settings)


@pytest.fixture
def local(localhost_allowed):
    return factories.InstanceFactory(name="here", address="localhost", is_local=True)
