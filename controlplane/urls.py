"""The two front doors, and the health page."""

from django.urls import include, path

from api.unknown import UnknownAddress, explain_problem
from controlplane import health

urlpatterns = [
    path("health/live", health.live, name="health-live"),
    path("health/ready", health.ready, name="health-ready"),
    path("api/v1/", include("api.urls")),
    path("api/<path:rest>", UnknownAddress.as_view()),
    path("problems/<slug:code>", explain_problem, name="problem"),
    path("", include("dashboard.urls")),
]

handler400 = "dashboard.errors.bad_request"
handler403 = "dashboard.errors.permission_denied"
handler404 = "dashboard.errors.page_not_found"
handler500 = "dashboard.errors.server_error"
