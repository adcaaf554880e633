"""Owns answers whose body is read as it is sent, however long it is."""

import functools
from collections.abc import AsyncIterator, Iterable, Iterator

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest


def streamed(request: HttpRequest, body: Iterator[bytes]) -> Iterable[bytes] | AsyncIterator[bytes]:
    """Return a body for StreamingHttpResponse that is read piece by piece under ASGI too."""
    return _one_by_one(body) if isinstance(request, ASGIRequest) else body


async def _one_by_one(body: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Yield what the iterator does, read in the request's thread.

    Django would first make a list of it, the whole output in memory
    (https://docs.djangoproject.com/en/5.2/ref/request-response/#streaminghttpresponse-objects).
    """
    following = sync_to_async(functools.partial(next, body, None))
    while (piece := await following()) is not None:
        yield piece
