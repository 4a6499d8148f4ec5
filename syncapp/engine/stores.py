"""The destinations that a lane serves: each behind its gate, minus those that are stopped."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from syncapp.destinations.base import Destination as Store
from syncapp.engine import limits, settle
from syncapp.engine.adapters import destination_for
from syncapp.engine.breakers import Breakers, destination_key
from syncapp.engine.gate import Gate
from syncapp.errors import ConfigurationError
from syncapp.models import Destination, Run


class Stores:
    """Used by the lane's thread only; the gates themselves by any."""

    def __init__(self, run: Run, breakers: Breakers, stopped: limits.Stopped) -> None:
        self._run, self._breakers, self._stopped = run, breakers, stopped
        self._gates: dict[int, Gate] = {}
        for row in run.source.destinations.filter(enabled=True, blocked_code=""):
            self._open(row)

    def __iter__(self) -> Iterator[int]:
        return iter(list(self._gates))

    def __contains__(self, destination_id: int) -> bool:
        return destination_id in self._gates

    def __bool__(self) -> bool:
        return bool(self._gates)

    def up(self, *also: int) -> dict[int, Store]:
        """Those that are not let alone just now, and those named."""
        down = self._breakers.down().difference(also)
        return {pk: gate.store for pk, gate in self._gates.items() if pk not in down}

    def drop(self, destination_id: int) -> None:
        """A person has to act before it is served again."""
        self._gates.pop(destination_id, None)

    def renew(self, destination_id: int) -> bool:
        """Before a try: with the settings and certificates of now. False if they are wrong."""
        return self._open(Destination.objects.get(pk=destination_id))

    def _open(self, row: Destination) -> bool:
        try:
            store = destination_for(row)
        except ConfigurationError as error:
            settle.block_destination(row.pk, error, self._run)
            self.drop(row.pk)
            return False
        if gate := self._gates.get(row.pk):
            gate.renew(store)
        else:
            check = partial(self._breakers.check, destination_key(row.pk))
            self._gates[row.pk] = Gate(store, check, limits.writing(row.pk, self._stopped))
        return True
