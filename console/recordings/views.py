"""Translates requests about recordings into service calls, pages and files."""

from collections.abc import Iterator

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_GET, require_POST

from console.ranges import Unsatisfiable, parse_range
from console.recordings import reading, services
from console.recordings.forms import RecordingsForm
from console.recordings.models import Recording
from console.streaming import streamed
from instances.access.requests import SignedInRequest

PAGE_ROWS = 50
LONGEST_SEARCH = 200


@require_GET
def recordings(request: SignedInRequest) -> HttpResponse:
    """Show the recordings one may see, newest first."""
    form = RecordingsForm(request.GET)
    found = services.visible_recordings(request.user).filter(form.conditions())
    filters = request.GET.copy()
    filters.pop("page", None)
    context = {
        "form": form,
        "recordings": Paginator(found, PAGE_ROWS).get_page(request.GET.get("page")),
        "query": filters.urlencode(),
        "is_filtered": any(filters.values()),
        "recording_days": settings.ENV.recording_days,
    }
    return render(request, "recordings/list.html", context)


@require_GET
def recording(request: SignedInRequest, recording_id: int) -> HttpResponse:
    """Show one recording: its player, and the lines that hold ``q``; ``at`` is the second to begin at."""
    found = _found(request, recording_id)
    words = request.GET.get("q", "").strip()[:LONGEST_SEARCH]
    searched = None
    if words:
        services.note_watched(request.user, found, "searched")
        searched = reading.search(found, words)
    may_manage = services.may_manage(request.user, found)
    context = {
        "recording": found,
        "q": words,
        "hits": searched.hits if searched else [],
        "searched": searched,
        "may_manage": may_manage,
        "looks": services.looks_at(found) if may_manage else [],
    }
    return render(request, "recordings/recording.html", context)


@require_GET
def recording_cast(request: SignedInRequest, recording_id: int) -> HttpResponseBase:
    """Send the file to a player, whole or a Range (RFC 9110 section 14)."""
    found = _found(request, recording_id)
    try:
        part = parse_range(request.headers.get("Range", ""), found.size)
    except Unsatisfiable:
        return HttpResponse(status=416, headers={"Content-Range": f"bytes */{found.size}"})
    services.note_watched(request.user, found, "played")
    return _file(request, found, part, {})


@require_GET
def download_recording(request: SignedInRequest, recording_id: int) -> HttpResponseBase:
    """Send the file to keep it."""
    found = _found(request, recording_id)
    services.note_watched(request.user, found, "downloaded")
    safe = "".join(letter if letter.isalnum() or letter in "-._" else "_" for letter in found.instance_name)
    name = f"{safe}-{found.started_at:%Y%m%d-%H%M%S}.cast"
    told = content_disposition_header(as_attachment=True, filename=name)
    return _file(request, found, None, {"Content-Disposition": str(told)})


@require_POST
def delete_recording(request: SignedInRequest, recording_id: int) -> HttpResponse:
    """Delete a recording for good."""
    found = _found(request, recording_id)
    try:
        services.delete(request.user, found)
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
        return redirect("recording", recording_id)
    messages.success(request, f"The recording of {found.instance_name} was deleted.")
    return redirect("recordings")


def _found(request: SignedInRequest, recording_id: int) -> Recording:
    visible = services.visible_recordings(request.user).select_related("instance__group")
    return get_object_or_404(visible, pk=recording_id)


def _whole(found: Recording, start: int, stop: int) -> Iterator[bytes]:
    """Yield that much of the file. Raises: Recording.DoesNotExist when it is removed meanwhile.

    The length was told: an answer that comes to an end early would leave the browser waiting.
    """
    for piece in reading.pieces(found, start, stop):
        yield piece
        start += len(piece)
    if start < stop:
        raise Recording.DoesNotExist("It was removed while it was sent.")


def _file(
    request: SignedInRequest, found: Recording, part: tuple[int, int] | None, headers: dict[str, str]
) -> HttpResponseBase:
    start, stop = part or (0, found.size)
    answer = StreamingHttpResponse(
        streamed(request, _whole(found, start, stop)),
        status=206 if part else 200,
        content_type="application/x-asciicast",
        headers={
            "Content-Length": str(stop - start),
            "Accept-Ranges": "bytes",
            "X-Content-Type-Options": "nosniff",
            # Keeps compressing middleware away: a range counts the exact bytes.
            "Content-Encoding": "identity",
            "Cache-Control": "no-store",
            **headers,
        },
    )
    if part:
        answer["Content-Range"] = f"bytes {start}-{stop - 1}/{found.size}"
    return answer
