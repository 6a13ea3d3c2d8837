"""Checkpoints: whatever happens to the process, the disk or the file, a run goes on bit for bit or says why not."""

import errno
import json
import multiprocessing
import os
import random
import resource
import shutil
import time

import h5py
import numpy as np
import pytest

from ase_phonax import load_model
from ase_phonax.base.errors import InputError, OutputError
from ase_phonax.base.hdf5 import pack
from ase_phonax.training import checkpoints, fine_tune, train
from ase_phonax.training.checkpoints import read_checkpoint, save_checkpoint
from ase_phonax.training.config import config_from
from ase_phonax.training.labels.frames import Frame

from .small_training import STEPS_PER_EPOCH, small_config, small_frames, train_until_the_end, tuning_config


@pytest.fixture(scope="module")
def frames():
    return small_frames()


def run(folder, frames, epochs=4, config=None, **options):
    config = small_config(folder, optimiser={"epochs": epochs}) if config is None else config
    return train(config, frames=(frames[:6], frames[6:]), **options)


class Interruption(Exception):
    """Raised in the middle of a run."""


def interrupted(folder, frames, after: int, epochs=4, **sections):
    """Stop after some steps with a checkpoint of each."""

    def progress(done, total):
        if done > after:
            raise Interruption

    config = small_config(folder, optimiser={"epochs": epochs}, **sections)
    config["run"]["checkpoint_seconds"] = 0.0
    with pytest.raises(Interruption):
        train(config, frames=(frames[:6], frames[6:]), progress=progress)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, frames):
    """A run of four epochs that nothing disturbs."""
    return run(tmp_path_factory.mktemp("whole"), frames)


def assert_same_result(one, two):
    for module, arrays in one.potential.parameters.items():
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, two.potential.parameters[module][name])
    for a, b in zip(one.history, two.history, strict=True):
        assert {k: v for k, v in a.items() if k != "seconds"} == {k: v for k, v in b.items() if k != "seconds"}


@pytest.mark.parametrize("after", [1, STEPS_PER_EPOCH, STEPS_PER_EPOCH + 1, 4 * STEPS_PER_EPOCH - 1])
def test_an_interrupted_run_ends_as_if_it_had_not_been(tmp_path, frames, whole, after):
    """Inside an epoch, at its end, and before the last step: parameters, average, best, log, all to the last bit.

    Kills: directions or order of frames drawn anew; sums of a broken epoch lost; an average that starts again.
    """
    interrupted(tmp_path, frames, after)
    assert_same_result(run(tmp_path, frames, resume=True), whole)


def test_a_finished_run_taken_up_again_gives_its_model_again(tmp_path, frames, whole):
    first = run(tmp_path, frames)
    (tmp_path / "model.h5").unlink()
    assert_same_result(run(tmp_path, frames, resume=True), first)
    assert_same_result(first, whole)
    found, before = (p.provenance.training for p in (load_model(tmp_path / "model.h5"), first.potential))
    assert config_from(found["configuration"]) == config_from(before["configuration"])
    assert found["data_sha256"] == before["data_sha256"]
    assert found["metrics"] == before["metrics"]


@pytest.mark.parametrize("kills", [5, pytest.param(20, marks=pytest.mark.slow)])
def test_a_run_that_is_killed_ends_with_the_same_parameters(kills, tmp_path, frames, monkeypatch):
    """SIGKILL at random moments: while it starts, computes, or writes a checkpoint, of which every step writes one."""
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "compiled"))
    monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.small_training"])
    epochs, rng = 500, random.Random(1)

    def begin(folder, seconds):
        process = context.Process(target=train_until_the_end, args=(folder, epochs, frames, seconds))
        process.start()
        return process

    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    reference = begin(undisturbed, 1e6)
    reference.join(300)
    assert reference.exitcode == 0
    checkpoint, places = killed / checkpoints.NAME, []
    for life in range(kills):
        before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        process = begin(killed, 0.0)
        if life % 5 != 4:  # each fifth is killed while it starts
            limit = time.monotonic() + 120
            while not (checkpoint.exists() and checkpoint.stat().st_mtime_ns != before):
                assert process.is_alive()
                assert time.monotonic() < limit
                time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.3))
        process.kill()
        process.join(60)
        assert process.exitcode == -9, "it was over before it was killed"
        if checkpoint.exists():
            with h5py.File(checkpoint) as file:
                header = json.loads(file["header"].asstr()[()])
            places.append((header["epoch"], header["position"]))
    assert places == sorted(places)
    assert len(set(places)) >= kills * 3 // 5
    last = begin(killed, 1e6)
    last.join(300)
    assert last.exitcode == 0
    one, two = load_model(undisturbed / "model.h5"), load_model(killed / "model.h5")
    for module, arrays in one.parameters.items():
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, two.parameters[module][name])
    assert not list(killed.glob("*.part"))


# Damage


def trees():
    return {"state": {"a": np.arange(3.0), "b": [np.float32(2.5), np.int32(7)]}, "best": (np.array([[np.pi]]),)}


def test_everything_comes_back_with_its_precision(tmp_path):
    save_checkpoint(tmp_path, {"rows": [{"loss": 0.1 + 0.2}], "best": None}, trees())
    header, found = read_checkpoint(tmp_path, trees())
    assert header["rows"] == [{"loss": 0.1 + 0.2}]
    assert header["best"] is None
    np.testing.assert_array_equal(found["state"]["a"], [0, 1, 2])
    assert [np.asarray(x).dtype for x in found["state"]["b"]] == [np.float32, np.int32]
    assert found["best"][0][0, 0] == np.pi


def test_a_damaged_checkpoint_is_refused_and_the_one_before_named(tmp_path, frames, whole):
    interrupted(tmp_path, frames, 5)
    path, before = tmp_path / checkpoints.NAME, tmp_path / checkpoints.PREVIOUS
    content = bytearray(path.read_bytes())
    for place in (10, 600, len(content) // 2, len(content) - 1):
        damaged = content.copy()
        damaged[place] ^= 4
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="damaged") as error:
            run(tmp_path, frames, resume=True)
        assert f"mv {before} {path}" in error.value.remedy
    path.write_bytes(content[: len(content) // 3])
    with pytest.raises(InputError, match="damaged"):
        run(tmp_path, frames, resume=True)
    # What the message says to do leads to the same end.
    shutil.move(before, path)
    assert_same_result(run(tmp_path, frames, resume=True), whole)


def test_a_checkpoint_that_is_missing_of_a_newer_version_or_of_another_network_is_refused(tmp_path):
    with pytest.raises(InputError, match="no checkpoint"):
        read_checkpoint(tmp_path, trees())
    save_checkpoint(tmp_path, {}, trees())
    for other, words in (
        ({"state": {"a": np.arange(4.0), "b": [np.float32(2.5), np.int32(7)]}}, r"\(3,\), \(4,\) expected"),
        ({"state": {"a": np.arange(3, dtype=np.float32), "b": [np.float32(1), np.int32(7)]}}, "expected"),
        ({"state": {"a": np.arange(3.0)}}, "3 arrays, 1 expected"),
    ):
        with pytest.raises(InputError, match=words):
            read_checkpoint(tmp_path, other)
    path = tmp_path / checkpoints.NAME
    path.write_bytes(pack({"header": json.dumps({"format": checkpoints.FORMAT, "version": 99})}))
    with pytest.raises(InputError, match="version 99"):
        read_checkpoint(tmp_path, {})


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"optimiser": {"learning_rate": 2e-2}}, r"optimiser\.learning_rate \(0\.01 then, 0\.02 now\)"),
        ({"loss": {"curvature": 0.5}}, r"loss\.curvature"),
        ({"run": {"seed": 1}}, r"run\.seed"),
        ({"network": {"cutoff": 3.0}}, r"network\.options"),
    ],
)
def test_other_settings_are_refused(tmp_path, frames, sections, words):
    interrupted(tmp_path, frames, 1)
    with pytest.raises(InputError, match=words):
        run(tmp_path, frames, config=small_config(tmp_path, **sections), resume=True)


def test_other_frames_are_refused(tmp_path, frames):
    interrupted(tmp_path, frames, 1)
    first = frames[0]
    changed = [Frame(first.atoms, first.energy + 1e-6, first.forces, None, first.second), *frames[1:]]
    with pytest.raises(InputError, match="the frames differ"):
        run(tmp_path, changed, resume=True)
    # Validation frames are part of the run: the best parameters are chosen by them.
    with pytest.raises(InputError, match="the frames differ"):
        run(tmp_path, frames[:7], resume=True)


def test_place_name_and_pace_of_checkpoints_may_change(tmp_path, frames, whole):
    interrupted(tmp_path / "a", frames, 2)
    shutil.move(tmp_path / "a", tmp_path / "b")
    config = small_config(tmp_path / "b", run={"checkpoint_seconds": 17.0, "name": "another"})
    result = run(tmp_path / "b", frames, config=config, resume=True)
    assert result.potential.name == "another"
    assert_same_result(result, whole)


def test_a_run_of_a_network_with_lists_among_its_settings_goes_on(tmp_path, frames):
    """Kills: settings compared as they are in memory, tuples inside of others, with what JSON made of them."""
    network = {"architecture": "nequip", "cutoff": 3.2, "hidden_irreps": "2x0e", "n_layers": 1, "l_max": 0}
    config = small_config(tmp_path, network=network | {"radial_sizes": [3], "n_basis": 2}, optimiser={"epochs": 1})
    del config["network"]["energies"]
    first = run(tmp_path, frames, config=config)
    assert_same_result(run(tmp_path, frames, config=config, resume=True), first)


def test_another_model_of_the_same_name_is_refused(tmp_path, frames, whole):
    """Kills: a model one starts from that is known by its name."""

    def progress(done, total):
        if done > 1:
            raise Interruption

    config = tuning_config(tmp_path, run={"checkpoint_seconds": 0.0})
    with pytest.raises(Interruption):
        fine_tune(whole.potential, config, frames=(frames[:6], frames[6:]), progress=progress)
    parameters = {m: {k: x + 0.1 for k, x in t.items()} for m, t in whole.potential.parameters.items()}
    other = type(whole.potential)(**(vars(whole.potential) | {"parameters": parameters}))
    with pytest.raises(InputError, match="another model"):
        fine_tune(other, config, frames=(frames[:6], frames[6:]), resume=True)


def test_an_earlier_run_is_not_overwritten_unasked(tmp_path, frames, whole):
    run(tmp_path, frames)
    with pytest.raises(OutputError, match="holds an earlier run"):
        run(tmp_path, frames)
    assert_same_result(run(tmp_path, frames, overwrite=True), whole)


# A full disk


def full(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("where", ["fsync", "replace"])
def test_a_full_disk_leaves_the_last_checkpoint(tmp_path, monkeypatch, where):
    save_checkpoint(tmp_path, {"epoch": 1}, trees())
    save_checkpoint(tmp_path, {"epoch": 2}, trees())
    with monkeypatch.context() as patched:
        patched.setattr(os, where, full)
        with pytest.raises(OutputError, match="No space left on device"):
            save_checkpoint(tmp_path, {"epoch": 3}, trees())
    assert read_checkpoint(tmp_path, trees())[0]["epoch"] == 2
    assert sorted(os.listdir(tmp_path)) == [checkpoints.PREVIOUS, checkpoints.NAME]
    save_checkpoint(tmp_path, {"epoch": 4}, trees())
    assert read_checkpoint(tmp_path, trees())[0]["epoch"] == 4


def test_a_disk_that_fills_while_hdf5_writes_leaves_the_last_checkpoint(tmp_path):
    """The real thing as near as it can be had: no file of this process may grow beyond a few kilobytes."""
    big = {"state": {"a": np.random.default_rng(0).normal(size=20_000)}}
    save_checkpoint(tmp_path, {"epoch": 1}, big)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for limit in (600, 30_000, 150_000):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            with pytest.raises(OutputError, match="cannot be written"):
                save_checkpoint(tmp_path, {"epoch": 2}, big)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert read_checkpoint(tmp_path, big)[0]["epoch"] == 1
        assert os.listdir(tmp_path) == [checkpoints.NAME]
