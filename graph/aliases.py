"""Maps the outputs of expanded nodes to the outputs that replace them."""

from dataclasses import dataclass, field

from graph.cache import Handle
from graph.prompt import Source


@dataclass
class Aliases:
    """Outputs by the outputs that were replaced by them. `given` are results that came along."""

    given: dict[str, Handle] = field(default_factory=dict)
    _to: dict[Source, Source] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self._to)

    def add(self, replaced: Source, by: Source) -> None:
        self._to[replaced] = by

    def of(self, link: Source) -> Source:
        """The output that stands for a link's, however many replaced each other."""
        way: list[Source] = []
        while link in self._to:
            way.append(link)
            link = self._to[link]
        for passed in way[:-1]:
            self._to[passed] = link
        return link
