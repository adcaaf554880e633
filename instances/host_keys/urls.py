"""URLs of the host keys."""

from django.urls import path

from instances.host_keys import views

urlpatterns = [
    path("host-keys/", views.host_keys, name="host-keys"),
    path("host-keys/trust/", views.trust_host_keys, name="trust-host-keys"),
    path("host-keys/<int:host_key_id>/forget/", views.forget_host_key, name="forget-host-key"),
]
