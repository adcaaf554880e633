"""URLs of recordings."""

from django.urls import path

from console.recordings import views

urlpatterns = [
    path("recordings/", views.recordings, name="recordings"),
    path("recordings/<int:recording_id>/", views.recording, name="recording"),
    path("recordings/<int:recording_id>/data", views.recording_cast, name="recording-cast"),
    path("recordings/<int:recording_id>/download", views.download_recording, name="download-recording"),
    path("recordings/<int:recording_id>/delete/", views.delete_recording, name="delete-recording"),
]
