"""HDF5 files: what is packed comes back, and nothing but plain arrays of the file itself is read."""

import io
import tracemalloc

import h5py
import numpy as np
import pytest

from ase_phonax.base import hdf5


def test_what_is_packed_comes_back_and_equal_contents_are_equal_bytes(tmp_path):
    arrays = {
        "a/b": np.arange(6.0).reshape(2, 3),
        "a/complex": np.array([1 + 2j]),
        "yes": np.array([True, False]),
        "single": np.float32(0.1),
        "none": np.zeros((0, 3)),
        "header": "Å" * 100_000,
        "texts": ["one", "", "zwölf"],
    }
    attributes = {"": {"version": 3, "title": "x"}, "a/b": {"labels": ["p", "q"]}}
    content = hdf5.pack(arrays, attributes)
    assert content == hdf5.pack(arrays, attributes)
    (tmp_path / "x.h5").write_bytes(content)
    back = hdf5.read(tmp_path / "x.h5")
    assert back.sealed
    assert back.arrays.keys() == arrays.keys()
    assert back.arrays["header"] == arrays["header"]
    assert back.arrays["texts"].tolist() == arrays["texts"]
    for name in ("a/b", "a/complex", "yes", "single", "none"):
        np.testing.assert_array_equal(back.arrays[name], arrays[name])
        assert back.arrays[name].dtype == np.asarray(arrays[name]).dtype
    assert back.attributes == attributes


def test_a_flipped_bit_is_found_wherever_it_is(tmp_path):
    path, content = tmp_path / "x.h5", hdf5.pack({"a": np.arange(1000.0)})
    for place in np.random.default_rng(5).integers(0, 8 * len(content), 300):
        damaged = bytearray(content)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="checksum"):
            hdf5.read(path)


def external_link(file, folder):
    file["x"] = h5py.ExternalLink(str(folder / "other.h5"), "/secret")


def soft_link(file, folder):
    file["y"] = np.arange(3)
    file["x"] = h5py.SoftLink("/y")


def external_storage(file, folder):
    (folder / "raw").write_bytes(b"secret!!" * 10)
    file.create_dataset("x", (10,), "f8", external=[(str(folder / "raw"), 0, 80)])


def virtual(file, folder):
    layout = h5py.VirtualLayout((3,), "f8")
    layout[:] = h5py.VirtualSource(str(folder / "other.h5"), "secret", (3,))
    file.create_virtual_dataset("x", layout)


def enormous(file, folder):
    file.create_dataset("x", (10**6, 10**6), "f8")


def enormous_in_pieces(file, folder):
    file.create_dataset("x", (10**6, 10**6), "f8", chunks=(1000, 1000), compression="gzip")


def enormous_piece(file, folder):
    file.create_dataset("x", (1,), "f8", chunks=(5 * 10**8,), maxshape=(None,))


def never_written(file, folder):
    file.create_dataset("x", (4,), "f8")


def references(file, folder):
    file.create_dataset("x", data=[file.ref], dtype=h5py.ref_dtype)


def ragged(file, folder):
    file.create_dataset("x", (1,), h5py.vlen_dtype(np.dtype("i4")))


def records(file, folder):
    file.create_dataset("x", data=np.zeros(2, [("a", "f8"), ("b", "i4")]))


def plugin(file, folder):
    file.create_dataset("x", data=np.arange(100), scaleoffset=0)


def circle(file, folder):
    file.create_group("a")["b"] = file["/"]


def twice(file, folder):
    file["a"] = np.arange(3)
    file["b"] = file["a"]


def deep(file, folder):
    file["/".join("abcdefghijkl")] = 1.0


def a_type(file, folder):
    file["x"] = np.dtype("f8")


def nothing(file, folder):
    file["x"] = h5py.Empty("f8")


def reference_beside(file, folder):
    file.attrs.create("x", file.ref, dtype=h5py.ref_dtype)


HOSTILE = {
    external_link: "is a link to '.*other.h5//secret'",
    soft_link: "is a link to '/y'",
    external_storage: "lie in other files",
    virtual: "lie in other files",
    enormous: "claims 8,000,000,000,000 bytes, and the file has",
    enormous_in_pieces: "claims 8,000,000,000,000 bytes, and the file has",
    enormous_piece: "claims 4,000,000,000 bytes, and the file has",
    never_written: "claims 32 bytes",
    references: "neither numbers nor text",
    ragged: "neither numbers nor text",
    records: "neither numbers nor text",
    plugin: r"with the filters \[6\]",
    circle: "under another name",
    twice: "under another name",
    deep: "deeper than 8",
    a_type: "neither an array nor a group",
    nothing: "holds nothing",
    reference_beside: "neither numbers nor text",
}


@pytest.mark.parametrize("make", HOSTILE, ids=lambda make: make.__name__)
def test_whatever_is_more_than_a_plain_array_is_refused_before_it_is_read(tmp_path, make):
    """Also under a right checksum, which anybody can make. Memory stays small: kills a check after the reading."""
    (tmp_path / "other.h5").write_bytes(hdf5.pack({"secret": np.arange(3.0)}))
    path = tmp_path / "x.h5"
    with h5py.File(path, "w", userblock_size=hdf5.BLOCK) as file:
        make(file, tmp_path)
    path.write_bytes(hdf5.sealed(io.BytesIO(path.read_bytes())))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=HOSTILE[make]):
            hdf5.read(path)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_many_references_to_one_text_do_not_fill_the_memory(tmp_path):
    """A megabyte of references to a megabyte of text, 60 GB together: HDF5 stores a text once where we write so."""
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file["x"] = ["a" * 1_000_000] + [""] * 60_000
        place = file["x"].id.get_offset()
    content = bytearray(path.read_bytes())
    content[place : place + 16 * 60_001] = content[place : place + 16] * 60_001
    path.write_bytes(content)
    with pytest.raises(ValueError, match="'x' in it claims"):
        hdf5.read(path, needs_seal=False)


def test_compressed_arrays_are_read_as_phonopy_and_others_write_them(tmp_path):
    values = np.random.default_rng(0).normal(size=(4, 8, 3, 3))
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("gzip", data=values, compression="gzip", shuffle=True, fletcher32=True)
        file.create_dataset("lzf", data=values, compression="lzf")
        file["unit"] = np.array([b"eV/angstrom^2"])
    back = hdf5.read(tmp_path / "x.h5", needs_seal=False)
    assert not back.sealed
    np.testing.assert_array_equal(back.arrays["gzip"], values)
    np.testing.assert_array_equal(back.arrays["lzf"], values)
    assert back.arrays["unit"].tolist() == ["eV/angstrom^2"]


@pytest.mark.parametrize("place", ["/dev/zero", "."])
def test_what_is_no_file_is_not_read(place):
    with pytest.raises(ValueError, match="no file"):
        hdf5.read(place, needs_seal=False)


@pytest.mark.parametrize("what", ["loops", "crashes"])
def test_what_makes_hdf5_loop_or_crash_is_an_error_where_no_checksum_vouches_for_a_file(tmp_path, monkeypatch, what):
    """Seen with pages of zeros in files of earlier versions. Another process finds out; this one goes on."""
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file["x"] = 1.0
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\n" + ("exec sleep 60\n" if what == "loops" else "kill -SEGV $$\n"))
    fake.chmod(0o755)
    monkeypatch.setattr(hdf5, "_PATIENCE", 0.5)
    monkeypatch.setattr(hdf5.sys, "executable", str(fake))
    with pytest.raises(ValueError, match="does not come to an end" if what == "loops" else "breaks down over it"):
        hdf5.read(path, needs_seal=False)
    path.write_bytes(hdf5.pack({"x": 1.0}))
    assert hdf5.read(path).arrays["x"] == 1.0  # at once: the checksum vouches for it
