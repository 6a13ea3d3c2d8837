"""What a container is granted counts as its memory, whatever the machine has."""

import os

import pytest

from ase_phonax.base.memory import SHARE, memory_bytes
from ase_phonax.derivatives.compiled import devices

MACHINE = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
MANY, FEW = 512 * 2**20, 64 * 2**20
# What limits, the groups of the process, files of the groups, and what follows.
MACHINES = {
    "nothing but the machine": ("", {}, MACHINE),
    "a container of version 2 that sees itself as the root": ("0::/\n", {"memory.max": f"{FEW}\n"}, FEW),
    "a job of a batch system, by a group that holds its own": (
        "0::/slurm/job_7/step_0\n",
        {"slurm/job_7/memory.max": f"{FEW}\n", "slurm/job_7/step_0/memory.max": "max\n"},
        FEW,
    ),
    "the least of several": (
        "0::/outer/inner\n",
        {"memory.max": f"{MACHINE}", "outer/memory.max": f"{FEW}", "outer/inner/memory.max": f"{MANY}"},
        FEW,
    ),
    "no limit in version 2": ("0::/user.slice\n", {"user.slice/memory.max": "max\n"}, MACHINE),
    "version 1": (
        "12:cpu,cpuacct:/a\n5:memory:/docker/b\n0::/system.slice\n",
        {"memory/docker/b/memory.limit_in_bytes": f"{FEW}\n", "a/memory.max": "1\n"},
        FEW,
    ),
    "a container of version 1, told the path that the machine sees": (
        "5:memory:/docker/b\n",
        {"memory/memory.limit_in_bytes": f"{MANY}\n"},
        MANY,
    ),
    "no limit in version 1, which says a large number": (
        "5:memory:/\n",
        {"memory/memory.limit_in_bytes": "9223372036854771712\n"},
        MACHINE,
    ),
}


@pytest.mark.parametrize("what", MACHINES)
def test_memory_is_what_the_machine_or_the_control_group_grants(tmp_path, what):
    groups, files, expected = MACHINES[what]
    for name, text in {"proc/self/cgroup": groups, **{f"sys/fs/cgroup/{n}": t for n, t in files.items()}}.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert memory_bytes(tmp_path) == expected


def test_where_nothing_is_said_of_groups_the_machine_counts(tmp_path):
    assert memory_bytes(tmp_path) == MACHINE


def test_blocks_on_processors_take_their_part_of_that(monkeypatch):
    monkeypatch.setattr(devices, "memory_bytes", lambda: FEW)
    assert devices.memory_for_blocks(None) == pytest.approx(FEW / 4)


def test_the_share_of_a_worker_counts_where_it_is_less(monkeypatch, tmp_path):
    for share, found in {str(FEW): FEW, str(2 * MACHINE): MACHINE, "half": MACHINE, "": MACHINE}.items():
        monkeypatch.setenv(SHARE, share)
        memory_bytes.cache_clear()
        assert memory_bytes(tmp_path) == found
    memory_bytes.cache_clear()
