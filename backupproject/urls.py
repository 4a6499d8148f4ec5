"""Which address leads where."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("", include("syncapp.web.urls")),
    path("accounts/", include("accounts.urls")),
    path("admin/", admin.site.urls),
]
handler500 = "syncapp.web.views.errors.server_error"
