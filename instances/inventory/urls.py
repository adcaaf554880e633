"""URLs of the inventory."""

from django.urls import path

from instances.inventory import views

urlpatterns = [
    path("instances/add/", views.add_instance, name="add-instance"),
    path("instances/paste/", views.paste_instances, name="paste-instances"),
    path("instances/import/", views.import_instances, name="import-instances"),
    path("instances/jump-hosts/", views.jump_hosts, name="jump-hosts"),
    path("instances/check/", views.check_instances, name="check-instances"),
    path("instances/test/", views.test_connections, name="test-connections"),
    path("instances/disable/", views.disable_instances, name="disable-instances"),
    path("instances/enable/", views.enable_instances, name="enable-instances"),
    path("instances/delete/", views.delete_instances, name="delete-instances"),
    path("instances/send/", views.send_to_instances, name="send-to-instances"),
    path("instances/<int:instance_id>/", views.instance, name="instance"),
    path("instances/<int:instance_id>/edit/", views.edit_instance, name="edit-instance"),
    path("instances/<int:instance_id>/check/", views.check_instances, name="check-instance"),
    path("instances/<int:instance_id>/disable/", views.disable_instances, name="disable-instance"),
    path("instances/<int:instance_id>/enable/", views.enable_instances, name="enable-instance"),
    path("instances/<int:instance_id>/delete/", views.delete_instances, name="delete-instance"),
    path("groups/", views.groups, name="groups"),
    path("groups/select/", views.select_group, name="select-group"),
    path("groups/<int:group_id>/", views.change_group, name="change-group"),
    path("groups/<int:group_id>/delete/", views.delete_group, name="delete-group"),
]
