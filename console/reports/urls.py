"""URLs of exports, comparisons, charts and retention."""

from django.urls import path

from console.reports import views

urlpatterns = [
    path("runs/export.csv", views.history_csv, name="history-csv"),
    path("runs/export.json", views.history_json, name="history-json"),
    path("runs/<int:run_id>/export.csv", views.run_csv, name="run-csv"),
    path("runs/<int:run_id>/export.json", views.run_json, name="run-json"),
    path("runs/<int:run_id>/export.zip", views.run_zip, name="run-zip"),
    path("runs/<int:run_id>/compare/", views.run_compare, name="run-compare"),
    path("runs/<int:run_id>/report/", views.run_report, name="run-report"),
    path("saved/<int:saved_id>/history/", views.saved_history, name="saved-history"),
    path("retention/", views.retention_rules, name="retention"),
    path("retention/keep/", views.keep_runs, name="keep-runs"),
]
