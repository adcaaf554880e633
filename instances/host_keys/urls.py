"""URLs of the host keys."""

from django.urls import path

from instances.host_keys import authority_views, views

urlpatterns = [
    path("host-keys/", views.host_keys, name="host-keys"),
    path("host-keys/trust/", views.trust_host_keys, name="trust-host-keys"),
    path("host-keys/<int:host_key_id>/forget/", views.forget_host_key, name="forget-host-key"),
    path("host-keys/import/", authority_views.import_known_hosts, name="import-known-hosts"),
    path("host-keys/authorities/", authority_views.host_authorities, name="host-authorities"),
    path(
        "host-keys/authorities/<int:authority_id>/remove/",
        authority_views.remove_host_authority,
        name="remove-host-authority",
    ),
    path("host-keys/revoked/", authority_views.revoked_keys, name="revoked-keys"),
    path("host-keys/revoked/<int:revoked_id>/restore/", authority_views.restore_key, name="restore-key"),
]
