"""The pages of the inventory, as each role sees them."""

import pytest
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from instances.credentials import services as credentials
from instances.inventory.models import Instance, Reach
from tests.instances.inventory.conftest import SignIn
from tests.support.factories import (
    CredentialFactory,
    GroupCredentialFactory,
    GroupFactory,
    HostKeyFactory,
    InstanceFactory,
)

pytestmark = pytest.mark.django_db
NEW = {"address": "deploy@10.0.0.4:2222", "name": "web-1", "os": "linux", "tags": "env=prod"}


def text(response: HttpResponse) -> str:
    return " ".join(response.content.decode().split())


# ------------------------------------------------------------------ the list


def test_a_list_that_is_drawn_anew_by_itself_takes_back_nothing_that_was_clicked(as_: SignIn) -> None:
    """The list's other requests replace each other; a poll among them would end a click whose answer is on its way."""
    InstanceFactory(check_requested_at=timezone.now())
    page = text(as_().get("/"))
    assert 'hx-sync:inherited="#list:replace"' in page
    poll = page[page.index('<tbody id="list-rows"') :].partition(">")[0]
    assert 'hx-trigger="every 3s"' in poll
    assert 'hx-sync="#list:drop"' in poll


def test_the_list_shows_instances_with_what_the_scripts_look_for(as_: SignIn) -> None:
    instance = InstanceFactory(name="web-1", tags={"env": "prod"})
    page = text(as_().get("/"))
    assert f'<tr id="instance-{instance.pk}" data-instance="{instance.pk}"' in page
    assert f'class="pick" id="pick-{instance.pk}" name="ids" value="{instance.pk}"' in page
    assert 'id="list"' in page
    assert 'data-total="1" data-query="q=&amp;group="' in page
    assert 'data-act="send-one"' in page
    for handle in ("select-matching", "clear-selection", '"send"'):
        assert f"data-act={handle}" in page or f'data-act="{handle}"' in page
    assert "env=prod" in page


def test_a_disabled_instance_cannot_be_sent_to_from_its_row(as_: SignIn) -> None:
    InstanceFactory(is_disabled=True)
    page = text(as_().get("/"))
    assert "send-one" not in page
    assert "Disabled" in page


def test_viewers_see_the_list_without_what_they_may_not_do(as_: SignIn) -> None:
    InstanceFactory()
    page = text(as_("viewer").get("/"))
    for forbidden in ("send-one", "Add an instance", "Check now", "Delete", 'data-act="send"'):
        assert forbidden not in page


def test_empty_states_say_what_to_do_next(as_: SignIn) -> None:
    client = as_()
    page = text(client.get("/"))
    assert "There are no instances yet" in page
    assert reverse("add-instance") in page
    assert reverse("paste-instances") in page
    assert "An administrator adds them" in text(as_("viewer").get("/"))
    InstanceFactory()
    page = text(client.get("/?q=nothing"))
    assert "No instance matches" in page
    assert "Clear filter" in page


def test_an_error_in_the_filter_is_shown_with_the_text_kept(as_: SignIn) -> None:
    page = text(as_().get("/?q=state:broken"))
    assert "state: is one of" in page
    assert 'value="state:broken"' in page


def test_text_of_instances_is_escaped(as_: SignIn) -> None:
    InstanceFactory(name="<script>x</script>", banner="<b>", reach_message="<i>", tags={"env": "<u>"})
    for url in ("/", reverse("instance", args=[Instance.objects.get().pk])):
        page = as_().get(url).content.decode()
        for raw in ("<script>x", "<b>&", "<i>", "<u>"):
            assert raw not in page


# ------------------------------------------------------------------ add and edit


def test_an_instance_is_added_and_shown(as_: SignIn) -> None:
    client = as_()
    assert client.get(reverse("add-instance")).status_code == 200
    response = client.post(reverse("add-instance"), NEW)
    instance = Instance.objects.get()
    assert response.url == reverse("instance", args=[instance.pk])
    assert instance.check_requested_at is not None
    page = text(client.get(response.url))
    assert "web-1" in page
    assert "Checking…" in page
    assert "no credential" in page


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"address": "host:99999"}, "port is a number"),
        ({"address": ""}, "required"),
        ({"address": "127.0.0.1"}, "closed to the console"),
        ({"address": "localhost"}, "MUSTER_ALLOW_LOCALHOST"),
        ({"tags": "env"}, "is not a tag"),
        ({"name": "taken"}, "is taken"),
        ({"os": "beos"}, "valid choice"),
        ({"group": "999"}, "valid choice"),
    ],
)
def test_what_is_wrong_is_told_beside_the_field_and_the_text_is_kept(
    as_: SignIn, wrong: dict[str, str], message: str
) -> None:
    InstanceFactory(name="taken")
    response = as_().post(reverse("add-instance"), NEW | wrong)
    assert response.status_code == 422
    assert message in text(response)
    assert "field__error" in text(response)
    assert wrong.get("address", NEW["address"]) in text(response)
    assert Instance.objects.count() == 1


def test_an_edit_shows_what_is_there_and_saves(as_: SignIn) -> None:
    instance = InstanceFactory(address="10.0.0.4", port=2222, user_name="deploy", tags={"env": "prod"})
    client, url = as_(), reverse("edit-instance", args=[instance.pk])
    page = text(client.get(url))
    assert 'value="deploy@10.0.0.4:2222"' in page
    assert 'value="env=prod"' in page
    assert client.post(url, NEW | {"name": "other", "tags": "role=db"}).status_code == 302
    instance.refresh_from_db()
    assert instance.name == "other"


def test_a_move_is_told(as_: SignIn) -> None:
    instance = InstanceFactory(address="10.0.0.1", credential=CredentialFactory())
    client = as_()
    given = NEW | {"credential": str(instance.credential_id)}
    page = text(client.post(reverse("edit-instance", args=[instance.pk]), given, follow=True))
    assert "were taken away" in page
    instance.refresh_from_db()
    assert instance.credential is None


def test_an_administrator_of_one_group_keeps_the_credential_he_cannot_choose(as_: SignIn) -> None:
    instance = InstanceFactory(address="10.0.0.4", port=2222, group=GroupFactory(), credential=CredentialFactory())
    client = as_(role_group=instance.group)
    url = reverse("edit-instance", args=[instance.pk])
    assert "id_credential" not in text(client.get(url))
    assert client.post(url, NEW | {"group": str(instance.group_id)}).status_code == 302
    instance.refresh_from_db()
    assert instance.name == "web-1"
    assert instance.credential is not None


# ------------------------------------------------------------------ paste


def test_a_pasted_list_is_shown_first_and_saved_when_confirmed(as_: SignIn) -> None:
    client, url = as_(), reverse("paste-instances")
    pasted = {"text": "10.0.0.1 a env=prod\nhost:x b\n10.0.0.2 c"}
    page = client.post(url, pasted)
    assert page.status_code == 200
    assert not Instance.objects.exists()
    assert "Line 2" in text(page)
    assert "Add 2 instances, leave out 1" in text(page)
    assert client.post(url, pasted | {"expected": "2", "confirm": "yes"}).url == "/"
    assert set(Instance.objects.values_list("name", flat=True)) == {"a", "c"}


def test_a_list_that_means_something_else_by_now_is_shown_again(as_: SignIn) -> None:
    client, url = as_(), reverse("paste-instances")
    InstanceFactory(name="a")
    response = client.post(url, {"text": "10.0.0.1 a\n10.0.0.2 b", "expected": "2", "confirm": "yes"})
    assert response.status_code == 200
    assert Instance.objects.count() == 1


def test_an_empty_list_is_refused(as_: SignIn) -> None:
    assert as_().post(reverse("paste-instances"), {"text": ""}).status_code == 422
    assert "no line that says anything" in text(as_().post(reverse("paste-instances"), {"text": "# nothing"}))


# ------------------------------------------------------------------ details


def test_the_page_of_an_instance_says_what_is_known_and_what_to_do(as_: SignIn) -> None:
    default = GroupCredentialFactory()
    instance = InstanceFactory(
        group=default.group,
        reach=Reach.UNREACHABLE,
        reach_reason="refused",
        reach_message="Connection refused.",
        banner="SSH-2.0-OpenSSH_9.2",
        facts={"kernel": "6.1.0"},
    )
    key = HostKeyFactory(instance=instance, state="unknown")
    page = text(as_().get(reverse("instance", args=[instance.pk])))
    for said in (
        "Connection refused.",
        "nothing listens on this port",
        "SSH-2.0-OpenSSH_9.2",
        "6.1.0",
        key.fingerprint,
        "Waiting for review",
        default.credential.name,
        "the default of",
    ):
        assert said in page


def test_a_suspended_credential_is_told_with_a_way_out(as_: SignIn) -> None:
    instance = InstanceFactory(credential=CredentialFactory())
    for _ in range(2):
        credentials.note_failure(credential_id=instance.credential_id, instance=instance)
    client, url = as_("operator"), reverse("instance", args=[instance.pk])
    assert "refused twice" in text(client.get(url))
    assert client.post(reverse("resume-credential", args=[instance.pk]), {"next": url}).url == url
    assert "refused twice" not in text(client.get(url))


def test_the_commands_tab_loads_its_rows(as_: SignIn) -> None:
    instance = InstanceFactory()
    page = text(as_().get(reverse("instance", args=[instance.pk]) + "?tab=commands"))
    url = reverse("instance-commands", args=[instance.pk])
    assert f'hx-get="{url}"' in page
    assert f'href="{url}"' in page


def test_an_instance_of_a_group_one_may_not_see_is_not_there(as_: SignIn) -> None:
    instance = InstanceFactory(group=GroupFactory())
    client = as_(role="administrator", role_group=GroupFactory())
    for name in ("instance", "edit-instance"):
        assert client.get(reverse(name, args=[instance.pk])).status_code == 404
    for name in ("check-instance", "disable-instance", "enable-instance", "delete-instance"):
        assert client.post(reverse(name, args=[instance.pk])).status_code == 404


# ------------------------------------------------------------------ in bulk


def test_ticked_instances_are_disabled_enabled_and_checked(as_: SignIn) -> None:
    first, second, other = InstanceFactory(), InstanceFactory(), InstanceFactory()
    client, ids = as_(), [str(first.pk), str(second.pk)]
    assert client.post(reverse("disable-instances"), {"ids": ids, "next": "/?q=x"}).url == "/?q=x"
    assert set(Instance.objects.filter(is_disabled=True)) == {first, second}
    client.post(reverse("enable-instances"), {"ids": ",".join(ids)})
    assert not Instance.objects.filter(is_disabled=True).exists()
    client.post(reverse("check-instances"), {"query": "q=&group=", "except_ids": str(other.pk)})
    assert set(Instance.objects.exclude(check_requested_at=None)) == {first, second}


def test_ticked_instances_lead_to_send_command_without_javascript(as_: SignIn) -> None:
    second, first = InstanceFactory(name="b"), InstanceFactory(name="a")
    client, url = as_("operator"), reverse("send-to-instances")
    sent = client.post(url, {"ids": ["", str(first.pk), str(second.pk)]})
    assert sent.url == f"{reverse('send')}?ids={first.pk},{second.pk}"
    assert client.post(url, {"ids": ""}).url == "/"


def test_deleting_asks_first_and_again_when_the_number_changed(as_: SignIn) -> None:
    first, second = InstanceFactory(name="web-1"), InstanceFactory()
    client, url = as_(), reverse("delete-instances")
    asked = text(client.post(url, {"ids": str(first.pk)}))
    assert "Delete 1 instance?" in asked
    assert "web-1" in asked
    both = {"query": "q=&group="}
    assert client.post(url, both | {"confirm": "1"}).status_code == 200
    assert Instance.objects.count() == 2
    assert client.post(url, both | {"confirm": "2"}).url == "/"
    assert not Instance.objects.filter(pk__in=(first.pk, second.pk)).exists()


def test_nothing_selected_is_told(as_: SignIn) -> None:
    InstanceFactory()
    assert "Nothing was selected" in text(as_().post(reverse("delete-instances"), {}, follow=True))
    assert Instance.objects.exists()


@pytest.mark.parametrize("elsewhere", ["https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:x"])
def test_the_way_back_leads_nowhere_else(as_: SignIn, elsewhere: str) -> None:
    assert as_().post(reverse("select-group"), {"group": "", "next": elsewhere}).url == "/"


# ------------------------------------------------------------------ groups


def test_groups_are_added_changed_and_deleted(as_: SignIn) -> None:
    client, credential = as_(), CredentialFactory()
    assert client.get(reverse("groups")).status_code == 200
    assert client.post(reverse("groups"), {"name": "eu", "credential": credential.pk}).status_code == 302
    group = credential.group_defaults.get().group
    assert client.post(reverse("change-group", args=[group.pk]), {"name": "europe"}).status_code == 302
    assert "europe" in text(client.get(reverse("groups")))
    assert not credential.group_defaults.exists()
    assert client.post(reverse("delete-group", args=[group.pk])).status_code == 302


def test_a_wrong_group_name_is_told_in_its_row(as_: SignIn) -> None:
    group = GroupFactory(name="eu")
    GroupFactory(name="us")
    response = as_().post(reverse("change-group", args=[group.pk]), {"name": "us"})
    assert response.status_code == 422
    assert "already" in text(response)
    assert as_().post(reverse("groups"), {"name": "us"}).status_code == 422


def test_the_group_switch_narrows_the_list(as_: SignIn) -> None:
    InstanceFactory(name="in-eu", group=GroupFactory(name="eu"))
    InstanceFactory(name="elsewhere")
    client = as_()
    group = Instance.objects.get(name="in-eu").group_id
    assert client.post(reverse("select-group"), {"group": group, "next": "/"}).url == "/"
    page = text(client.get("/"))
    assert "in-eu" in page
    assert "elsewhere" not in page


# ------------------------------------------------------------------ who may


@pytest.mark.parametrize("role", ["operator", "viewer", None])
@pytest.mark.parametrize("name", ["add-instance", "paste-instances", "groups"])
def test_only_administrators_open_these_pages(as_: SignIn, role: str | None, name: str) -> None:
    assert as_(role).get(reverse(name)).status_code == 403
    assert (
        as_(role).post(reverse(name), NEW | {"text": "10.0.0.1", "confirm": "yes", "expected": "1"}).status_code == 403
    )
    assert not Instance.objects.exists()


@pytest.mark.parametrize(
    ("role", "name", "status"),
    [
        ("operator", "check-instance", 302),
        ("viewer", "check-instance", 403),
        (None, "check-instance", 404),
        ("operator", "disable-instance", 403),
        ("operator", "enable-instance", 403),
        ("operator", "delete-instance", 403),
        ("viewer", "delete-instance", 403),
    ],
)
def test_who_may_do_what_to_one_instance(as_: SignIn, role: str | None, name: str, status: int) -> None:
    instance = InstanceFactory()
    assert as_(role).post(reverse(name, args=[instance.pk])).status_code == status
    assert Instance.objects.filter(pk=instance.pk, is_disabled=False).exists()


def test_viewers_do_not_edit(as_: SignIn) -> None:
    url = reverse("edit-instance", args=[InstanceFactory().pk])
    assert as_("viewer").get(url).status_code == 403
    assert as_("operator").post(url, NEW).status_code == 403


def test_visitors_are_sent_to_the_sign_in_page() -> None:
    for name in ("add-instance", "paste-instances", "groups"):
        assert Client().get(reverse(name)).url.startswith(reverse("sign-in"))


@pytest.mark.parametrize(
    "name",
    [
        "check-instances",
        "disable-instances",
        "enable-instances",
        "delete-instances",
        "send-to-instances",
        "select-group",
    ],
)
def test_what_changes_something_is_not_done_by_a_link(as_: SignIn, name: str) -> None:
    assert as_().get(reverse(name)).status_code == 405
