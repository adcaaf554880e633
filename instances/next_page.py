"""Says where a form leads back to: a page of this site, whatever the form asks for."""

from django.http import HttpRequest
from django.utils.http import url_has_allowed_host_and_scheme


def next_page(request: HttpRequest, default: str) -> str:
    """Return the path the form wants to go back to (``next``), or the default: a path or the name of a URL."""
    wanted: str = request.POST.get("next", "")
    # A path only: anything else could be read as another site, or as the name of a URL that does not exist.
    is_ours = wanted.startswith("/") and url_has_allowed_host_and_scheme(wanted, allowed_hosts=None)
    return wanted if is_ours else default
