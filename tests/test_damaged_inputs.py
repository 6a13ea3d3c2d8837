"""Files damaged at random: read, or refused in words; never a traceback, never for ever."""

import signal
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import yaml
from ase import Atoms
from ase.build import bulk
from ase.io import write
from ase.io.jsonio import write_json
from phonopy import Phonopy
from phonopy.structure.atoms import PhonopyAtoms

from ase_phonax import get_phonopy
from ase_phonax.base.errors import PhonaxError, StructureError
from ase_phonax.base.settings import build, read_yaml
from ase_phonax.cli.config import apply_config
from ase_phonax.structures.files import read_structure, read_structures
from ase_phonax.studies.crystal import find_crystal
from ase_phonax.studies.settings import PhononSettings
from ase_phonax.training import read_config
from ase_phonax.training.labels import read_frames
from ase_phonax.training.labels.teacher import LabelRecipe

from .labelled import cluster, moved_clusters
from .pair_potential import PairCalculator
from .test_sound_labels import images
from .test_structure_files import RUTILE, SILICON, VASP4, ZINCITE, ZIRCONIA, operations_of_silicon
from .test_training_config import TEXT

SECONDS = 30
# What damage puts in: numbers that are none, brackets that do not close, words of the formats.
WORDS = [
    "nan",
    "inf",
    "-inf",
    "1e999",
    "-1",
    "0",
    "0x_",
    "1_0",
    "99999999999999999999",
    "1e-320",
    "2024-02-30",
    "[",
    "]",
    "{",
    "}",
    "(",
    ")",
    "'",
    '"',
    ":",
    ",",
    ";",
    "#",
    "?",
    ".",
    "..",
    "-",
    "--",
    "&",
    "*",
    "!",
    "|",
    ">",
    "%",
    "loop_",
    "data_",
    "_cell_length_a",
    "Lattice",
    "Properties=species:S:1:pos:R:3",
    "pbc",
    "Si",
    "Xx",
    "D",
    "T",
    "H0",
    "null",
    "true",
    "~",
    "<<:",
    "*a",
    "&a",
    "\x00",
    "\t",
    "\n",
    "\n\n",
    "é",
    "\ud7ff",
    "unit_cell",
    "__ndarray__",
    "Direct",
    "Selective",
    "x,y,z",
    "1/0",
    "P1",
    "Fd-3m",
    "1e400",
    "0.333",
]


def files(folder: Path) -> list[tuple[Path, object]]:
    """Sound files, each with what reads it."""
    rng = np.random.default_rng(0)
    salt = bulk("NaCl", "rocksalt", 5.64, cubic=True)
    found: list[tuple[Path, object]] = []

    def add(name: str, text: str, *readers) -> None:
        (folder / name).write_text(text)
        found.extend((folder / name, reader) for reader in readers)

    def structure(path: Path):
        read_structure(str(path))

    def structures(path: Path):
        read_structures(str(path))

    add("a.cif", RUTILE, crystal, structures)
    add("b.cif", SILICON.format(symbol="", operations=operations_of_silicon()), structure)
    add("c.cif", ZIRCONIA, crystal)
    add("d.cif", ZINCITE, lambda path: read_structure(str(path), 0.01))
    add("POSCAR", VASP4.replace(" 4 4", "Na Cl\n 4 4"), crystal, structures)
    add("e.vasp", VASP4.replace("rocksalt", "Na Cl"), crystal)
    for name in ("f.xyz", "g.json", "h.xsf", "i.gen", "j.res", "k.cube", "l.traj", "m.db", "o.pwi"):
        kinds = {"f.xyz": "extxyz", "o.pwi": "espresso-in"}
        options = {"pseudopotentials": {"Na": "a.upf", "Cl": "b.upf"}} if name == "o.pwi" else {}
        write(folder / name, salt, format=kinds.get(name), **options)
        found += [(folder / name, crystal), (folder / name, structures)]
    write(folder / "frames.xyz", images(moved_clusters(3)), format="extxyz")
    write(folder / "frames.traj", images(moved_clusters(3)))
    write(folder / "frames.db", images(moved_clusters(3)))
    write_json(folder / "vibrations.json", PairCalculator().get_vibrations(cluster()))
    phonopy = get_phonopy(bulk("Si", "bcc", 2.9), PairCalculator(), 2)
    phonopy.save(folder / "phonopy.yaml", settings={"force_constants": True})
    displaced = Phonopy(PhonopyAtoms(["Si"], cell=np.eye(3) * 2.7, scaled_positions=[[0, 0, 0]]), np.eye(3) * 2)
    displaced.generate_displacements()
    displaced.forces = rng.normal(0, 0.1, (len(displaced.supercells_with_displacements), 8, 3))
    displaced.save(folder / "displaced.yaml")
    for name in ("frames.xyz", "frames.traj", "frames.db", "vibrations.json", "phonopy.yaml", "displaced.yaml"):
        found.append((folder / name, read_frames))
    add("train.yaml", TEXT, read_config)
    recipe = "relax: true\nfmax: 0.001\nseed: 0\nperturbations:\n  - {waves: 4}\n  - {repeat: 2, positions: 0.1}\n"
    add("recipe.yaml", recipe, lambda path: build(LabelRecipe, read_yaml(path), str(path)))
    add("cli.yaml", "supercell: [2, 2, 2]\nmesh: [4, 4, 4]\nno_relax: true\n", command_line)
    return found


def crystal(path: Path) -> None:
    find_crystal(read_structure(str(path)), PhononSettings(symprec=0.01), lambda: 5.0)


def command_line(path: Path) -> None:
    from ase_phonax.cli import _parser

    _, commands = _parser()
    apply_config(["phonons", "a.cif", "--config", str(path)], commands.__getitem__)


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """One piece, seldom up to four, cut out, doubled, exchanged or replaced."""
    data = bytearray(content)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        a, b = sorted(rng.integers(0, len(data) + 1, 2).tolist())
        b = min(b, a + int(rng.integers(1, 40)))
        kind = rng.integers(0, 7)
        word = WORDS[rng.integers(len(WORDS))].encode("utf-8", "surrogatepass")
        lines = bytes(data).splitlines(keepends=True)
        if kind == 0:
            del data[a:]  # cut
        elif kind == 1:
            data[a:b] = word
        elif kind == 2:
            data[a:a] = data[a:b]
        elif kind == 3 and len(lines) > 2:
            del lines[rng.integers(len(lines))]
            data = bytearray(b"".join(lines))
        elif kind == 4 and len(lines) > 2:
            i, j = rng.integers(0, len(lines), 2)
            lines[i], lines[j] = lines[j], lines[i]
            data = bytearray(b"".join(lines))
        elif kind == 5 and len(lines) > 2:
            words = lines[i := rng.integers(len(lines))].split(b" ")
            words[rng.integers(len(words))] = word
            lines[i] = b" ".join(words)
            data = bytearray(b"".join(lines))
        elif len(data):
            data[a % len(data)] ^= 1 << int(rng.integers(8))
        data = data or bytearray(b"\n")
    return bytes(data)


@contextmanager
def at_most(seconds: int):
    def stop(number, frame):
        raise TimeoutError(f"it did not end within {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def attack(folder: Path, n: int, seed: int) -> tuple[int, list[str]]:
    """How many of n damaged files were refused in words, and what else went wrong."""
    rng = np.random.default_rng(seed)
    sound = files(folder)
    contents = {path: path.read_bytes() for path, _ in sound}
    refused, wrong = 0, []
    for k in range(n):
        path, reader = sound[k % len(sound)]
        path.write_bytes(damaged(contents[path], rng))
        try:
            with at_most(SECONDS), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                reader(path)
        except PhonaxError as error:
            refused += 1
            if not (error.what and error.why and error.remedy):
                wrong.append(f"{path.name} {seed}/{k}: an error without words: {error}")
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            (folder / f"wrong-{seed}-{k}-{path.name}").write_bytes(path.read_bytes())
            wrong.append(f"{path.name} {seed}/{k}: {type(error).__name__}: {str(error)[:100]}")
        path.write_bytes(contents[path])
    return refused, wrong


def test_the_sound_files_are_read(tmp_path):
    for path, reader in files(tmp_path):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reader(path)


def test_damaged_files_are_read_or_refused_in_words(tmp_path):
    refused, wrong = attack(tmp_path, 150, 1)
    assert not wrong
    assert refused > 50


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 7))
def test_many_damaged_files_are_read_or_refused_in_words(tmp_path, seed):
    refused, wrong = attack(tmp_path, 400, seed)
    assert not wrong
    assert refused > 120


def test_a_configuration_of_nested_references_is_no_bomb(tmp_path):
    """Nine levels of nine references are 4e8 values when written out: no message does that."""
    text = "a0: &a0 [1,1,1,1,1,1,1,1,1]\n"
    text += "".join(f"a{k}: &a{k} [{','.join([f'*a{k - 1}'] * 9)}]\n" for k in range(1, 10))
    (tmp_path / "a.yaml").write_text(text + "data: {train: *a9}\n")
    with at_most(SECONDS), pytest.raises(PhonaxError):
        read_config(tmp_path / "a.yaml")
    assert yaml.safe_load(text)  # it is YAML


FLAT = """data_salt
_cell_length_a 4.1
_cell_length_b 4.1
_cell_length_c 4.1
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma {gamma}
_space_group_name_H-M_alt "P 1"
loop_
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Cs 0.0 0.0 0.0 {occupancy}
Cl 0.5 0.5 0.5 1.0
"""


@pytest.mark.parametrize("gamma", ["1e-09", "2e-9", "1e-8"])
@pytest.mark.parametrize("ending", ["cif", "vasp", "xyz"])
def test_a_cell_that_is_flat_but_for_rounding_is_refused_at_once(tmp_path, gamma, ending):
    """Its volume is no zero; a search for neighbours in it takes hours."""
    path = tmp_path / f"flat.{ending}"
    if ending == "cif":
        path.write_text(FLAT.format(gamma=gamma, occupancy="1.0"))
    else:
        flat = Atoms("CsCl", scaled_positions=[[0, 0, 0], [0.5] * 3], cell=[4.1] * 3, pbc=True)
        flat.cell[1] = 4.1 * np.array([np.cos(np.radians(float(gamma))), np.radians(float(gamma)), 0.0])
        write(path, flat, format={"xyz": "extxyz"}.get(ending, ending))
    with at_most(SECONDS), pytest.raises(StructureError):
        read_structure(str(path))


def test_occupancies_of_hundreds_of_digits_are_named(tmp_path):
    path = tmp_path / "many.cif"
    path.write_text(FLAT.format(gamma="90", occupancy="9" * 400))
    with pytest.raises(StructureError, match=r"occupied in part.*99\.\.\.9"):
        read_structure(str(path))
