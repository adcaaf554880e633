"""URLs of the demo fleet."""

from django.urls import path

from console.demo import views

urlpatterns = [path("demo/remove/", views.remove_demo, name="remove-demo")]
