"""URLs of saved commands."""

from django.urls import path

from console.saved_commands import views

urlpatterns = [
    path("saved/", views.saved_commands, name="saved-commands"),
    path("saved/<int:saved_id>/delete/", views.delete_saved_command, name="delete-saved-command"),
]
