import pytest


@pytest.fixture(autouse=True)
def ring_folder(settings, tmp_path):
    """A data folder for each test: its own key ring."""
    settings.DATA_DIR = tmp_path
    return tmp_path
