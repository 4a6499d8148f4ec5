"""Whole numbers that a person chooses, each with the least and the most it may be.

Forms, the administration and commands refuse what lies outside. A row from before there were bounds
is read as the nearest number within them, so nobody reckons with a time that no calendar has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

if TYPE_CHECKING:
    _PositiveIntegerField = models.PositiveIntegerField[Any, Any]
else:
    _PositiveIntegerField = models.PositiveIntegerField

DAYS = 36_500  # a century: no date that is reckoned with it leaves the calendar


class BoundedField(_PositiveIntegerField):
    """A number from `least` to `most`."""

    def __init__(self, *args: Any, most: int, least: int = 0, **kwargs: Any) -> None:
        self.least, self.most = least, most
        super().__init__(*args, **kwargs)
        self.default_validators = [MinValueValidator(least), MaxValueValidator(most)]

    def nearest(self, number: int) -> int:
        """The number itself, if it is within the bounds."""
        return min(max(number, self.least), self.most)

    def from_db_value(self, value: int | None, expression: Any, connection: Any) -> int | None:
        """What holds of a number that is stored."""
        return None if value is None else self.nearest(value)

    def formfield(self, *args: Any, **kwargs: Any) -> Any:
        """The browser knows the bounds, too."""
        return super().formfield(*args, min_value=self.least, max_value=self.most, **kwargs)

    def deconstruct(self) -> Any:
        """For migrations."""
        name, path, args, kwargs = super().deconstruct()
        return name, path, args, {**kwargs, "least": self.least, "most": self.most}
