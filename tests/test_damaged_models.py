"""Damaged, foreign and hostile model files: refused, or read with the numbers that were written; never in silence."""

import io
import json
import warnings
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from ase_phonax import load_model, save_model
from ase_phonax.base import hdf5
from ase_phonax.base.errors import ModelError, UnstableWarning
from ase_phonax.cli import loading
from ase_phonax.studies.notes import collected_warnings

ROOT = Path(__file__).parents[1]
# Shipped ones, which were trained; and one that came from PyTorch.
SEALED = ["models/phonax-small.h5", "models/phonax-molecules.h5", "tests/reference/mace/as-MACE-MP-0b2.h5"]


def damaged_copies(content: bytes, n: int, seed: int):
    """Single bits flipped, pages of zeros, pieces cut off or exchanged, at seeded places."""
    rng = np.random.default_rng(seed)
    for k in range(n):
        copy, place = bytearray(content), int(rng.integers(len(content)))
        match k % 4:
            case 0 | 1:
                copy[place] ^= 1 << int(rng.integers(8))
            case 2:
                start = place // 4096 * 4096
                copy[start : start + 4096] = bytes(len(copy[start : start + 4096]))
            case 3:
                del copy[place : place + int(rng.integers(1, 64))]
        if copy != content:
            yield bytes(copy)


@pytest.mark.parametrize("name", SEALED)
def test_a_damaged_model_never_computes_in_silence(tmp_path, name):
    """Kills: shapes and finite numbers as the only checks; one page of zeros shifted silicon by 0.59 eV."""
    content, path = (ROOT / name).read_bytes(), tmp_path / "model.h5"
    n_refused = 0
    for copy in damaged_copies(content, 120, seed=len(content)):
        path.write_bytes(copy)
        with pytest.raises(ModelError, match=r"checksum|is no HDF5|HDF5 does not read"):
            load_model(path)
        n_refused += 1
    assert n_refused > 100
    for start in range(0, len(content), 4096):  # each page
        path.write_bytes(content[:start] + bytes(4096) + content[start + 4096 :])
        with pytest.raises(ModelError):
            load_model(path)


def test_every_bit_of_the_checksum_itself_is_looked_at(tmp_path):
    """Kills: a file whose mark is damaged, taken for one of the time before checksums."""
    content, path = (ROOT / SEALED[2]).read_bytes(), tmp_path / "model.h5"
    for place in range(0, 8 * hdf5.BLOCK, 7):
        copy = bytearray(content)
        copy[place // 8] ^= 1 << place % 8
        path.write_bytes(copy)
        with pytest.raises(ModelError, match="checksum"):
            load_model(path)


@pytest.mark.data
def test_a_damaged_checkpoint_of_nequix_is_refused_or_named(data, tmp_path):
    """Its format has no checksum: the registered sha256 takes its place."""
    content = (data / "weights" / "nequix-mp-1.nqx").read_bytes()
    path = tmp_path / "nequix-mp-1.nqx"
    for copy in damaged_copies(content, 12, seed=4):
        path.write_bytes(copy)
        with warnings.catch_warnings(record=True) as notes:
            warnings.simplefilter("always")
            try:
                load_model(path)
            except ModelError:
                continue
        assert "not the file registered as nequix-mp-1 (sha256 1647af8e" in str(notes[0].message)
    path.write_bytes(content)
    load_model(path)  # warnings are errors here
    renamed = tmp_path / "mine.nqx"
    renamed.write_bytes(content)
    load_model(renamed)
    changed = bytearray(content)
    changed[-100] ^= 1
    renamed.write_bytes(changed)
    with pytest.warns(UnstableWarning, match=r"registered nowhere[\s\S]*nothing vouches for its numbers"):
        load_model(renamed)


# What a right checksum does not say: anybody can make one.


def changed(path: Path, to: Path, *, arrays=None, header=None) -> Path:
    """A copy under a right checksum with other arrays (None: without) and other entries in its header."""
    content = hdf5.read(path)
    known = json.loads(content.attributes[""]["header"])
    config = known["config"] | (header or {}).pop("config", {})
    known |= {"config": config} | (header or {})
    mine = {k: v for k, v in (dict(content.arrays) | (arrays or {})).items() if v is not None}
    to.write_bytes(hdf5.pack(mine, {"": {"header": json.dumps(known)}}))
    return to


SMALL = ROOT / SEALED[0]
ENERGIES, MIX = "parameters/~/atom_energies", "parameters/layer_1/mix_0e"
ARRAYS = {
    "missing": ({ENERGIES: None}, "lacks the array ~/atom_energies"),
    "superfluous": ({"parameters/~/more": np.zeros(3)}, "has besides the array ~/more"),
    "shorter": ({ENERGIES: np.zeros(35)}, r"has the shape \(35,\), its network \(36,\)"),
    "turned": ({MIX: np.zeros((32, 33))}, r"has the shape \(32, 33\), its network \(32, 32\)"),
    "one number": ({ENERGIES: np.float64(0)}, r"has the shape \(\), its network"),
    "whole numbers": ({ENERGIES: np.zeros(36, int)}, "holds int64"),
    "booleans": ({ENERGIES: np.zeros(36, bool)}, "holds bool"),
    "complex": ({ENERGIES: np.zeros(36, complex)}, "holds complex128"),
    "half precision": ({ENERGIES: np.zeros(36, np.float16)}, "holds float16"),
    "texts": ({ENERGIES: ["x"] * 36}, "holds object"),
    "a text": ({ENERGIES: "x"}, "holds"),
    "NaN": ({ENERGIES: np.full(36, np.nan)}, "36 of the 36 numbers of ~/atom_energies are not finite"),
    "infinite": ({ENERGIES: np.array([np.inf] + [0.0] * 35)}, "1 of the 36 numbers"),
    "elsewhere": ({"notes": np.zeros(3)}, "not a complete model file"),
}
HEADERS = {
    "fewer elements": ({"numbers": [3, 4]}, "names 2 elements, and its network has 36"),
    "elements out of order": ({"numbers": [4, 3]}, "not ascending ones"),
    "elements that are none": ({"numbers": [0, 500]}, "not ascending ones"),
    "elements as text": ({"numbers": ["Si"]}, "not ascending ones"),
    "more layers": ({"config": {"n_layers": 4}}, "lacks the|asks for 4 layers"),
    "very many layers": ({"config": {"n_layers": 10**9}}, "n_layers is 1000000000"),
    "enormous degrees": ({"config": {"l_max": 10**9}}, "l_max is 1000000000"),
    "enormous irreps": ({"config": {"hidden_irreps": "1x0e+1x99999999e"}}, "the irreps are"),
    "other irreps": ({"config": {"hidden_irreps": "31x0e + 16x1o + 8x2e"}}, "has the shape"),
    "an unknown option": ({"config": {"colour": "blue"}}, "colour"),
    "a text for a number": ({"config": {"cutoff": "far"}}, "cutoff"),
    "no cutoff": ({"config": {"cutoff": float("nan")}}, "cutoff"),
    "an infinite scale": ({"config": {"scale": float("inf")}}, "scale is inf"),
    "neighbours below zero": ({"config": {"average_neighbors": -3.0}}, "average_neighbors"),
    "a configuration that is none": ({"config": {}, "architecture": "transformer"}, "header says"),
    "a version from another time": ({"version": -1}, "header says"),
    "a provenance that is none": ({"provenance": [1, 2]}, "not a complete model file"),
    "a name that is none": ({"name": {"a": 1}}, "name or provenance is no text"),
}


@pytest.mark.parametrize("case", ARRAYS)
def test_arrays_that_are_not_those_of_the_network_are_refused_by_name(tmp_path, case):
    """Before anything is made of them. Kills: numbers of another shape that happen to fit, as by broadcasting."""
    arrays, words = ARRAYS[case]
    with pytest.raises(ModelError, match=words) as error:
        load_model(changed(SMALL, tmp_path / "model.h5", arrays=arrays))
    assert "model.h5" in error.value.what
    assert error.value.exit_code == 3


@pytest.mark.parametrize("case", HEADERS)
def test_headers_that_contradict_the_arrays_are_refused_by_what_is_wrong(tmp_path, case):
    header, words = HEADERS[case]
    with pytest.raises(ModelError, match=words):
        load_model(changed(SMALL, tmp_path / "model.h5", header=dict(header)))


def test_products_of_very_many_factors_are_refused(tmp_path):
    path = changed(ROOT / SEALED[2], tmp_path / "model.h5", header={"config": {"correlation": [40]}})
    with pytest.raises(ModelError, match="correlation is"):
        load_model(path)


def test_what_could_not_be_read_is_not_written(tmp_path):
    potential = load_model("phonax-small")
    broken = replace(potential, parameters=potential.parameters | {"~": {}})
    with pytest.raises(ModelError, match="lacks the 3 arrays"):
        save_model(broken, tmp_path / "model.h5")
    assert not (tmp_path / "model.h5").exists()


@pytest.fixture
def of_an_earlier_version(tmp_path):
    """As they were written before there were checksums: straight by HDF5, chunked or not."""
    content = hdf5.read(SMALL)
    header = json.loads(content.attributes[""]["header"])
    del header["sealed"]
    path = tmp_path / "earlier.h5"
    with h5py.File(path, "w") as file:
        file.attrs["header"] = json.dumps(header)
        for name, array in content.arrays.items():
            file.create_dataset(name, data=array)
    return path


def test_a_file_of_an_earlier_version_is_read_and_said_to_have_no_checksum(of_an_earlier_version):
    with pytest.warns(UnstableWarning, match=r"earlier\.h5 was written by an earlier version[\s\S]*nothing vouches"):
        potential = load_model(of_an_earlier_version)
    assert potential.fingerprint() == load_model("phonax-small").fingerprint()


def test_that_nothing_vouches_for_a_model_stands_once_among_the_notes(of_an_earlier_version):
    with collected_warnings() as notes:
        for _ in range(3):
            loading.load_calculator(str(of_an_earlier_version), "float64")
    assert [note.count("nothing vouches for its numbers") for note in notes] == [1]


def test_a_model_that_points_into_other_files_reads_none_of_them(tmp_path):
    """Kills: `file["parameters"].items()`, which follows every link."""
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["atom_energies"] = np.arange(36.0)
    path = changed(SMALL, tmp_path / "model.h5", arrays={ENERGIES: None})
    content = hdf5.read(path)
    with h5py.File(path, "w", userblock_size=hdf5.BLOCK) as file:
        file.attrs["header"] = content.attributes[""]["header"]
        for name, array in content.arrays.items():
            file[name] = array
        file[ENERGIES] = h5py.ExternalLink(str(secret), "/atom_energies")
    path.write_bytes(hdf5.sealed(io.BytesIO(path.read_bytes())))
    with pytest.raises(ModelError, match=r"is a link to '.*secret\.h5//atom_energies'"):
        load_model(path)


@pytest.mark.parametrize("place", ["/dev/zero", "/proc/self/mem"])
def test_no_device_is_read_as_a_model(tmp_path, place):
    for suffix in (".h5", ".nqx"):
        path = tmp_path / f"model{suffix}"
        path.symlink_to(place)
        with warnings.catch_warnings(), pytest.raises(ModelError):
            load_model(path)
