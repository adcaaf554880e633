"""Translates requests about saved commands as files: zip files in and out, the starter library."""

import base64
import binascii

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from console.library.imported import plan_import
from console.saved_commands import folders
from console.saved_commands.content import SavedCommandError
from console.saved_commands.folders import MAX_ZIP_BYTES, Plan
from instances.access.requests import SignedInRequest
from instances.access.rules import Action, require_anywhere


class ImportForm(forms.Form):
    """A zip file to import, in two steps: ``zipped`` is what was looked at, ``expected`` what it meant then."""

    file = forms.FileField(
        label="Zip file of scripts",
        required=False,
        allow_empty_file=True,
        help_text="Up to 2 MB. A script may stand in it alone; its header says what it is called.",
    )
    zipped = forms.CharField(required=False, widget=forms.HiddenInput)
    expected = forms.CharField(required=False, max_length=64, widget=forms.HiddenInput)

    def scripts(self) -> tuple[dict[str, bytes], str]:
        """Return the scripts and the whole file as text, for the second step.

        Raises: SavedCommandError for what cannot be read.
        """
        given = self.cleaned_data["file"]
        if given is None and not self.cleaned_data["zipped"]:
            raise SavedCommandError("Choose a zip file.", "file")
        try:
            data = given.read(MAX_ZIP_BYTES + 1) if given else base64.b64decode(self.cleaned_data["zipped"])
        except binascii.Error:
            raise SavedCommandError("Choose the zip file again.", "file") from None
        scripts = folders.unzipped(data)
        if not scripts:
            raise SavedCommandError("There is no script in it: .sh, .ps1, .bat or .cmd.", "file")
        return scripts, base64.b64encode(data).decode()


@require_http_methods(["GET", "POST"])
def import_saved_commands(request: SignedInRequest) -> HttpResponse:
    """Show what a zip file of scripts would change; once that is confirmed, do it."""
    require_anywhere(request.user, Action.MANAGE_SAVED_COMMANDS)
    if request.method == "GET":
        return render(request, "saved/import.html", {"form": ImportForm()})
    form, shown, data = ImportForm(request.POST, request.FILES), None, ""
    if form.is_valid():
        try:
            scripts, data = form.scripts()
            shown = plan_import(request.user, scripts)
            if request.POST.get("confirm") and _is_expected(form, shown):
                folders.apply(request.user, shown, source="Imported")
                messages.success(request, f"Imported: {shown.told}.")
                return redirect("saved-commands")
        except SavedCommandError as error:
            form.add_error("file", str(error))
    status = 422 if form.errors or request.POST.get("confirm") else 200
    return render(request, "saved/import.html", {"form": form, "plan": shown, "data": data}, status=status)


def _is_expected(form: ImportForm, shown: Plan) -> bool:
    if form.cleaned_data["expected"] == shown.version:
        return True
    form.add_error(None, "Something changed since you looked. Nothing was saved: look again.")
    return False


@require_GET
def export_saved_commands(request: SignedInRequest) -> HttpResponse:
    """Send everything the user may see, without the archive, as a zip file of scripts."""
    require_anywhere(request.user, Action.VIEW)
    headers = {"Content-Disposition": 'attachment; filename="saved-commands.zip"', "X-Content-Type-Options": "nosniff"}
    data = folders.zipped(folders.exported(request.user))
    return HttpResponse(data, content_type="application/zip", headers=headers)


@require_POST
def add_starter_commands(request: SignedInRequest) -> HttpResponse:
    """Add the commands that Muster comes with."""
    require_anywhere(request.user, Action.MANAGE_SAVED_COMMANDS)
    count = folders.add_starter(request.user)
    added = "1 command was added." if count == 1 else f"{count} commands were added."
    messages.success(request, added if count else "They are all there already.")
    return redirect("saved-commands")
