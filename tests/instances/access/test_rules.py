import pytest

from instances.access import rules
from instances.access.models import Role
from instances.access.rules import ACTIONS_OF, Action, NotAllowed
from instances.inventory.models import Instance
from tests.support.factories import GroupFactory, InstanceFactory, UserFactory

pytestmark = pytest.mark.django_db


def test_each_role_contains_the_one_below():
    assert ACTIONS_OF[Role.VIEWER] < ACTIONS_OF[Role.OPERATOR] < ACTIONS_OF[Role.ADMINISTRATOR]
    assert ACTIONS_OF[Role.ADMINISTRATOR] == frozenset(Action)


@pytest.mark.parametrize("role", Role.values)
@pytest.mark.parametrize("action", list(Action))
def test_a_role_everywhere_counts_in_every_group_and_without_one(role, action):
    user, group = UserFactory(role=role), GroupFactory()
    expected = action in ACTIONS_OF[role]
    assert rules.allowed(user, action) is expected
    assert rules.allowed(user, action, group) is expected
    assert rules.allowed_anywhere(user, action) is expected


@pytest.mark.parametrize("action", list(Action))
def test_a_role_in_one_group_counts_there_only(action):
    theirs, other = GroupFactory(), GroupFactory()
    user = UserFactory(role=Role.ADMINISTRATOR, role_group=theirs)
    assert rules.allowed(user, action, theirs)
    assert rules.allowed_anywhere(user, action)
    assert not rules.allowed(user, action, other)
    assert not rules.allowed(user, action)


@pytest.mark.parametrize("action", list(Action))
def test_nobody_without_a_grant_or_deactivated_may_do_anything(action):
    for user in (UserFactory(role=None), UserFactory(role=Role.ADMINISTRATOR, is_active=False)):
        assert not rules.allowed(user, action)
        assert not rules.allowed_anywhere(user, action)
        with pytest.raises(NotAllowed):
            rules.require(user, action)
        with pytest.raises(NotAllowed):
            rules.require_anywhere(user, action)


def test_the_message_names_the_action_in_words():
    assert set(rules.IN_WORDS) == set(Action)
    with pytest.raises(NotAllowed, match="You are not allowed to open sessions"):
        rules.require(UserFactory(role=Role.VIEWER), Action.OPEN_SESSION)


def test_a_scope_keeps_only_rows_of_the_groups_granted():
    theirs, other = GroupFactory(), GroupFactory()
    inside = InstanceFactory(group=theirs)
    InstanceFactory(group=other)
    InstanceFactory(group=None)
    user = UserFactory(role=Role.VIEWER, role_group=theirs)
    assert list(Instance.objects.filter(rules.scope(user, Action.VIEW))) == [inside]
    assert not Instance.objects.filter(rules.scope(user, Action.SEND_COMMAND)).exists()
    assert list(rules.visible_groups(user)) == [theirs]
