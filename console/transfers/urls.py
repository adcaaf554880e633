"""URLs of files."""

from django.urls import path

from console.transfers import views

urlpatterns = [
    path("files/send/", views.send_file, name="send-file"),
    path("files/fetch/", views.fetch_file, name="fetch-file"),
    path("files/<int:transfer_id>/", views.transfer, name="transfer"),
    path("files/fetched/<int:delivery_id>/", views.fetched, name="fetched-file"),
]
