"""Second derivatives of any ASE calculator: by displacements, or by a Hessian of its own where it has one.

What is exact elsewhere is measured here: a second step says how far differences can be trusted. D(q) between the wave
vectors of a supercell is not known, and supercells are compared with each other instead (`supercell.comparison`).
"""

from __future__ import annotations

import hashlib
import reprlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes
from ase.stress import full_3x3_to_voigt_6_stress
from numpy.typing import ArrayLike, NDArray
from phonopy import Phonopy

from ..base.errors import InputError, MissingPropertyError, PhonaxError, check_calculator, in_words
from ..base.sharing import Remembered
from ..derivatives.conventions import frequencies_thz
from ..structures.checks import vibrating
from .calculators import knows_matrices
from .defaults import DISPLACEMENT, DISPLACEMENTS, HESSIAN, THIRD_ORDER_STEPS, WAYS
from .differences import Differences, displaced_forces
from .makers import Maker, name_of
from .supercell.constants import compact_constants, crystal_atoms, interpolated_dynamical_matrices
from .supercell.objects import build_phonopy

if TYPE_CHECKING:
    from ase.vibrations import VibrationsData
    from phono3py import Phono3py

    from ..base.progress import Progress

_SHAPES = {"energy": (), "forces": (-1, 3), "stress": (6,)}
_REMEMBERED = 4  # supercells
UNKNOWN_CUTOFF = 10.0  # [Å] vacuum that layers have to have where nobody says how far forces reach


class DisplacementCalculator(Calculator):
    """Energies, forces and stress of another ASE calculator, checked, and second derivatives made of them.

    Several threads must not share one, unless they may share the calculator inside.

    Args:
        calc: any ASE calculator with energies and forces.
        step: by which atoms are displaced [Å].
        way: "displacements"; "hessian" of `calc.get_hessian(atoms)`; None: of its own where it has one.
        title: for results; the name of its class unless given.
        maker: makes another one like `calc`: pickles hold it in place of the calculator.

    Raises:
        InputError: no calculator, no step, or no such way.
    """

    implemented_properties = ["energy", "free_energy", "forces", "stress"]
    nolabel = True
    dtype = "own precision"
    field = None  # an electric one is the other calculator's own matter

    def __init__(
        self,
        calc: Any,
        step: float = DISPLACEMENT,
        way: str | None = None,
        *,
        title: str = "",
        maker: Maker | None = None,
    ):
        check_calculator(calc, "get_forces")
        if not hasattr(calc, "get_property") or isinstance(calc, Atoms | type):
            raise InputError(
                f"the calculator is {reprlib.repr(calc)}, of the type {type(calc).__name__}",
                "energies and forces of displaced atoms are asked of it",
                "give an ASE calculator: an object, not its class, its module or a structure",
            )
        if not isinstance(step, int | float) or not 1e-5 <= step <= 0.3:
            raise InputError(
                f"the step of displacements is {step!r} Å",
                "shorter ones drown in rounding, longer ones in anharmonicity",
                "give some hundredths of an Å",
            )
        own = hasattr(calc, "get_hessian")
        if way not in (None, *WAYS) or (way == HESSIAN and not own):
            raise InputError(
                f"second derivatives are asked for by {way!r}"
                + ("" if way != HESSIAN else ", and it has no get_hessian"),
                "there are two ways, and the second is the calculator's own",
                'take "displacements"' + (' or "hessian"' if own else ""),
            )
        super().__init__()
        self.inner, self.step = calc, step
        self.way = way or (HESSIAN if own else DISPLACEMENTS)
        self.title, self.maker = title or type(calc).__name__, maker
        self._parameters_then = self._parameters()  # of the last results
        self._constants: Remembered[NDArray[np.float64]] = Remembered(most=_REMEMBERED)

    def __reduce__(self) -> Any:
        made_by = self.inner if self.maker is None else self.maker
        return _again, (made_by, self.maker is not None, self.step, self.way, self.title)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.title}: second derivatives by {self.described}>"

    def fingerprint(self) -> str:
        """sha256 of what makes it and of how it is asked: tells calculators apart, as far as their makers do.

        Raises:
            InputError: nobody says what makes it, or its maker's name stands for several.
        """
        told = name_of(self.maker, self.title)
        return hashlib.sha256(f"{told} {self.step!r} {self.way}".encode()).hexdigest()

    @property
    def evaluator(self) -> Differences:
        """First derivatives, and second ones by atoms and strain."""
        return Differences(self)

    @property
    def described(self) -> str:
        """How second derivatives are found, in words."""
        return "its own Hessian" if self.way == HESSIAN else f"displacements of {self.step:g} Å"

    def _parameters(self) -> str:
        """Those of the other calculator, which may be changed at any time."""
        return repr(getattr(self.inner, "parameters", None))

    def check_state(self, atoms, tol=1e-15):
        """What has changed since the last results (ASE's interface)."""
        changes = super().check_state(atoms, tol)
        return changes if self._parameters() == self._parameters_then else [*changes, "parameters"]

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        """What the calculator inside gives, refused where it is none (ASE's interface)."""
        super().calculate(atoms, properties, system_changes)
        self._parameters_then = self._parameters()
        structure: Any = self.atoms
        wanted = dict.fromkeys(["energy", "forces", *properties])
        wanted.pop("free_energy", None)
        for name in wanted:
            self.results[name] = self._asked(name, structure)
        self.results["free_energy"] = self.results["energy"]

    def _asked(self, name: str, atoms: Atoms) -> Any:
        try:
            value = self.inner.get_property(name, atoms)
        except PropertyNotImplementedError:
            value = None
        except PhonaxError:
            raise
        except Exception as error:  # of another package: whatever it raises
            raise InputError(
                f"the calculator {self.title} gives no {name} of {atoms.get_chemical_formula()}: {in_words(error)}",
                "it may not know these elements, or this kind of structure, or has failed on it",
                "look at what it needs, or take another calculator",
            ) from error
        if value is None:
            kept = "take another calculator; phonons in a cell that is kept (`fix_cell`) need no stress"
            remedy = kept if name == "stress" else "take another calculator"
            raise MissingPropertyError(f"the calculator {self.title} gives no {name}", "it is needed here", remedy)
        if name == "stress" and np.shape(value) == (3, 3):
            value = full_3x3_to_voigt_6_stress(value)
        if name == "energy" and np.size(value) == 1:
            value = float(np.ravel(value)[0])
        shape = tuple(len(atoms) if n < 0 else n for n in _SHAPES.get(name, np.shape(value)))
        if np.shape(value) != shape or not np.isfinite(value).all():
            what = f"of the shape {np.shape(value)}" if np.shape(value) != shape else "with numbers that are not finite"
            raise InputError(
                f"the calculator {self.title} gives {name} {what}, asked for {len(atoms)} atom{'s' * (len(atoms) > 1)}",
                "derivatives of it would be no numbers",
                "check the calculator on this structure; a restarted or failed run may have left it so",
            )
        return value

    def get_force_constants(
        self, phonopy: Phonopy, *, progress: Progress | None = None, step: float | None = None
    ) -> NDArray[np.float64]:
        """Force constants of a supercell, of which atoms are displaced as its symmetry asks.

        They are phonopy's own, not symmetrised; the net force on a displaced crystal, which is noise, is taken off.
        Those of the last supercells are remembered.

        Args:
            phonopy: its cells; it is not filled.
            progress: called with (done, total) structures.
            step: other than the calculator's [Å].

        Returns:
            (n_primitive, n_supercell, 3, 3) compact constants in phonopy's order [eV/Å²].
        """
        step = self.step if step is None else step
        cell, matrices = phonopy.unitcell, (phonopy.supercell_matrix, phonopy.primitive_matrix)
        arrays = (np.asarray(x).tobytes() for x in (cell.cell, cell.positions, cell.numbers, *matrices))
        key = (*arrays, step, self._parameters())
        find = self._from_hessian if self.way == HESSIAN else self._from_displacements
        return self._constants.of(key, lambda: find(phonopy, step, progress)).copy()

    def get_third_order(
        self,
        cells: Phonopy | Phono3py,
        *,
        progress: Progress | None = None,
        step: float | None = None,
        keep: Path | None = None,
    ) -> NDArray[np.float64]:
        """Third-order constants of a supercell by displacements of pairs of atoms (`displaced_third_order`).

        Args:
            cells: of the supercell; a Phono3py object is filled.
            progress: called with (done, total) structures.
            step: other than `THIRD_ORDER_STEPS` times the calculator's [Å].
            keep: a folder for forces that are known, from which an interrupted call goes on.

        Returns:
            (n_primitive, n_supercell, n_supercell, 3, 3, 3) compact constants in phono3py's order [eV/Å³].
        """
        from .anharmonic.by_displacements import displaced_third_order

        step = THIRD_ORDER_STEPS * self.step if step is None else step
        # Forces of a calculator that nobody can tell from others are not kept.
        own = None if keep is None or self.maker is None else keep / f"forces-{self.fingerprint()[:16]}"
        constants = displaced_third_order(cells, self, step, progress, own)
        if not isinstance(cells, Phonopy):
            cells.fc3 = constants
        return constants

    def noise(self, phonopy: Phonopy, qpoints: NDArray[np.float64], progress: Progress | None = None) -> float:
        """RMS of what steps twice as long change in frequencies at wave vectors (n_q, 3) [THz]; 0 for a Hessian."""
        if self.way == HESSIAN:
            return 0.0
        other = build_phonopy(
            crystal_atoms(phonopy.unitcell),
            phonopy.supercell_matrix,
            primitive_matrix=phonopy.primitive_matrix,
            is_symmetry=False,
        )
        other.force_constants = self.get_force_constants(phonopy, progress=progress, step=2 * self.step)
        both = (frequencies_thz(interpolated_dynamical_matrices(own, qpoints)) for own in (phonopy, other))
        return float(np.sqrt(np.mean((next(both) - next(both)) ** 2)))

    def _from_displacements(self, phonopy: Phonopy, step: float, progress: Progress | None) -> NDArray[np.float64]:
        own = _displaced(phonopy, step)
        own.forces = displaced_forces(self, own.supercells_with_displacements or [], progress)
        own.produce_force_constants(calculate_full_force_constants=False, show_drift=False)
        return compact_constants(own)

    def _from_hessian(self, phonopy: Phonopy, step: float, progress: Progress | None) -> NDArray[np.float64]:
        hessian = self.get_hessian(crystal_atoms(phonopy.supercell))
        rows = np.asarray(phonopy.primitive.p2s_map)
        return np.ascontiguousarray(hessian.transpose(0, 2, 1, 3)[rows])

    def get_hessian(self, atoms: Atoms, rows: ArrayLike | None = None, progress: Progress | None = None) -> Any:
        """Second derivatives of the energy by positions: rows of the given atoms (len(rows), 3, n, 3) [eV/Å²].

        Args:
            atoms: a molecule, or a crystal all of whose images move together.
            rows: all atoms when None.
            progress: called with (done, total) structures.
        """
        n = len(atoms)
        chosen = np.arange(n) if rows is None else np.asarray(rows)
        if self.way == HESSIAN:
            try:
                whole = np.asarray(self.inner.get_hessian(atoms.copy()), float)
            except Exception as error:  # of another package: whatever it raises
                raise InputError(
                    f"get_hessian of {self.title} fails: {in_words(error)}",
                    "it was asked for second derivatives",
                    'take displacements (`second_derivatives="displacements"`)',
                ) from error
            if whole.size != 9 * n * n or not np.isfinite(whole).all():
                raise InputError(
                    f"get_hessian of {self.title} gives the shape {whole.shape} for {n} atoms, or no numbers",
                    "second derivatives are (3n, 3n) numbers",
                    "take displacements",
                )
            return whole.reshape(n, 3, n, 3)[chosen]
        result = np.empty((len(chosen), 3, n, 3))
        moved = atoms.copy()
        moved.set_constraint()
        for place, atom in enumerate(chosen):
            for x in range(3):
                if progress is not None:
                    progress(3 * place + x, 3 * len(chosen))
                sides = []
                for sign in (1, -1):
                    moved.positions[:] = atoms.positions
                    moved.positions[atom, x] += sign * self.step
                    sides.append(self.get_property("forces", moved))
                result[place, x] = (sides[1] - sides[0]) / (2 * self.step)
        return result

    def get_vibrations(
        self, atoms: Atoms, indices: Sequence[int] | None = None, *, progress: Progress | None = None
    ) -> VibrationsData:
        """Vibrations as ASE's container.

        Args:
            atoms: FixAtoms constraints are honoured.
            indices: atoms that vibrate; all free ones when None.
            progress: called with (done, total) structures.

        Raises:
            InputError: no atom is left to vibrate, or constraints hold parts of an atom's motion.
        """
        from ase.vibrations import VibrationsData

        rows = vibrating(atoms, indices)
        block = self.get_hessian(atoms, rows, progress)[:, :, rows, :]
        symmetric = block.reshape(3 * len(rows), -1)
        symmetric = (symmetric + symmetric.T) / 2  # of differences, each column has an error of its own
        return VibrationsData(atoms, symmetric.reshape(block.shape), indices=rows)


def _displaced(phonopy: Phonopy, step: float) -> Phonopy:
    """The same cells, with their symmetry and displacements."""
    own = build_phonopy(
        crystal_atoms(phonopy.unitcell),
        phonopy.supercell_matrix,
        primitive_matrix=phonopy.primitive_matrix,
        symprec=phonopy.symmetry.tolerance,
    )
    own.generate_displacements(distance=step)
    return own


def _again(made_by: Any, is_maker: bool, step: float, way: str, title: str) -> DisplacementCalculator:
    """A calculator from its pickle; what it remembers stays behind."""
    calc = made_by() if is_maker else made_by
    return DisplacementCalculator(calc, step, way, title=title, maker=made_by if is_maker else None)


def cutoff_of(calc: Any) -> float:
    """How far atoms know of each other [Å]; of a calculator that does not say so, `UNKNOWN_CUTOFF`."""
    potential = getattr(calc, "potential", None)
    return UNKNOWN_CUTOFF if potential is None else float(potential.cutoff)


def crystal_calculator(calc: Any) -> Any:
    """A calculator for studies of crystals: one that knows D(q) as it is, any other by displacements.

    Raises:
        InputError: no calculator.
    """
    return calc if knows_matrices(calc) or isinstance(calc, DisplacementCalculator) else DisplacementCalculator(calc)
