"""The administrators' view of everybody's rows: set-up may be changed, history only read.

What is done here is kept as an Event of the owner. Must not render a secret.
"""

from django.contrib import admin
from django_eventstream import models as live
from django_q.models import Schedule

from syncapp.admin import (
    catalog,
    erasure,
    history,
    limits,
    policy,
    proof,
    recovery,
    restore,
    setup,
)

__all__ = [
    "catalog",
    "erasure",
    "history",
    "limits",
    "policy",
    "proof",
    "recovery",
    "restore",
    "setup",
]

admin.site.site_header = "Backup: administration"
admin.site.site_title = "Backup"
admin.site.index_title = "Everybody's sources, destinations and history"
admin.site.site_url = "/"
admin.site.enable_nav_sidebar = False  # lists are wide; the index is one step away
# Live messages pass through and are trimmed: there is nothing to look at or to change. Schedules of
# the queue would run whatever function is named; sources have their own.
for model in (live.Event, live.EventCounter, Schedule):
    if admin.site.is_registered(model):
        admin.site.unregister(model)
