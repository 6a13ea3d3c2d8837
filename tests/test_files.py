"""Files that are there as a whole or not at all: full disks, interruptions, places that are no files."""

import os
import re
import resource
import subprocess
import sys
import time
from contextlib import contextmanager

import numpy as np
import pytest
from ase.build import bulk
from ase.io import write as write_structure

from ase_phonax import load_model, save_frames, save_model
from ase_phonax.base.claims import claimed_folder
from ase_phonax.base.errors import InputError, ModelError, OutputError
from ase_phonax.base.files import write_whole
from ase_phonax.cli import main
from ase_phonax.cli.log import logging_to
from ase_phonax.models.files.mace_checkpoint import read_mace
from ase_phonax.studies.watch import Watch
from ase_phonax.training import read_config
from ase_phonax.training.checkpoints import save_checkpoint
from ase_phonax.training.labels import Frame, SecondOrder, read_frames


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
        "import sys\nfrom ase_phonax.base.files import write_whole\n"
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


def test_a_pipe_that_nobody_reads_is_an_error_and_one_that_is_read_gets_everything(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    began = time.monotonic()
    with pytest.raises(OutputError, match="pipe cannot be written: it is a pipe, and nobody reads it"):
        write_whole(pipe, b"x")
    with pytest.raises(OutputError, match=r"the log .*pipe cannot be written"), logging_to(pipe, Watch()):
        pass
    assert time.monotonic() - began < 5
    content = b"0123456789" * 50_000  # more than a pipe holds
    with open(tmp_path / "read", "wb") as file, subprocess.Popen(["cat", str(pipe)], stdout=file) as reader:
        for _ in range(200):
            try:
                write_whole(pipe, content)
                break
            except OutputError:  # the reader has not come yet
                time.sleep(0.02)
        else:
            reader.kill()
    assert (tmp_path / "read").read_bytes() == content


@pytest.mark.parametrize("name", ["nul\0.jsonl", "missing/log.jsonl", "a" * 300])
def test_a_log_at_a_place_that_is_none_is_an_error_in_words(tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    write_structure("salt.cif", bulk("NaCl", "rocksalt", 5.64))
    assert main(["phonons", "salt.cif", "--log", name]) == 5
    assert re.match(r"error: .* cannot be written", capsys.readouterr().err)
    assert os.listdir() == ["salt.cif"]


def test_a_checkpoint_is_kept_on_a_file_system_without_hard_links(tmp_path, monkeypatch):
    def refused(*arguments, **options):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    monkeypatch.delattr(os, "O_TMPFILE", raising=False)  # nor has such a file system files without names
    for content in (b"1", b"2", b"3"):
        write_whole(tmp_path / "a", content, keep=tmp_path / "before")
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"a": b"3", "before": b"2"}


def test_a_disk_that_is_full_leaves_no_lock_and_no_folder(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OutputError, match="No space left on device"), claimed_folder(tmp_path / "new" / "folder"):
        pass
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("text", ["[]", "false", "0", "''"])
def test_a_configuration_that_holds_nothing_of_use_is_not_taken_for_an_empty_one(tmp_path, text):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match="the whole is"):
        read_config(path)


def test_models_that_are_no_files_are_told_as_such(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe.h5")
    os.mkdir("folder.h5")
    os.symlink("loop.h5", "loop.h5")
    open("empty.h5", "w").close()
    cases = {
        "pipe.h5": "is a pipe or a device",
        "folder.h5": "is a folder",
        "loop.h5": "cannot be reached: Too many levels of symbolic links",
        "empty.h5": "is empty",
        "missing.h5": "does not exist",
        "a" * 300 + ".h5": "cannot be reached: File name too long",
        "nul\0.h5": "is no path: embedded null byte",
    }
    for name, words in cases.items():
        with pytest.raises(ModelError, match=f"the model file .* {words}"):
            load_model(name)
    os.rename("pipe.h5", "pipe.model")
    with pytest.raises(ModelError, match=r"the model file pipe\.model is a pipe"):
        read_mace("pipe.model", trust=True)


def test_frames_named_by_a_pattern_are_files_too(tmp_path):
    os.mkfifo(tmp_path / "a.xyz")
    with pytest.raises(InputError, match=r"a\.xyz is a pipe or a device"):
        read_frames(tmp_path / "*.xyz")


@pytest.mark.parametrize("name", ["a" * 300, "nul\0", "file/in", "loop"])
def test_a_folder_that_cannot_be_is_an_error_in_words(tmp_path, name):
    (tmp_path / "file").touch()
    os.symlink("loop", tmp_path / "loop")
    with pytest.raises(OutputError, match=r"results cannot be written to"), claimed_folder(tmp_path / name):
        pass
    assert sorted(os.listdir(tmp_path)) == ["file", "loop"]


def test_where_a_file_cannot_be_given_a_name_its_contents_are_written_once_more(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    write_whole(tmp_path / "a.txt", "old")
    write_whole(tmp_path / "a.txt", "new", keep=tmp_path / "b.txt")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.txt": "new", "b.txt": "old"}
