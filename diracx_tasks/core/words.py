"""How people are told durations, sizes and progress: alike on pages, in the command line, in sentences."""

UNITS = (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1))
BYTES = ("B", "kB", "MB", "GB", "TB")
KILO = 1000
MANY_MB, VERY_MANY_MB = 10_000, 1_000_000
# What is younger, or due sooner, is now.
NOW = 5


def span(seconds: float) -> str:
    """A duration in its two largest units, never rounded up; short ones with a part of a second."""
    for name, unit, inner, per in UNITS:
        if seconds >= unit:
            rest = int(seconds % unit // per)
            return f"{int(seconds // unit)} {name}" + (f" {rest} {inner}" if rest else "")
    if seconds >= 10 or seconds <= 0 or seconds == int(seconds):
        return f"{max(0, int(seconds))} s"
    digits = 1 if seconds >= 1 else 2
    return f"{int(seconds * 10**digits) / 10**digits:.{digits}f} s"


def about(seconds: float) -> str:
    """A duration in its largest unit."""
    return " ".join(span(int(seconds)).split()[:2])


def ago(seconds: float) -> str:
    """About how long ago something was, or in how long it will be."""
    if -NOW < seconds < NOW:
        return "just now"
    return f"{about(seconds)} ago" if seconds > 0 else f"in {about(-seconds)}"


def size(count: float) -> str:
    """Bytes, in the unit that makes the number short."""
    for unit in BYTES:
        # From here on three digits are those of the next unit.
        if abs(count) < KILO - 0.5:
            return f"{count:.0f} B" if unit == "B" else f"{count:.3g} {unit}"
        count /= KILO
    return f"{count:.3g} PB"


def size_of_mb(count: float) -> str:
    """Megabytes as jobs ask for them, of 1024 * 1024 bytes; of many larger units are made."""
    if count >= VERY_MANY_MB:
        return f"{count / 1024**2:.3g} TB"
    if count >= MANY_MB:
        return f"{count / 1024:.3g} GB"
    return f"{count:.0f} MB" if count >= 10 or count == int(count) else f"{count:.1f} MB"


def progress(done: int, total: int, reused: int = 0) -> str:
    """How many of so many are done, and how many of these were there already: `7/7 (6 reused)`."""
    return f"{done}/{total or '?'}" + (f" ({reused} reused)" if reused else "")
