"""Is there memory enough? Asked before much of it is taken."""

from pathlib import Path

import psutil

CGROUP = Path("/sys/fs/cgroup")
"""Where Linux says what a container may take."""
GIB = 2**30


def free_memory() -> int:
    """Bytes that this process could still take: of the machine, or of its container where that has less."""
    free = psutil.virtual_memory().available
    try:
        limit, used, listed = ((CGROUP / name).read_text() for name in ("memory.max", "memory.current", "memory.stat"))
    except OSError:  # no container, or an older kernel's
        return free
    if limit.strip() == "max":
        return free
    parts = dict(line.split() for line in listed.splitlines())
    files = int(parts.get("inactive_file", 0)) + int(parts.get("active_file", 0))  # copies that can be let go
    return min(free, max(int(limit) - int(used) + files, 0))


def require_memory(needed: int, what: str, remedy: str) -> None:
    """Check that ``needed`` bytes are free.

    Raises:
        ValueError: they are not; says what needs how much, and the remedy.
    """
    if needed > (free := free_memory()):
        raise ValueError(f"{what} need {needed / GIB:.1f} GiB of memory, {free / GIB:.1f} GiB are free: {remedy}")
