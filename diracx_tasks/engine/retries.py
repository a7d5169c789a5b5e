"""How a failed task is tried again."""

import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Backoff:
    """Exponential with jitter: `times` more tries, the n-th within first * 2^(n-1) seconds, at most `cap`."""

    first: float = 2
    times: int = 5
    cap: float = 300

    def pause(self, tries: int) -> float | None:
        """Seconds before the next try after `tries` failed ones; None when there is none left."""
        if tries > self.times:
            return None
        longest = min(self.cap, self.first * 2.0 ** (tries - 1))
        # Not below half: a server that just failed should not be asked again at once.
        return longest * random.uniform(0.5, 1)
