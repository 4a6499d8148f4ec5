"""Damage that nothing can mend, told from damage that the product should have mended.

A version that was replaced in Drive before it was stored everywhere (SUPERSEDED) has one copy. If
the sink rotted it on its way in, behind an ETag that hides it, no second copy was ever there and
Google has other bytes by now: all that can be asked is that a verification finds it and says so.
The sink's own record is the witness, and the other store must not have the bytes anywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import connection

from tests.chaos.servers import Servers

if TYPE_CHECKING:
    from syncapp.models import Run

DAMAGED = """
SELECT v.sha256, v.current, v.state, d.name,
(SELECT count(*) FROM syncapp_finding g WHERE g.copy_id = c.id AND g.healed_at IS NULL)
FROM syncapp_copy c JOIN syncapp_version v ON v.id = c.version_id
JOIN syncapp_destination d ON d.id = c.destination_id WHERE c.state = 'damaged'
"""
ALERTS = """
SELECT count(*) FROM syncapp_event
WHERE code = 'copies_lost' AND level = 'alert' AND acknowledged_at IS NULL
"""


def told_as_lost(check: Run, servers: Servers) -> int:
    """How many copies the verification rightly told as lost; 0 if that is not all that it told."""
    if (check.outcome, check.error_code) != ("failed", "copies_damaged"):
        return 0
    with connection.cursor() as cursor:
        cursor.execute(ALERTS)
        alerted = cursor.fetchone()[0]
        cursor.execute(DAMAGED)
        rows = cursor.fetchall()
    rotted, elsewhere = servers.sink.rotted(), servers.disk.digests()
    for sha256, current, state, place, findings in rows:
        lone = not current and state == "superseded" and sha256 not in elsewhere
        if not (alerted and findings and lone and place == "sink" and sha256 in rotted):
            return 0
    return len(rows)
