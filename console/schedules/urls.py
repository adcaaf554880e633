"""URLs of schedules."""

from django.urls import path

from console.schedules import views

urlpatterns = [
    path("schedules/", views.schedules, name="schedules"),
    path("schedules/add/", views.add_schedule, name="add-schedule"),
    path("schedules/preview/", views.preview_schedule, name="preview-schedule"),
    path("schedules/<int:schedule_id>/", views.schedule, name="schedule"),
    path("schedules/<int:schedule_id>/edit/", views.edit_schedule, name="edit-schedule"),
    path("schedules/<int:schedule_id>/pause/", views.pause_schedule, name="pause-schedule"),
    path("schedules/<int:schedule_id>/resume/", views.resume_schedule, name="resume-schedule"),
    path("schedules/<int:schedule_id>/run/", views.run_schedule, name="run-schedule"),
    path("schedules/<int:schedule_id>/delete/", views.delete_schedule, name="delete-schedule"),
]
