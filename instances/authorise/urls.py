"""URLs of keys on instances."""

from django.urls import path

from instances.authorise import views

urlpatterns = [
    path("authorise/", views.authorise, name="authorise"),
    path("authorise/take-away/", views.take_away, name="take-away-key"),
    path("authorise/<int:authorisation_id>/", views.authorisation, name="authorisation"),
    path("credentials/make/", views.make_key_pair, name="make-key-pair"),
    path("credentials/<int:credential_id>/public-key/", views.key, name="public-key"),
]
