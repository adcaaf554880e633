"""URLs of the views of one run beside its table."""

from django.urls import path

from console.results import views

urlpatterns = [
    path("runs/<int:run_id>/groups/", views.groups, name="run-groups"),
    path("runs/<int:run_id>/groups/diff/", views.diff, name="run-diff"),
    path("runs/<int:run_id>/matrix/", views.matrix, name="run-matrix"),
    path("runs/<int:run_id>/matrix/data/", views.matrix_data, name="run-matrix-data"),
    path("runs/<int:run_id>/combined/", views.combined, name="run-combined"),
    path("runs/<int:run_id>/combined/text/", views.combined_text, name="run-combined-text"),
    path("runs/<int:run_id>/search/", views.search, name="run-search"),
    path("runs/<int:run_id>/search/<int:ordinal>/<int:line>/", views.excerpt, name="run-lines"),
]
