"""URLs of the history."""

from django.urls import path

from console.history import views

urlpatterns = [
    path("runs/", views.runs, name="runs"),
    path("runs/search/", views.search, name="search-history"),
    path("runs/filters/", views.save_filter, name="save-filter"),
    path("runs/filters/<int:filter_id>/delete/", views.delete_filter, name="delete-filter"),
    path("instances/<int:instance_id>/commands/", views.instance_commands, name="instance-commands"),
]
