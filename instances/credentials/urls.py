"""URLs of the credentials."""

from django.urls import path

from instances.credentials import views

urlpatterns = [
    path("credentials/", views.credentials, name="credentials"),
    path("credentials/add/", views.add_credential, name="add-credential"),
    path("credentials/attach/", views.attach_credential, name="attach-credential"),
    path("credentials/resume/<int:instance_id>/", views.resume_credential, name="resume-credential"),
    path("credentials/<int:credential_id>/", views.edit_credential, name="edit-credential"),
    path("credentials/<int:credential_id>/delete/", views.delete_credential, name="delete-credential"),
]
