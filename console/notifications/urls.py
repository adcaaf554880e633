"""URLs of notifications."""

from django.urls import path

from console.notifications import views

urlpatterns = [
    path("notifications/", views.notifications, name="notifications"),
    path("notifications/add/", views.add_destination, name="add-destination"),
    path("notifications/log/", views.notices, name="notices"),
    path("notifications/log/<int:notice_id>/again/", views.try_again, name="try-notice-again"),
    path("notifications/<int:destination_id>/", views.destination, name="destination"),
    path("notifications/<int:destination_id>/delete/", views.delete_destination, name="delete-destination"),
    path("notifications/<int:destination_id>/secret/", views.new_secret, name="new-secret"),
    path("notifications/<int:destination_id>/test/", views.test_destination, name="test-destination"),
]
