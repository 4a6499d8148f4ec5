"""Forms of logging in and of the first administrator, with Bootstrap's classes on their inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from allauth.account.forms import ChangePasswordForm, LoginForm, ReauthenticateForm
from django import forms
from django.contrib.auth.forms import UserCreationForm

from accounts.models import User

if TYPE_CHECKING:
    _UserCreationForm = UserCreationForm[User]
else:
    _UserCreationForm = UserCreationForm


class BootstrapClasses:
    """Adds the class of each input, and the mark of those with an error."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Not `for … in self`: that fixes the labels, which subclasses still change.
        for field in self.fields.values():  # type: ignore[attr-defined]
            widget = field.widget
            box = isinstance(widget, forms.CheckboxInput)
            widget.attrs["class"] = "form-check-input" if box else "form-control"
            widget.attrs.pop("placeholder", None)  # the label says it and stays readable

    def full_clean(self) -> None:
        """Mark inputs in error, for the eye and for screen readers."""
        super().full_clean()  # type: ignore[misc]
        for name in self.errors:  # type: ignore[attr-defined]
            if name in self.fields:  # type: ignore[attr-defined]
                self.fields[name].widget.attrs["class"] += " is-invalid"  # type: ignore[attr-defined]


class LogInForm(BootstrapClasses, LoginForm):  # type: ignore[misc]
    """User name or email, and password."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["login"].label = "User name or email"
        self.fields["login"].widget.attrs |= {"autocomplete": "username", "autofocus": True}
        self.fields["remember"].label = "Keep me logged in"

    @property
    def no_administrator(self) -> bool:
        """Whether the first administrator is still to be made; nobody can log in before."""
        return not User.objects.filter(is_superuser=True).exists()


class PasswordForm(BootstrapClasses, ChangePasswordForm):  # type: ignore[misc]
    """The old password and the new one twice."""


class ConfirmForm(BootstrapClasses, ReauthenticateForm):  # type: ignore[misc]
    """The password again, before something delicate."""


class AdministratorForm(BootstrapClasses, _UserCreationForm):
    """The first administrator."""

    class Meta:
        model = User
        fields = ("username", "email")

    def save(self, commit: bool = True) -> User:
        """Make an administrator, not a plain user."""
        user = super().save(commit=False)
        user.is_staff = user.is_superuser = True
        if commit:
            user.save()
        return user
