"""URLs of sessions and terminals."""

from django.urls import path

from console.sessions import list_views, views

urlpatterns = [
    path("sessions/", list_views.sessions, name="sessions"),
    path("sessions/open/", list_views.open_sessions, name="open-sessions"),
    path("sessions/close/", list_views.close_sessions, name="close-sessions"),
    path("sessions/send/", list_views.send_to_sessions, name="send-to-sessions"),
    path("instances/<int:instance_id>/sessions/", list_views.instance_sessions, name="instance-sessions"),
    path("instances/<int:instance_id>/terminal/", views.open_terminal, name="open-terminal"),
    path("terminals/<int:session_id>/", views.terminal, name="terminal"),
    path("sessions/<int:session_id>/close/", views.close_session, name="close-session"),
]
