import pytest
from django.urls import reverse

from console.transfers import store
from console.transfers.models import Delivery, Transfer
from instances.access.models import Role
from tests.support.factories import InstanceFactory, UserFactory

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/srv/a b.txt", 'attachment; filename="web-1-a_b.txt"'),
        ("/srv/\u65e5\u672c.txt", "attachment; filename*=utf-8''web-1-%E6%97%A5%E6%9C%AC.txt"),
        ('/srv/x"\n; y', 'attachment; filename="web-1-x_y"'),
    ],
    ids=["blank", "letters", "signs"],
)
def test_a_download_is_called_as_its_file_whatever_its_letters(client, settings, tmp_path, path, told):
    settings.DATA_DIR = tmp_path
    user = UserFactory(role=Role.OPERATOR)
    client.force_login(user)
    name, _ = store.keep([b"x"], limit_bytes=1)
    instance = InstanceFactory(name="web-1")
    row = Delivery.objects.create(
        transfer=Transfer.objects.create(direction="fetch", path=path, actor=user),
        instance=instance,
        instance_name="web-1",
        stored=name,
        state="succeeded",
    )
    assert client.get(reverse("fetched-file", args=[row.pk]))["Content-Disposition"] == told
