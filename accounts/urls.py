"""Addresses of account linking."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
