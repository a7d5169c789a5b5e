"""Texts that grow at their ends and are seen through a window: what is new of them."""

PROBE = 64
CUT = 4


def new_of(old: str, new: str) -> str:
    """What `new` has more than `old`, both ends of one growing text; all of it if they do not meet."""
    return new[_overlap(old, new) :]


def _overlap(old: str, new: str) -> int:
    """How many characters at the beginning of `new` are at the end of `old`."""
    if new.startswith(old):
        return len(old)
    # The first characters may be the rest of one that was cut in two.
    probe, at = new[CUT : CUT + PROBE], -1
    while probe and (at := old.find(probe, at + 1)) >= 0:
        if new.startswith(old[at:], CUT):
            return CUT + len(old) - at
    return 0
