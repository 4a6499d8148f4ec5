"""In which order copies change their keys, so that none is ever written over another. Pure.

A copy may go to a key only when nobody holds it. Chains (a → b → c) go from their end; in a cycle
(two files that swapped names) one member steps aside first. Where a key's holder stays for good,
the copy lies beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wish:
    """A copy that is to lie under `there`, or under its own key `aside` beside it."""

    copy_id: int
    here: str
    there: str
    aside: str


@dataclass(frozen=True, slots=True)
class Step:
    """One move that may be made now; after the `last` one the wish is fulfilled."""

    copy_id: int
    here: str
    to: str
    last: bool


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a key: a copy of the wishes, or another; `leaves` if that one is to move later."""

    copy_id: int
    leaves: bool = False


class Order:
    """The moves of one destination. `form` makes keys equal that the store can't tell apart."""

    def __init__(
        self,
        wishes: Iterable[Wish],
        held: Mapping[str, Holder],
        form: Callable[[str], str] = lambda key: key,
    ) -> None:
        self._form = form
        self._waiting = {wish.copy_id: wish for wish in wishes}
        self._here = {wish.copy_id: wish.here for wish in self._waiting.values()}
        self._held = {form(key): holder for key, holder in held.items()}
        self._held |= {form(here): Holder(pk) for pk, here in self._here.items()}
        self.unfulfilled: set[int] = set()  # for want of a free key; another pass may do it

    def wave(self) -> list[Step]:
        """Moves that can be made side by side now; empty when there is nothing left to do."""
        steps = [step for wish in list(self._waiting.values()) if (step := self._next(wish))]
        if not steps:
            steps = self._break_cycles()
        if not steps:
            self.unfulfilled |= self._waiting.keys()
            self._waiting.clear()
        return steps

    def done(self, step: Step, *, freed: bool) -> None:
        """The step was made; `freed` if nothing lies under the key that it left."""
        if freed:
            self._held.pop(self._form(step.here), None)
        self._held[self._form(step.to)] = Holder(step.copy_id)
        self._here[step.copy_id] = step.to
        if step.last:
            self._waiting.pop(step.copy_id, None)

    def failed(self, step: Step) -> None:
        """It was not made: the copy stays where it is, and whoever waits for its key waits on."""
        self._waiting.pop(step.copy_id, None)
        self._held[self._form(step.to)] = Holder(step.copy_id, leaves=True)
        self._held[self._form(step.here)] = Holder(step.copy_id, leaves=True)

    def _next(self, wish: Wish) -> Step | None:
        here = self._here[wish.copy_id]
        holder = self._held.get(self._form(wish.there))
        if holder is None:
            return self._step(wish, here, wish.there, last=True)
        if holder.copy_id in self._waiting:
            return None
        if here == wish.aside or self._form(wish.aside) in self._held:
            if here == wish.aside and not holder.leaves:
                self._waiting.pop(wish.copy_id)
            return None
        return self._step(wish, here, wish.aside, last=not holder.leaves)

    def _step(self, wish: Wish, here: str, to: str, *, last: bool) -> Step:
        self._held[self._form(to)] = Holder(wish.copy_id)
        return Step(wish.copy_id, here, to, last)

    def _break_cycles(self) -> list[Step]:
        """One member of each cycle steps aside."""
        steps, seen = [], set[int]()
        for start in self._waiting:
            trail = list[int]()
            at: int | None = start
            while at is not None and at not in seen:
                seen.add(at)
                trail.append(at)
                at = self._blocker(at)
            if at in trail:
                wish = self._waiting[at]
                if self._form(wish.aside) not in self._held:
                    steps.append(self._step(wish, self._here[at], wish.aside, last=False))
        return steps

    def _blocker(self, copy_id: int) -> int | None:
        holder = self._held.get(self._form(self._waiting[copy_id].there))
        return holder.copy_id if holder and holder.copy_id in self._waiting else None
