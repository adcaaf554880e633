"""URLs of the views of one run beside its table."""

from django.urls import path

from console.results import views

urlpatterns = [
    path("runs/<int:run_id>/groups/", views.groups, name="run-groups"),
    path("runs/<int:run_id>/groups/diff/", views.diff, name="run-diff"),
]
