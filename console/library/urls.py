"""URLs of saved commands."""

from django.urls import path

from console.library import file_views, views

urlpatterns = [
    path("saved/", views.saved_commands, name="saved-commands"),
    path("saved/new/", views.new_saved_command, name="new-saved-command"),
    path("saved/import/", file_views.import_saved_commands, name="import-saved-commands"),
    path("saved/export/", file_views.export_saved_commands, name="export-saved-commands"),
    path("saved/starter/", file_views.add_starter_commands, name="add-starter-commands"),
    path("saved/<int:saved_id>/", views.saved_command, name="saved-command"),
    path("saved/<int:saved_id>/edit/", views.edit_saved_command, name="edit-saved-command"),
    path("saved/<int:saved_id>/diff/", views.saved_command_diff, name="saved-command-diff"),
    path("saved/<int:saved_id>/restore/", views.restore_saved_command, name="restore-saved-command"),
    path("saved/<int:saved_id>/archive/", views.archive_saved_command, name="archive-saved-command"),
    path("saved/<int:saved_id>/delete/", views.delete_saved_command, name="delete-saved-command"),
]
