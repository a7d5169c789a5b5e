"""How a failed task is tried again."""

import random
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Backoff:
    """Exponential with jitter: `times` more tries, the n-th within first * 2^(n-1) seconds, at most `cap`.

    `never` are exceptions that no other try can cure; `only`, when given, are those that are tried again.
    `by_class` gives some exceptions a backoff of their own: the most specific class counts.
    """

    first: float = 2
    times: int = 8
    cap: float = 300
    never: tuple[type[BaseException], ...] = ()
    only: tuple[type[BaseException], ...] = (Exception,)
    by_class: dict[type[BaseException], "Backoff"] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        """Refuse what makes no sense; ValueError says what."""
        if self.first <= 0 or self.cap <= 0 or not 0 <= self.times <= 1000:
            raise ValueError(f"a backoff needs first and cap above 0 and times from 0 to 1000: {self}")

    def pause(self, tries: int, error: BaseException | None = None) -> float | None:
        """Seconds before the next try after `tries` failed ones; None when there is none left."""
        chosen = self.of(error) if error is not None else self
        if tries > chosen.times or (error is not None and not chosen.cures(error)):
            return None
        longest = min(chosen.cap, chosen.first * 2.0 ** (tries - 1))
        # Not below half: a server that just failed should not be asked again at once.
        return longest * random.uniform(0.5, 1)

    def of(self, error: BaseException) -> "Backoff":
        """The backoff that holds for an exception."""
        for kind in type(error).__mro__:
            if kind in self.by_class:
                return self.by_class[kind]
        return self

    def cures(self, error: BaseException) -> bool:
        """Whether another try may help."""
        return isinstance(error, self.only) and not isinstance(error, self.never)
