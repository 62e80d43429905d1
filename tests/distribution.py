"""Which worker of pytest-xdist runs which tests."""

from collections.abc import Sequence
from typing import Any

from xdist.scheduler import LoadGroupScheduling


class Names(list[str]):
    """The names of all tests, in which `index` looks a name up instead of searching it."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(names)
        self.places = {name: place for place, name in enumerate(names)}

    def index(self, name: str, *bounds: Any) -> int:
        return self.places[name]


class FunctionScheduling(LoadGroupScheduling):
    """All rows of a test function, or of an `xdist_group`, go to one worker, in the order of collection.

    xdist's own `loadgroup` hands out test by test. For each it searches the list of all tests and counts all that it
    handed out before: with forty thousand tests this takes minutes, in which the workers wait.
    """

    def _split_scope(self, nodeid: str) -> str:
        scope = super()._split_scope(nodeid)
        return nodeid.split("[", 1)[0] if scope == nodeid else scope

    def add_node_collection(self, node: Any, collection: Sequence[str]) -> None:
        super().add_node_collection(node, collection)
        if node in self.registered_collections:
            self.registered_collections[node] = Names(collection)

    def mark_test_complete(self, node: Any, item_index: int, duration: float = 0) -> None:
        super().mark_test_complete(node, item_index, duration)
        scope = self._split_scope(self.registered_collections[node][item_index])
        if all(self.assigned_work[node][scope].values()):
            del self.assigned_work[node][scope]  # nobody counts it again
