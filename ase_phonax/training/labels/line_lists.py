"""Files of spectral lines, and the frames that a model learns them from.

structure: benzene.xyz     # relaxed by the model first; relax: false takes it as measured
unit: cm-1                 # or THz, meV
uncertainty: 5             # of lines that state none
assign: species            # or transport: lines that name nothing go to the nearest modes that are left
lines:
- {at: 3073.9, species: A1g}
- {at: 992, species: A1g, uncertainty: 2}
- {at: 673, mode: 5}
- {at: 4.49, q: [0.5, 0.0, 0.5], mode: 1}     # of a crystal
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.constraints import FixSymmetry

from ...base.errors import InputError
from ...base.input_files import require_file, shown
from ...base.settings import build, check_fields, read_yaml
from ...calculator import PhonaxCalculator
from ...derivatives.conventions import mass_weighted, signed_roots_thz
from ...molecules.normal_modes import normal_modes
from ...molecules.point_groups import find_point_group
from ...molecules.stationary import stationary_modes
from ...structures.files import read_structure
from ...structures.relaxation import relax
from ..consistency import check_spectra
from ..targets import SPECTRUM
from ..values import Spectrum
from .frames import Frame
from .levels import levels_of_crystal, levels_of_molecule
from .lines import Assignment, Line, spectrum_of_lines

ASSIGN = ("species", "transport")
SYMPREC = 1e-3  # Å, of crystals that are given
FMAX, SMAX = 1e-4, 1e-5  # eV/Å, and volume x stress / n_atoms [eV], of crystals


@dataclass(frozen=True)
class LineList:
    """Lines of one structure.

    Attributes:
        structure: file of any format ASE reads, relative to the list; of a list made in Python, a name for tables.
        relax: by the model, before lines are assigned. False: the structure is as well known as the lines are, and that
            it is at rest is learned with them; it is made exactly symmetric.
        lines: in any order.
        unit: "cm-1", "THz" or "meV".
        uncertainty: standard deviation of lines that state none, in that unit; None: all lines count alike.
        assign: "species": each line names its species or its mode. "transport": lines that name none go to the modes
            that are left, so that the sum of squared distances is least.
    """

    structure: str
    lines: tuple[Line, ...]
    unit: str = "cm-1"
    uncertainty: float | None = None
    assign: str = "species"
    relax: bool = True

    def __post_init__(self):
        check_fields(self, "the list of lines")
        if self.assign not in ASSIGN or (self.uncertainty is not None and self.uncertainty <= 0):
            raise InputError(
                f"the list of lines has assign {self.assign!r} and uncertainty {self.uncertainty}",
                "lines could not be assigned or weighed",
                f"assign is one of {', '.join(ASSIGN)}, an uncertainty positive",
            )


@dataclass(frozen=True, eq=False)
class AssignedLines:
    """A list of lines, assigned to the modes of a model.

    Attributes:
        name: of its structure, for tables.
        atoms: the structure, at the model's minimum, or as it was given; exactly symmetric.
        frames: it with its spectrum as a label, and forces (and stress) of zero, so that it is and stays at rest; a
            frame for each wave vector.
        assignments: of each line.
        relaxed: the structure is the model's own.
    """

    name: str
    atoms: Atoms
    frames: tuple[Frame, ...]
    assignments: tuple[Assignment, ...]
    relaxed: bool

    def frequencies(self, calc: PhonaxCalculator) -> list[float]:
        """Frequencies of the modes that lines were assigned to, by any model at its own minimum [THz].

        Modes are followed by species and place among those of the species, whatever others do.

        Raises:
            StructureError, RelaxationError: the model cannot compute the structure, or does not relax it.
        """
        atoms = _at_rest(self.atoms, calc) if self.relaxed else self.atoms
        spectra = [spectrum for frame in self.frames if (spectrum := frame.spectrum) is not None]
        qpoints = np.concatenate([spectrum.qpoints for spectrum in spectra])
        dynamical = mass_weighted(np.asarray(calc.evaluator.lattice_matrices(atoms, qpoints)), atoms.get_masses())
        squares = [spectrum.sorted_alike(own[None])[0] for spectrum, own in zip(spectra, dynamical, strict=True)]
        return [float(signed_roots_thz(squares[own.which][list(own.places)].mean())) for own in self.assignments]


def read_lines(path: str | os.PathLike) -> tuple[LineList, Atoms]:
    """A list of lines and its structure, whose path is relative to the file.

    Raises:
        InputError: no such file, or one that is no list of lines.
        StructureError: its structure cannot be read.
    """
    require_file(path, "the list of lines", "there is nothing to learn from")
    found = build(LineList, read_yaml(Path(path)), shown(path))
    return found, read_structure(str(Path(path).parent / found.structure))


def assigned(lines: LineList, atoms: Atoms, calc: PhonaxCalculator, source: str = "") -> AssignedLines:
    """Lines on the modes of a model, at its own minimum.

    Args:
        atoms: molecule (not periodic), or crystal.
        source: for messages.

    Raises:
        InputError: lines that cannot be assigned (`lines.spectrum_of_lines`); lines of a layer or a wire.
        StructureError: the model cannot compute the structure, or has no minimum near it.
        RelaxationError: it does not relax.
    """
    source = source or f"the lines of {lines.structure or atoms.get_chemical_formula()}"
    qpoints = np.unique(np.array([line.q for line in lines.lines] or np.zeros((1, 3))), axis=0)
    _check_waves(lines, atoms, qpoints, source)
    there = _at_rest(atoms, calc) if lines.relax else symmetric(atoms)
    if atoms.pbc.any():
        named = {line.q for line in lines.lines if line.species is not None}
        levels = [levels_of_crystal(there, calc, q, named=tuple(q.tolist()) in named) for q in qpoints]
    else:
        levels = [levels_of_molecule(normal_modes(there, calc))]
    spectrum, assignments = spectrum_of_lines(
        lines.lines,
        levels,
        qpoints,
        unit=lines.unit,
        uncertainty=lines.uncertainty,
        transport=lines.assign == "transport",
        source=source,
    )
    frames = at_rest(there, spectrum, source)
    check_spectra(frames)
    name = lines.structure or atoms.get_chemical_formula()
    return AssignedLines(name, there, frames, tuple(assignments), lines.relax)


def _check_waves(lines: LineList, atoms: Atoms, qpoints: np.ndarray, source: str) -> None:
    if atoms.pbc.any() and not atoms.pbc.all():
        raise InputError(
            f"{source}: the structure is periodic in {atoms.pbc.sum()} directions",
            "lines of molecules and of crystals can be learned, those of layers and wires cannot",
            "set pbc to all or none",
        )
    if not atoms.pbc.any() and np.any(qpoints):
        raise InputError(
            f"{source}: lines at q = {qpoints[np.any(qpoints, axis=1)][0].tolist()}, and the structure is not periodic",
            "a molecule has no wave vectors",
            "leave q out",
        )
    if atoms.pbc.any() and any(line.intensity is not None for line in lines.lines):
        raise InputError(
            f"{source}: lines of a crystal have intensities",
            "an absorption in km/mol is that of a molecule",
            "leave intensities out",
        )


def _at_rest(atoms: Atoms, calc: PhonaxCalculator) -> Atoms:
    """The model's own minimum."""
    if atoms.pbc.any():
        return relax(atoms, calc, fmax=FMAX, smax=SMAX)[0]
    return symmetric(stationary_modes(atoms, calc)[0].atoms)


def symmetric(atoms: Atoms) -> Atoms:
    """The same made exactly symmetric, so that species are exact and columns of a few atoms are enough."""
    exact = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc, masses=atoms.get_masses())
    if atoms.pbc.any():
        FixSymmetry(exact, symprec=SYMPREC)
    elif len(atoms) > 1:
        exact.positions = find_point_group(atoms).positions + atoms.positions.mean(axis=0)
    return exact


def at_rest(atoms: Atoms, spectrum: Spectrum, source: str = "") -> tuple[Frame, ...]:
    """A structure without forces and stress, with its spectrum: a frame for each wave vector."""
    bare = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc, masses=atoms.get_masses())
    stress = np.zeros((3, 3)) if atoms.pbc.all() else None
    forces = np.zeros((len(bare), 3))
    each = [SPECTRUM.at_wave(spectrum, which) for which in range(len(spectrum.qpoints))]
    return tuple(Frame(bare, forces=forces, stress=stress, spectrum=own, origin=source) for own in each)
