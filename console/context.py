"""What every page's shell shows: the user's actions, the groups to switch between, and runs in progress."""

from typing import Any

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from instances.access import rules


def shell(request: HttpRequest) -> dict[str, Any]:
    """Return the template variables of the page shell; nothing for an anonymous visitor.

    Shape: ``can`` is a set of action names the user may take somewhere, ``groups`` the visible groups.
    """
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return {}
    return {
        "can": {action.value for action in rules.actions_anywhere(user)},
        # Parts of a page that htmx asks for have no header to show them in.
        "groups": SimpleLazyObject(lambda: rules.visible_groups(user)),
    }
