"""URLs of the dashboard, Send Command and runs."""

from django.urls import path

from console.runs import views

urlpatterns = [
    path("", views.home, name="home"),
    path("send/", views.send, name="send"),
    path("send/targets/", views.send_targets, name="send-targets"),
    path("send/parameters/", views.send_parameters, name="send-parameters"),
    path("runs/<int:run_id>/", views.run, name="run"),
    path("runs/<int:run_id>/stop/", views.stop_run, name="stop-run"),
    path("runs/<int:run_id>/answer/", views.answer_run, name="answer-run"),
    path("runs/<int:run_id>/again/", views.send_again, name="send-again"),
    path("runs/<int:run_id>/recheck/", views.recheck_run, name="recheck-run"),
    path("runs/<int:run_id>/output/<int:ordinal>/", views.download, name="download"),
]
