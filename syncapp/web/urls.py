"""Addresses of the dashboard."""

from django.templatetags.static import static
from django.urls import path
from django.utils.functional import lazy
from django.views.generic import RedirectView

from syncapp.web import events
from syncapp.web.views import (
    archive,
    dashboard,
    destinations,
    erasures,
    files,
    health,
    history,
    hooks,
    policies,
    preview,
    proof,
    restores,
    sources,
)

# The hashed name of a static file is known only once they are collected.
_icon = lazy(static, str)("app/favicon.svg")

urlpatterns = [
    path("favicon.ico", RedirectView.as_view(url=_icon)),
    path("", dashboard.dashboard, name="dashboard"),
    path("failures/", dashboard.failures, name="failures"),
    path("refused/", dashboard.refusals, name="refused"),
    path("failures/retry/", sources.retry_all, name="retry_all"),
    path("alerts/<int:event_id>/acknowledge/", dashboard.acknowledge, name="acknowledge"),
    path("events/", events.stream, name="events"),
    path("healthz", health.healthz, name="healthz"),
    path("healthz/worker", health.worker, name="healthz_worker"),
    path("hooks/google-drive/", hooks.google_drive, name="google_drive_push"),
    path("files/", files.files, name="files"),
    path("search/", files.search, name="search"),
    path("log/", history.log, name="log"),
    path("runs/<int:run_id>/", history.run, name="run"),
    path("runs/<int:run_id>/cancel/", history.cancel, name="run_cancel"),
    path("sources/setup/<int:account_id>/", sources.setup, name="source_setup"),
    path("sources/<int:source_id>/edit/", sources.edit, name="source_edit"),
    path("sources/<int:source_id>/backup/", sources.backup, name="source_backup"),
    path("sources/<int:source_id>/verify/", sources.verify, name="source_verify"),
    path("sources/<int:source_id>/pause/", sources.pause, name="source_pause"),
    path("sources/<int:source_id>/resume/", sources.resume, name="source_resume"),
    path("sources/<int:source_id>/approve/", sources.approve, name="source_approve"),
    path("sources/<int:source_id>/retry/", sources.retry, name="source_retry"),
    path("sources/<int:source_id>/files/", files.source_files, name="source_files"),
    path("sources/<int:source_id>/files/<int:file_id>/", files.file, name="file"),
    path("sources/<int:source_id>/download/", archive.archive, name="archive"),
    path(
        "sources/<int:source_id>/files/<int:file_id>/versions/<int:version_id>/download/",
        archive.version,
        name="version_download",
    ),
    path(
        "sources/<int:source_id>/files/<int:file_id>/versions/<int:version_id>/",
        preview.page,
        name="preview",
    ),
    path(
        "sources/<int:source_id>/files/<int:file_id>/versions/<int:version_id>/raw/",
        preview.raw,
        name="version_raw",
    ),
    path("sources/<int:source_id>/proof/", proof.proof, name="source_proof"),
    path("sources/<int:source_id>/proof/drill/", proof.drill, name="source_drill"),
    path("sources/<int:source_id>/proof/pin/", proof.pin, name="source_pin"),
    path("sources/<int:source_id>/proof/leave/", proof.leave, name="source_leave"),
    path("sources/<int:source_id>/proof/unpin/", proof.unpin, name="source_unpin"),
    path("policy/", policies.default, name="policy"),
    path("sources/<int:source_id>/policy/", policies.of_source, name="source_policy"),
    path("sources/<int:source_id>/prune/", policies.prune, name="source_prune"),
    path("erase/", erasures.erase, name="erase"),
    path("erasures/", erasures.erasures, name="erasures"),
    path("erasures/<int:erasure_id>/", erasures.erasure, name="erasure"),
    path("erasures/<int:erasure_id>/resume/", erasures.resume, name="erasure_resume"),
    path("erasures/<int:erasure_id>/report/", erasures.report, name="erasure_report"),
    path("restore/", restores.wizard, name="restore"),
    path("restore/check/", restores.check, name="restore_check"),
    path("restore/start/", restores.start, name="restore_start"),
    path("restores/", restores.restores, name="restores"),
    path("restores/<int:run_id>/", restores.run, name="restore_run"),
    path("restores/<int:run_id>/pause/", restores.pause, name="restore_pause"),
    path("restores/<int:run_id>/resume/", restores.resume, name="restore_resume"),
    path("restores/<int:run_id>/retry/", restores.retry, name="restore_retry"),
    path("restores/<int:run_id>/report/", restores.report, name="restore_report"),
    path(
        "sources/<int:source_id>/files/<int:file_id>/restore/", restores.back, name="restore_back"
    ),
    path("destinations/add/", destinations.choose_kind, name="destination_kinds"),
    path("destinations/add/<slug:kind>/", destinations.add, name="destination_add"),
    path("destinations/<int:destination_id>/", destinations.show, name="destination"),
    path("destinations/<int:destination_id>/edit/", destinations.edit, name="destination_edit"),
    path("destinations/<int:destination_id>/test/", destinations.test, name="destination_test"),
    path(
        "destinations/<int:destination_id>/switch/", destinations.switch, name="destination_switch"
    ),
    path(
        "destinations/<int:destination_id>/remove/", destinations.remove, name="destination_remove"
    ),
]
