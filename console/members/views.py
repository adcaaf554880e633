"""Translates requests about accounts into service calls and pages: sign-in, the own account, and people."""

from collections.abc import Callable
from typing import TypeVar

from django.contrib import messages
from django.contrib.auth import login, logout, update_session_auth_hash
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import LoginView
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db.models import Max, Q
from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from console.members import services
from console.members.forms import AddMemberForm, ChangePasswordForm, NewPasswordForm, SignInForm
from console.members.models import User
from instances.access import rules
from instances.access.models import Role
from instances.access.requests import SignedInRequest
from instances.access.rules import Action

Result = TypeVar("Result")
# Where a visitor's session keeps the hash of the sign-in link that was followed.
_LINK = "sign_in_link"
_BACKEND = "django.contrib.auth.backends.ModelBackend"


# ------------------------------------------------------------------ in and out


@method_decorator(require_http_methods(["GET", "POST"]), name="dispatch")
class SignInView(LoginView):
    """The sign-in page."""

    template_name = "members/sign_in.html"
    authentication_form = SignInForm
    redirect_authenticated_user = True

    def form_invalid(self, form: Form) -> HttpResponse:
        """Show the form again, as every refused form: 422."""
        return self.render_to_response(self.get_context_data(form=form), status=422)


@require_POST
@login_not_required
def sign_out(request: HttpRequest) -> HttpResponse:
    """End this session."""
    logout(request)
    return redirect("sign-in")


@never_cache
@require_GET
@login_not_required
def first_sign_in(request: HttpRequest, token: str) -> HttpResponse:
    """Follow a sign-in link: remember it in the session, so that its token stays out of later addresses and logs.

    Nothing is used up yet: mail scanners and previews follow links too.
    """
    try:
        link = services.find_link(token)
    except services.LinkSpent as error:
        return _spent(request, error)
    request.session[_LINK] = link.token_sha256
    return redirect("choose-password")


@sensitive_post_parameters()
@never_cache
@require_http_methods(["GET", "POST"])
@login_not_required
def choose_password(request: HttpRequest) -> HttpResponse:
    """Choose a password, which uses up the link that was followed, and be signed in."""
    form = NewPasswordForm(request.POST or None)
    try:
        link = services.link_by_hash(request.session.get(_LINK, ""))
        user = _attempt(form, lambda: services.use_link(link, password=form.cleaned_data["password"]))
    except services.LinkSpent as error:
        return _spent(request, error)
    if user is None:
        context = {"form": form, "member": link.user}
        return render(request, "members/first_sign_in.html", context, status=_status(form))
    request.session.pop(_LINK, None)
    login(request, user, backend=_BACKEND)
    return redirect("home")


# ------------------------------------------------------------------ the own account


@sensitive_post_parameters()
@never_cache
@require_http_methods(["GET", "POST"])
def account(request: SignedInRequest) -> HttpResponse:
    """Show one's account; a POST changes the password and ends all sessions but this one."""
    form = ChangePasswordForm(request.POST or None)
    user = request.user

    def change() -> bool:
        data = form.cleaned_data
        services.change_own_password(user, old=data["old"], new=data["password"], request=request)
        return True

    if _attempt(form, change, new="password") is None:
        context = {"form": form, "role": Role(role).label if (role := services.role_of(user)) else ""}
        return render(request, "members/account.html", context, status=_status(form))
    update_session_auth_hash(request, user)
    messages.success(request, "Your password was changed. Your other sessions have ended.")
    return redirect("account")


@require_POST
def sign_out_everywhere(request: SignedInRequest) -> HttpResponse:
    """End all of one's sessions, this one too."""
    services.sign_out_everywhere(request.user, member=request.user)
    logout(request)
    return redirect("sign-in")


# ------------------------------------------------------------------ people


@require_GET
def people(request: SignedInRequest) -> HttpResponse:
    """Show the people and their roles."""
    rules.require(request.user, Action.MANAGE_MEMBERS)
    return _people(request, AddMemberForm())


@never_cache
@require_POST
def add_member(request: SignedInRequest) -> HttpResponse:
    """Add a person; the answer is the only page that ever shows the link to hand over."""
    rules.require(request.user, Action.MANAGE_MEMBERS)
    form = AddMemberForm(request.POST)
    added = _attempt(form, lambda: services.add_member(request.user, **form.cleaned_data))
    if added is None:
        return _people(request, form, status=422)
    member, link = added
    return _people(request, AddMemberForm(), member=member, link=request.build_absolute_uri(link))


@never_cache
@require_POST
def change_member(request: SignedInRequest, member_id: int) -> HttpResponse:
    """Do what the pressed button (``do``) says: role, deactivate, activate, link or sign-out."""
    rules.require(request.user, Action.MANAGE_MEMBERS)
    member = get_object_or_404(services.people(), pk=member_id)
    act = _CHANGES.get(request.POST.get("do", ""))
    if act is None:
        return _people(request, AddMemberForm(), error="Nothing was changed: choose what to do.", status=422)
    try:
        link = act(request, member)
    except ValidationError as error:
        return _people(request, AddMemberForm(), error=" ".join(error.messages), status=422)
    if link:
        return _people(request, AddMemberForm(), member=member, link=request.build_absolute_uri(link))
    messages.success(request, f"{member.username} was changed.")
    return redirect("people")


def _change_role(request: SignedInRequest, member: User) -> None:
    services.change_role(request.user, member=member, role=request.POST.get("role", ""))


_CHANGES: "dict[str, Callable[[SignedInRequest, User], str | None]]" = {
    "role": _change_role,
    "deactivate": lambda request, member: services.deactivate(request.user, member=member),
    "activate": lambda request, member: services.activate(request.user, member=member),
    "link": lambda request, member: services.renew_link(request.user, member=member),
    "sign-out": lambda request, member: services.sign_out_everywhere(request.user, member=member),
}


def _people(
    request: SignedInRequest,
    form: AddMemberForm,
    *,
    member: User | None = None,
    link: str = "",
    error: str = "",
    status: int = 200,
) -> HttpResponse:
    everywhere = Max("grants__role", filter=Q(grants__group=None))
    context = {
        "people": services.people().annotate(role=everywhere),
        "roles": Role.choices,
        "form": form,
        "added": member,
        "link": link,
        "error": error,
    }
    return render(request, "members/people.html", context, status=status)


def _spent(request: HttpRequest, error: services.LinkSpent) -> HttpResponse:
    return render(request, "members/link_spent.html", {"message": str(error)}, status=410)


def _attempt(form: Form, service: Callable[[], Result], **renamed: str) -> Result | None:
    """Call the service if the form is valid; None, with the refusal beside its field, when the form is shown again."""
    if not form.is_bound or not form.is_valid():
        return None
    try:
        return service()
    except ValidationError as error:
        places = error.message_dict if hasattr(error, "error_dict") else {NON_FIELD_ERRORS: error.messages}
        for place, texts in places.items():
            field = renamed.get(place, place)
            form.add_error(field if field in form.fields else None, texts)
        return None


def _status(form: Form) -> int:
    return 422 if form.is_bound else 200
