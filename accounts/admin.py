"""Administration of people; of Google accounts their state, never a token.

allauth's own pages are taken away: they show tokens and client secrets, and deleting there would
skip the revocation. Logging in to the administration goes through the throttled log-in page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from allauth.account.decorators import secure_admin_login
from allauth.account.models import EmailAddress
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.db.models import QuerySet
from django.http import HttpRequest

from accounts.models import GoogleAccount, User
from accounts.tokens import require_reconnect

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[GoogleAccount]
else:
    _ModelAdmin = admin.ModelAdmin

for _model in (EmailAddress, SocialAccount, SocialApp, SocialToken):
    if admin.site.is_registered(_model):
        admin.site.unregister(_model)
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]
admin.site.register(User, UserAdmin)


@admin.register(GoogleAccount)
class GoogleAccountAdmin(_ModelAdmin):
    """To look at; linking and unlinking is for the account's owner."""

    list_display = ("email", "user", "state", "linked_at", "refreshed_at")
    list_filter = ("state",)
    search_fields = ("email", "name", "user__username")
    list_select_related = ("user",)
    fields = (
        *("user", "email", "name", "uid", "scopes", "state", "state_reason"),
        *("linked_at", "refreshed_at", "expires_at"),
    )
    readonly_fields = fields
    actions = ("mark_for_reconnect",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Google accounts come from Google's consent page."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Unlinking also revokes; deleting would not."""
        return False

    @admin.action(description="Ask for a new consent", permissions=["change"])
    def mark_for_reconnect(self, request: HttpRequest, queryset: QuerySet[GoogleAccount]) -> None:
        """Stop the accounts until their owners reconnect them."""
        for account in queryset:
            require_reconnect(
                account.pk, "An administrator asked for a new consent: press Reconnect."
            )
        self.message_user(request, f"{len(queryset)} accounts wait for their owners.")
