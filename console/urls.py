"""The site's URLs, put together from the features'."""

from django.urls import include, path

from console.views import health

# Errors of middleware come here only.
handler500 = "console.views.server_error"

urlpatterns = [
    path("health/", health, name="health"),
    path("", include("console.history.urls")),
    path("", include("console.runs.urls")),
    path("", include("console.reports.urls")),
    path("", include("console.results.urls")),
    path("", include("console.schedules.urls")),
    path("", include("console.recordings.urls")),
    path("", include("console.sessions.urls")),
    path("", include("console.transfers.urls")),
    path("", include("console.library.urls")),
    path("", include("console.notifications.urls")),
    path("", include("console.members.urls")),
    path("", include("console.demo.urls")),
    path("", include("instances.inventory.urls")),
    path("", include("instances.authorise.urls")),
    path("", include("instances.credentials.urls")),
    path("", include("instances.host_keys.urls")),
]
