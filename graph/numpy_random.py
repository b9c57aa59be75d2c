"""NumPy's default random numbers (PCG64, seeded by SeedSequence), for what has no NumPy.

O'Neill, "PCG: a family of simple fast space-efficient statistically good algorithms", 2014; NumPy's
documentation of SeedSequence and Generator. Prompts that are drawn by a seed must be those that
other services draw.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, cycle, islice
from typing import TypeVar

Item = TypeVar("Item")
WORD, LONG, WIDE = 2**32 - 1, 2**64 - 1, 2**128 - 1
POOL = 4
MULTIPLIER = 0x2360ED051FC65DA44385DF649FCCF645


def _hashed(words: Iterator[int], constant: int, multiplier: int) -> Iterator[int]:
    """Words, each mixed with a constant that goes on from word to word."""
    for word in words:
        mixed = word ^ constant
        constant = constant * multiplier & WORD
        mixed = mixed * constant & WORD
        yield mixed ^ mixed >> 16


def _seeded(seed: int) -> tuple[int, int]:
    """State and sequence of PCG64."""
    entropy = [seed >> shift & WORD for shift in range(0, max(seed.bit_length(), 1), 32)]
    constants = _Constants()
    pool = [constants.hashed(entropy[k] if k < len(entropy) else 0) for k in range(POOL)]
    for source in range(POOL):
        for target in range(POOL):
            if source != target:
                pool[target] = _mixed(pool[target], constants.hashed(pool[source]))
    for word in entropy[POOL:]:
        for target in range(POOL):
            pool[target] = _mixed(pool[target], constants.hashed(word))
    words = list(_hashed(islice(cycle(pool), 8), 0x8B51F9DD, 0x58F38DED))
    longs = [words[k] | words[k + 1] << 32 for k in range(0, 8, 2)]
    return longs[0] << 64 | longs[1], longs[2] << 64 | longs[3]


@dataclass
class _Constants:
    value: int = 0x43B0D7E5

    def hashed(self, word: int) -> int:
        mixed = word ^ self.value
        self.value = self.value * 0x931E8875 & WORD
        mixed = mixed * self.value & WORD
        return mixed ^ mixed >> 16


def _mixed(first: int, second: int) -> int:
    mixed = (0xCA01F9DD * first - 0x4973F715 * second) & WORD
    return mixed ^ mixed >> 16


@dataclass
class NumpyRandom:
    """Draws what `numpy.random.default_rng(seed)` draws."""

    seed: int
    _state: int = field(init=False)
    _increment: int = field(init=False)
    _half: int | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        start, sequence = _seeded(self.seed)
        self._increment = (sequence << 1 | 1) & WIDE
        self._state = (self._increment + start) * MULTIPLIER + self._increment & WIDE

    def _long(self) -> int:
        self._state = self._state * MULTIPLIER + self._increment & WIDE
        turned, value = self._state >> 122, (self._state >> 64 ^ self._state) & LONG
        return (value >> turned | value << (-turned & 63)) & LONG

    def _word(self) -> int:
        if self._half is not None:
            word, self._half = self._half, None
            return word
        value = self._long()
        self._half = value >> 32
        return value & WORD

    def random(self) -> float:
        """A number of 0..1, without 1."""
        return (self._long() >> 11) * 2.0**-53

    def integer(self, count: int) -> int:
        """A whole number below `count`, which is below 2**32 (Lemire 2019)."""
        if count == 1:
            return 0
        product = self._word() * count
        least = (2**32 - count) % count
        while product & WORD < least:
            product = self._word() * count
        return product >> 32

    def choice(self, items: Sequence[Item]) -> Item:
        """One of them, all as likely."""
        return items[self.integer(len(items))]

    def choices(self, items: Sequence[Item], weights: Sequence[float], count: int) -> list[Item]:
        """Some of them, by weight, none twice. At least `count` weights must be above 0."""
        left, found = list(weights), list[int]()
        while len(found) < count:
            drawn = [self.random() for _ in range(count - len(found))]
            for index in found:
                left[index] = 0.0
            sums = list(accumulate(left))
            shares = [one / sums[-1] for one in sums]
            found += dict.fromkeys(bisect_right(shares, one) for one in drawn)
        return [items[index] for index in found]

    def shuffled(self, items: Sequence[Item]) -> list[Item]:
        """All of them, in another order."""
        result = list(items)
        for k in range(len(result) - 1, 0, -1):
            mask = 2 ** k.bit_length() - 1
            while (other := self._word() & mask) > k:
                pass
            result[k], result[other] = result[other], result[k]
        return result
