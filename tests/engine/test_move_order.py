"""Copies change their keys without ever writing over one another."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from syncapp.engine.move_order import Holder, Order, Step, Wish


def wish(copy_id: int, here: str, there: str) -> Wish:
    return Wish(copy_id, here, there, f"{there} ~{copy_id}")


class Store:
    """Objects by key; refuses what would lose one."""

    def __init__(self, objects: dict[str, int], *, folds: bool = False) -> None:
        self.form = str.casefold if folds else str
        self.objects = {self.form(key): copy_id for key, copy_id in objects.items()}
        self.steps: list[Step] = []

    def make(self, step: Step) -> None:
        assert self.objects[self.form(step.here)] == step.copy_id
        assert self.form(step.to) not in self.objects, f"{step} writes over another"
        self.objects[self.form(step.to)] = self.objects.pop(self.form(step.here))
        self.steps.append(step)

    def follow(self, order: Order) -> None:
        while steps := order.wave():
            for step in steps:
                self.make(step)
            for step in steps:
                order.done(step, freed=True)


def test_a_chain_goes_from_its_end() -> None:
    store = Store({"a": 1, "b": 2, "c": 3})
    store.follow(Order([wish(1, "a", "b"), wish(2, "b", "c"), wish(3, "c", "d")], {}))
    assert store.objects == {"b": 1, "c": 2, "d": 3}
    assert len(store.steps) == 3


def test_two_that_swap_end_with_both_right() -> None:
    store = Store({"a": 1, "b": 2})
    store.follow(Order([wish(1, "a", "b"), wish(2, "b", "a")], {}))
    assert store.objects == {"b": 1, "a": 2}
    assert len(store.steps) == 3


def test_a_copy_lies_beside_one_that_stays() -> None:
    store = Store({"a": 1, "b": 2})
    order = Order([wish(1, "a", "b")], {"b": Holder(2)})
    store.follow(order)
    assert store.objects == {"b ~1": 1, "b": 2}
    assert not order.unfulfilled
    again = Order([wish(1, "b ~1", "b")], {"b": Holder(2)})
    assert again.wave() == []
    assert not again.unfulfilled


def test_a_key_whose_holder_leaves_later_is_waited_for_beside_it() -> None:
    store = Store({"a": 1, "b": 2})
    order = Order([wish(1, "a", "b")], {"b": Holder(2, leaves=True)})
    store.follow(order)
    assert store.objects == {"b ~1": 1, "b": 2}
    assert order.unfulfilled == {1}


def test_another_spelling_of_a_name_goes_by_a_third_where_case_is_not_told_apart() -> None:
    store = Store({"A.txt": 1}, folds=True)
    store.follow(Order([wish(1, "A.txt", "a.txt")], {}, str.casefold))
    assert [step.to for step in store.steps] == ["a.txt ~1", "a.txt"]


def test_nobody_takes_the_key_of_one_that_could_not_be_moved() -> None:
    order = Order([wish(1, "a", "b"), wish(2, "b", "c")], {})
    (step,) = order.wave()
    assert step.copy_id == 2
    order.failed(step)
    store = Store({"a": 1, "b": 2})
    store.follow(order)
    assert store.objects["b"] == 2


def test_a_key_that_could_not_be_freed_is_not_taken() -> None:
    order = Order([wish(1, "a", "b"), wish(2, "b", "c")], {})
    (step,) = order.wave()
    order.done(step, freed=False)
    store = Store({"a": 1, "b": 99, "c": 2})
    store.follow(order)
    assert store.objects["b"] == 99


@given(st.permutations(range(12)), st.integers(0, 12))
def test_any_renaming_ends_as_wished(names: list[int], how_many: int) -> None:
    """Whoever is not renamed stays, and keeps its key."""
    wishes = [
        wish(pk, f"k{pk}", f"k{name}") for pk, name in enumerate(names[:how_many]) if pk != name
    ]
    movers = {w.copy_id for w in wishes}
    held = {f"k{pk}": Holder(pk) for pk in range(12) if pk not in movers}
    store = Store({f"k{pk}": pk for pk in range(12)})
    order = Order(wishes, held)
    store.follow(order)
    assert not order.unfulfilled
    at = {pk: key for key, pk in store.objects.items()}
    assert len(at) == 12
    for one in wishes:
        stays = one.there in held
        assert at[one.copy_id] == (one.aside if stays else one.there)
