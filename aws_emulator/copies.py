"""How long answers take where they share an accelerator, and who waits for whom.

SageMaker gives each copy of a base component accelerators of its own, so requests contend for the copies of one
component and for nothing else: adapters with the others of their base, another base on the same endpoint with nobody.
A copy answers so many requests at once, word by word; who finds all of them taken waits, in the order of arrival.
Nothing takes time until the control API says how fast a copy is.
"""

import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """Where a request is answered: which component or variant, by its ARN, and how many copies of it there are."""

    arn: str
    copies: int


@dataclass(frozen=True)
class CopySpeed:
    """How fast each request of a copy is answered (None: at once), and how many the copy takes at the same time."""

    words_per_second: float | None = None
    requests: int = 1


class Copies:
    """Who is being answered where, and who waits; safe to share between threads."""

    def __init__(self) -> None:
        self.speed = CopySpeed()
        self._turn = threading.Condition()
        self._answering: Counter[str] = Counter()
        self._waiting: dict[str, deque[object]] = {}

    @contextmanager
    def taken(self, place: Place) -> Iterator[None]:
        """Have one of the place's requests, as soon as it is this one's turn."""
        speed = self.speed
        if speed.words_per_second is None:
            yield
            return
        me, most = object(), place.copies * speed.requests
        with self._turn:
            queue = self._waiting.setdefault(place.arn, deque())
            queue.append(me)
            while queue[0] is not me or self._answering[place.arn] >= most:
                self._turn.wait()
            queue.popleft()
            self._answering[place.arn] += 1
            self._turn.notify_all()
        try:
            yield
        finally:
            with self._turn:
                self._answering[place.arn] -= 1
                self._turn.notify_all()

    def say(self, words: int) -> None:
        """Take as long as a copy takes for so many words."""
        rate = self.speed.words_per_second
        if rate is not None:
            time.sleep(words / rate)
