"""How much memory there is for this process: a container or a batch system may grant less than the machine has."""

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path, PurePosixPath

SHARE = "PHONAX_MEMORY_BYTES"  # of several processes of one run, in the environment of each
# By version of Linux's control groups: where their folders lie, and the file that holds the limit of one.
_GROUPS = {1: ("sys/fs/cgroup/memory", "memory.limit_in_bytes"), 2: ("sys/fs/cgroup", "memory.max")}


@cache
def memory_bytes(root: Path = Path("/")) -> int:
    """Bytes that this process may use: the machine's, or its control group's, or its share where that is less.

    Args:
        root: folder that holds `proc` and `sys`.
    """
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    share = os.environ.get(SHARE, "")
    return min([machine, *_limits(root), *([int(share)] if share.isdecimal() else [])])


def _limits(root: Path) -> Iterator[int]:
    """Limits of the groups that this process is in, those that hold its own among them; none but on Linux."""
    try:
        memberships = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in memberships:
        _, controllers, group = line.split(":", 2)
        version = 1 if "memory" in controllers.split(",") else 2
        if version == 2 and controllers:
            continue  # of version 1, and not about memory
        folder, name = _GROUPS[version]
        own = PurePosixPath(group.lstrip("/"))
        # A container may see its own group as the root, though its path is told as the machine sees it.
        for place in (own, *own.parents):
            try:
                limit = (root / folder / place / name).read_text().strip()
            except OSError:
                continue
            if limit.isdecimal():  # "max" is no limit
                yield int(limit)
