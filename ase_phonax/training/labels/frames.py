"""Labelled structures: what a potential is trained on and tested against."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from ...base.errors import InputError
from ...models.fields import checked_field
from ..targets import LABELS, TARGETS
from ..values import SecondOrder, Spectrum

FIELD_SINCE = 3  # version of files that has fields first


@dataclass(frozen=True, eq=False)
class Frame:
    """One structure with any mix of labels; None is a label that is not known.

    Its labels are the rows of `targets.TARGETS`, each under the name that its row gives. The electric field is none of
    them: it says where the structure was when they were computed.

    Attributes:
        atoms: without calculator and constraints; masses matter for spectra only.
        energy: of the whole cell [eV].
        forces: (n, 3) [eV/Å].
        stress: (3, 3) [eV/Å³], positive under tension (ASE's sign).
        second: second derivatives.
        spectrum: frequencies.
        dipole: (3,) of a neutral molecule, in `field` [eÅ].
        polarizability: (3, 3) [e²Å²/eV].
        born_charges: (n, 3, 3) dmu_a/dx_b of that dipole, field first, displacement second [e].
        polarizability_gradient: (n, 3, 3, 3) dalpha_ab/dx_c, displacement last [e²Å/eV].
        weights: name of a target -> factor of its part of the loss.
        origin: where it was read, for messages.
        crystal_charges: (n, 3, 3) Born charges of a crystal, field first, displacement second; they add up to zero [e].
        log_susceptibility: (3, 3) ln(eps - 1) of a crystal's electronic dielectric tensor eps.
        partial_densities: (n, 201) shares of the modes of each atom at 0, 20, ... 4000 1/cm; each atom's add up to 1.
        density_of_states: (201,) of the structure at the same frequencies, with the maximum 1; -1 where not known.
        field: (3,) uniform electric field [V/Å] in which a neutral molecule has these labels; None without, and where
            zero was given.
    """

    atoms: Atoms
    energy: float | None = None
    forces: np.ndarray | None = None
    stress: np.ndarray | None = None
    second: SecondOrder | None = None
    spectrum: Spectrum | None = None
    weights: tuple[tuple[str, float], ...] = ()
    origin: str = ""
    dipole: np.ndarray | None = None
    polarizability: np.ndarray | None = None
    born_charges: np.ndarray | None = None
    polarizability_gradient: np.ndarray | None = None
    field: np.ndarray | None = None
    crystal_charges: np.ndarray | None = None
    log_susceptibility: np.ndarray | None = None
    partial_densities: np.ndarray | None = None
    density_of_states: np.ndarray | None = None

    def __post_init__(self):
        if self.field is not None:
            object.__setattr__(self, "field", self._checked_field(self.field))
        n = len(self.atoms)
        self._check("positions", self.atoms.positions, (n, 3))
        self._check("weights", np.array([weight for _, weight in self.weights], float), (len(self.weights),))
        for target in TARGETS:
            value = target.of(self)
            for part in () if value is None else target.parts_of(value):
                self._check(part.words, np.asarray(part.of(value)), part.shape(n, target.n_waves(value)))
        unknown = {label for label, _ in self.weights} - set(LABELS)
        if unknown:
            raise InputError(
                f"{self.origin or 'a frame'} has weights for {', '.join(sorted(unknown))}",
                "there is no such label, and the weight would be ignored",
                f"weights can be given for {', '.join(LABELS)}",
            )
        negative = {label: weight for label, weight in self.weights if weight < 0}
        if negative:
            raise InputError(
                f"{self.origin or 'a frame'} has the weights {negative}",
                "training would move away from these labels",
                "give positive weights, or 0 to leave a label out",
            )
        if self.second is not None and self.spectrum is not None:
            self._check_same_qpoints()

    def _check(self, label: str, value: np.ndarray, shape: tuple[int, ...]) -> None:
        if value.shape != shape:
            raise InputError(
                f"{self.origin or 'a frame'} ({self.atoms.get_chemical_formula()}): {label} of shape {value.shape}",
                f"{len(self.atoms)} atoms need {shape}",
                "check how the file was written",
            )
        if not np.isfinite(value).all():
            raise InputError(
                f"{self.origin or 'a frame'} ({self.atoms.get_chemical_formula()}): {label} with "
                f"{np.count_nonzero(~np.isfinite(value))} values that are not finite",
                "one of them would turn every parameter into NaN",
                "remove the frame; it often comes from a calculation that did not converge",
            )

    def _checked_field(self, field: np.ndarray) -> np.ndarray | None:
        where = f"{self.origin or 'a frame'} ({self.atoms.get_chemical_formula()})"
        try:
            vector = checked_field(field) + 0.0  # no negative zeros: equal fields are equal bytes
        except InputError as error:
            raise InputError(f"{where}: {error.what}", error.why, error.remedy) from error
        if not vector.any():
            return None
        if self.atoms.pbc.any():
            raise InputError(
                f"{where} is in an electric field and periodic (pbc={self.atoms.pbc.tolist()})",
                "the energy of a crystal in a uniform field has no minimum, and its dipole depends on the cell",
                "set pbc=False if it is a molecule; leave the frame out if it is a crystal",
            )
        return vector

    def _check_same_qpoints(self) -> None:
        assert self.second is not None
        assert self.spectrum is not None
        here, there = np.asarray(self.second.qpoints), np.asarray(self.spectrum.qpoints)
        if here.shape != there.shape or not np.allclose(here, there, rtol=0, atol=1e-9):
            raise InputError(
                f"{self.origin or 'a frame'} has second derivatives at {len(here)} and a spectrum at {len(there)} "
                "wave vectors that are not the same",
                "both are compared at the wave vector that is drawn",
                "leave the spectrum out (the matrices hold it), or make two frames of it",
            )

    def weight(self, label: str) -> float:
        """Factor of a label's part of the loss."""
        return dict(self.weights).get(label, 1.0)


def find_elements(frames: Sequence[Frame]) -> tuple[int, ...]:
    """Atomic numbers that occur, ascending."""
    return tuple(sorted({int(z) for frame in frames for z in frame.atoms.numbers}))


def count_labels(frames: Sequence[Frame]) -> dict[str, int]:
    """How many frames carry each label."""
    return {target.name: sum(target.of(frame) is not None for frame in frames) for target in TARGETS}


def fingerprint(frames: Sequence[Frame]) -> str:
    """Hexadecimal sha256 of everything that training reads of the frames, in their order.

    Of the values, not of how they happen to be held: a float32 array and its copy in a file have the same.
    """
    digest = hashlib.sha256()

    def add(value, dtype=float) -> None:
        array = np.ascontiguousarray(np.zeros(0) if value is None else value, dtype)
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(array.tobytes())

    for frame in frames:
        atoms = frame.atoms
        add(atoms.numbers, np.int64)
        for value in (atoms.positions, atoms.cell.array, atoms.pbc, atoms.get_masses()):
            add(value)
        # A label that came after the first version of the file adds nothing where it is not: older files keep theirs.
        told = [target for target in TARGETS if target.since == 1 or target.of(frame) is not None]
        for target in told:
            if target.since > 1:
                digest.update(target.name.encode())
            value, dtype = target.of(frame), complex if target.per == "wave" else float
            for part in target.parts:
                own = None if value is None else part.of(value)
                if part.since > 1 and own is not None:
                    digest.update(part.name.encode())
                if part.since == 1 or own is not None:
                    add(own, dtype)
        add([frame.weight(target.name) for target in told])
        if frame.field is not None:
            digest.update(b"field")
            add(frame.field)
    return digest.hexdigest()
