"""Addresses of logging in and of Google accounts.

allauth's own list is not included: it would open sign-up, email, password-by-mail and token pages
that this product does not have. Those in use stand here under allauth's names.
"""

from allauth.account import views as allauth_account
from allauth.socialaccount import views as allauth_social
from django.urls import path
from django.views.generic import RedirectView

from accounts import views

_to_list = RedirectView.as_view(pattern_name="google_accounts")

urlpatterns = [
    path("login/", allauth_account.login, name="account_login"),
    path("logout/", allauth_account.logout, name="account_logout"),
    path("inactive/", allauth_account.account_inactive, name="account_inactive"),
    path("reauthenticate/", allauth_account.reauthenticate, name="account_reauthenticate"),
    path("password/change/", allauth_account.password_change, name="account_change_password"),
    path("setup/<str:token>/", views.first_administrator, name="account_setup"),
    path("google/", views.google_accounts, name="google_accounts"),
    path("google/<int:account_id>/unlink/", views.google_unlink, name="google_unlink"),
    path("google/<int:account_id>/write/", views.google_write, name="google_write"),
    path("google/login/", views.google_connect, name="google_login"),
    path("google/login/callback/", views.google_callback, name="google_callback"),
    path("3rdparty/", _to_list, name="socialaccount_connections"),
    path(
        "3rdparty/login/cancelled/",
        allauth_social.login_cancelled,
        name="socialaccount_login_cancelled",
    ),
    path("3rdparty/login/error/", allauth_social.login_error, name="socialaccount_login_error"),
]
