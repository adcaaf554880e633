from concurrent.futures import ThreadPoolExecutor, wait

import pytest
from django.db import connection

from console.demo import services
from instances.access.models import Group, Role
from instances.access.rules import NotAllowed
from instances.credentials.models import Credential
from instances.host_keys.models import HostKey
from instances.inventory.addresses import parse
from instances.inventory.models import Instance
from instances.inventory.services import change_instance
from instances.inventory.targets import target_of
from tests.support import factories


@pytest.fixture(autouse=True)
def _own_data_folder(tmp_path, settings):
    settings.DATA_DIR = tmp_path


def test_a_dozen_instances_are_registered_and_trusted(actor):
    made = services.register(actor)
    assert len(made) == 12
    assert len({instance.port for instance in made}) == 12
    assert all(instance.is_demo and instance.group.name == "Demo" for instance in made)
    assert HostKey.objects.filter(state="trusted").count() == 12
    assert {place.port for place in services.places()} == {instance.port for instance in made}
    target = target_of(made[0])
    assert target.auth is not None
    assert "127.0.0.0/8" not in target.denied_networks


def test_registering_again_changes_nothing(actor):
    first = {(row.pk, row.port) for row in services.register(actor)}
    assert {(row.pk, row.port) for row in services.register(actor)} == first


def test_its_files_stay_although_another_process_sees_no_rows_of_it_yet(actor, monkeypatch):
    """The process that served a fleet which was removed looks every two seconds, and tidies up."""
    free_ports = services._free_ports
    with ThreadPoolExecutor(1) as other:
        # Connected before: who connects waits for whoever writes.
        other.submit(services.places).result()

        def late(count):
            # Until it is done, or waits for what is done here.
            wait([other.submit(services.clear_files)], timeout=0.5)
            return free_ports(count)

        monkeypatch.setattr(services, "_free_ports", late)
        services.register(actor)
        # ``connection`` is another one in each thread.
        other.submit(lambda: connection.close()).result()
    assert (services.keys_folder() / "authorized_keys").exists()
    assert len(services.places()) == 12


def test_it_comes_by_itself_only_while_the_inventory_is_empty(actor):
    factories.InstanceFactory(name="web-01")
    assert services.register_when_empty(actor) is False
    assert not services.instances().exists()
    # Asked for, it gives way to names that are taken.
    assert "demo-web-01" in {instance.name for instance in services.register(actor)}


def test_removing_leaves_nothing(actor):
    services.register(actor)
    mine = factories.InstanceFactory()
    assert services.remove(actor) == 12
    assert list(Instance.objects.all()) == [mine]
    assert not Credential.objects.exists()
    assert not Group.objects.exists()
    assert not services.folder().exists()
    assert not services.keys_folder().exists()


def test_a_group_with_other_instances_stays(actor):
    services.register(actor)
    factories.InstanceFactory(group=Group.objects.get(name="Demo"))
    services.remove(actor)
    assert Group.objects.filter(name="Demo").exists()


def test_an_operator_may_not_remove_it(actor):
    services.register(actor)
    with pytest.raises(NotAllowed):
        services.remove(factories.UserFactory(role=Role.OPERATOR))
    assert services.instances().count() == 12


def test_an_instance_moved_elsewhere_is_no_demo_instance_any_more(actor):
    row = services.register(actor)[0]
    change_instance(
        actor,
        instance=row,
        address=parse("web.example.com"),
        name=row.name,
        group=row.group,
        credential=None,
        os=row.os,
        tags={},
        jump=None,
    )
    row.refresh_from_db()
    assert not row.is_demo
    assert "127.0.0.0/8" in target_of(row).denied_networks
