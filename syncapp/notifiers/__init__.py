"""Notifiers by kind: where alerts go beside the dashboard. None is built in yet."""

KINDS: dict[str, str] = {}
