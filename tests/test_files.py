"""Files that are there as a whole or not at all: full disks, interruptions, places that are no files."""

import os
import resource
import subprocess
import sys
import time
from contextlib import contextmanager

import numpy as np
import pytest
from ase.build import bulk

from ase_phonax import load_model, save_frames, save_model
from ase_phonax.data import Frame, SecondOrder
from ase_phonax.errors import OutputError
from ase_phonax.files import write_whole
from ase_phonax.training.checkpoints import save_checkpoint


@contextmanager
def full_disk(folder, size: int):
    """A disk of `size` bytes in the folder, where this process may make one; elsewhere no file may grow beyond it."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={-(-size // 4096) * 4096}", "tmpfs", str(folder)], capture_output=True
    )
    if mounted.returncode == 0:
        try:
            yield
        finally:
            subprocess.run(["umount", str(folder)], check=True)
        return
    with files_up_to(size):
        yield


@contextmanager
def files_up_to(size: int):
    """No file of this process may grow beyond `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_was_there_stays_until_the_new_is_whole(tmp_path):
    path = tmp_path / "a.txt"
    write_whole(path, "first\r\n")
    assert path.read_bytes() == b"first\r\n"  # kills: line ends translated
    with files_up_to(1000), pytest.raises(OutputError, match=r"a\.txt cannot be written: File too large") as error:
        write_whole(path, b"x" * 2000)
    assert error.value.exit_code == 5
    assert path.read_bytes() == b"first\r\n"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_an_existing_file_is_replaced_only_where_that_was_said(tmp_path):
    path = tmp_path / "a"
    write_whole(path, "1", overwrite=False)
    with pytest.raises(OutputError, match="exists"):
        write_whole(path, "2", overwrite=False)
    assert path.read_text() == "1"
    write_whole(path, "2", keep=tmp_path / "b")
    assert (path.read_text(), (tmp_path / "b").read_text()) == ("2", "1")


def test_a_file_that_appears_meanwhile_is_kept(tmp_path, monkeypatch):
    """Kills: a look before the writing and a renaming after it."""
    path, stat = tmp_path / "a", os.stat

    def then_it_appears(name, *arguments, **options):
        monkeypatch.undo()
        try:
            return stat(name, *arguments, **options)
        finally:
            path.write_text("of another process")

    monkeypatch.setattr(os, "stat", then_it_appears)
    with pytest.raises(OutputError, match="exists"):
        write_whole(path, "ours", overwrite=False)
    assert path.read_text() == "of another process"


def test_rights_links_and_devices_stay_what_they_are(tmp_path):
    path, link = tmp_path / "a", tmp_path / "b"
    before = os.umask(0o027)
    try:
        write_whole(path, "1")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o640
    path.chmod(0o600)
    link.symlink_to(path)
    write_whole(link, "2")
    assert link.is_symlink()
    assert path.read_text() == "2"
    assert path.stat().st_mode & 0o777 == 0o600
    write_whole("/dev/null", "3")
    assert not os.path.isfile("/dev/null")
    for place in (tmp_path, tmp_path / "no/a", path / "a", tmp_path / ("x" * 300), "a\0b"):
        with pytest.raises(OutputError, match="cannot be written"):
            write_whole(place, "4")


def test_a_process_killed_while_it_writes_leaves_nothing_half_written(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"0" * 1_000_000)
    script = (
        "import sys\nfrom ase_phonax.files import write_whole\n"
        "k = 0\nwhile True:\n    k = (k + 1) % 10\n    write_whole(sys.argv[1], str(k).encode() * 1_000_000)\n"
    )
    for life in range(6):
        process = subprocess.Popen([sys.executable, "-c", script, str(path)])
        time.sleep(0.25 + 0.03 * life)
        process.kill()
        process.wait()
        content = path.read_bytes()
        assert len(content) == 1_000_000
        assert content == content[:1] * 1_000_000


def big_frames():
    rng = np.random.default_rng(1)
    return [
        Frame(bulk("NaCl", "rocksalt", a=5.6), second=SecondOrder(np.zeros((1, 3)), rng.normal(size=(1, 6, 6))))
    ] * 200


@pytest.mark.parametrize("size", [0, 4096, 20_000, 60_000])
def test_a_disk_that_is_full_is_an_error_and_the_old_file_intact(tmp_path, size):
    """Kills: files that HDF5 writes itself; where the disk is full its library ends the process."""
    frames, potential = big_frames(), load_model("phonax-small")
    trees = {"state": {"a": np.random.default_rng(0).normal(size=50_000)}}
    writers = {
        "model.h5": lambda folder: save_model(potential, folder / "model.h5", overwrite=True),
        "frames.h5": lambda folder: save_frames(frames, folder / "frames.h5", overwrite=True),
        "checkpoint.h5": lambda folder: save_checkpoint(folder, {}, trees),
    }
    for name, write in writers.items():
        folder = tmp_path / name.replace(".", "-")
        folder.mkdir()
        with full_disk(folder, size + 4096):
            (folder / name).write_bytes(b"the one before")
            with pytest.raises(OutputError, match=r"cannot be written: (No space left on device|File too large)"):
                write(folder)
            assert (folder / name).read_bytes() == b"the one before"
            assert os.listdir(folder) == [name]
