"""What can be asked of a study of the thermal conductivity."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..base.errors import InputError
from ..phonons.defaults import MAX_THIRD_ORDER_ATOMS, METHODS, RTA, THIRD_ORDER_TOLERANCE
from .options import flag, integer, mesh_number, number, option, path, positive, positive_integer, text
from .settings import MAX_TEMPERATURES, CellSettings, RelaxationSettings, SupercellSettings

_THIRD, _SOLUTION, _CHARGES = "supercell of third order", "transport", "charges"


@dataclass(frozen=True)
class ThirdOrderSettings(SupercellSettings):
    """How the supercell of third-order constants is found."""

    third_supercell: tuple[int, ...] | None = option(
        None,
        integer,
        _THIRD,
        "of third-order constants, written as `supercell`, which is that of second-order ones",
        metavar="N",
        n_values="+",
        either=_THIRD,
    )
    third_tolerance: float = option(
        THIRD_ORDER_TOLERANCE,
        positive,
        _THIRD,
        "otherwise: the smallest supercell whose third-order constants, interpolated, differ by no more than this part"
        " (RMS) from the exact ones at wave vectors in between (default: %(default)g)",
        metavar="X",
        either=_THIRD,
    )
    third_max_atoms: int = option(
        MAX_THIRD_ORDER_ATOMS,
        positive_integer,
        _THIRD,
        "... of at most this many atoms; if none meets the tolerance, the largest (default: %(default)d)",
        metavar="N",
    )


@dataclass(frozen=True)
class ConductivitySettings(ThirdOrderSettings, RelaxationSettings, CellSettings):
    """Everything that `conductivity_study` can be told; names and values are those of the command's help."""

    method: str = option(
        RTA,
        text,
        _SOLUTION,
        "rta: relaxation times; lbte: the linearised equation of transport, solved directly; wigner: relaxation times"
        " and what tunnels between bands (default: %(default)s)",
        choices=METHODS,
    )
    mesh: tuple[int, int, int] | None = option(
        None,
        mesh_number,
        _SOLUTION,
        "wave vectors along the three reciprocal vectors (default: a series of meshes, until the conductivity at 300 K"
        " changes by less than `mesh_tolerance`)",
        metavar=("NA", "NB", "NC"),
        n_values=3,
        either="mesh",
    )
    mesh_tolerance: float = option(
        0.03, positive, _SOLUTION, "of that series, relative (default: %(default)g)", metavar="X", either="mesh"
    )
    temperatures: tuple[float, float, float] = option(
        (100.0, 1000.0, 50.0),
        number,
        _SOLUTION,
        "[K], and 300 K in any case (default: 100 1000 50)",
        metavar=("FROM", "TO", "STEP"),
        n_values=3,
    )
    no_isotopes: bool = flag(_SOLUTION, "natural isotopes do not scatter")
    boundary: float | None = option(
        None, positive, _SOLUTION, "mean free path that boundaries allow (default: no boundary)", metavar="µm"
    )
    born: Path | None = option(
        None,
        path,
        _CHARGES,
        "Born charges and dielectric tensor in phonopy's format, for harmonic phonons; `predict` has them predicted,"
        " `none` leaves them out (default: as for phonons)",
        metavar="BORN",
    )
    dipole_width: float | None = option(
        None, number, _CHARGES, "L of the Gaussian that ends the model's reach, in 1/Å", metavar="L"
    )

    @property
    def temperatures_k(self) -> list[float]:
        """The temperatures, 300 K among them [K]."""
        first, last, step = self.temperatures
        series = {round(first + k * step, 9) for k in range(int((last - first) / step + 1e-9) + 1)}
        return sorted(series | {300.0})

    def _check(self) -> None:
        first, last, step = self.temperatures
        count = (last - first) / step if step else float("inf")
        if not (first > 0 and step > 0 and 0 <= count <= MAX_TEMPERATURES):
            raise InputError(
                f"the temperatures {first:g} to {last:g} K in steps of {step:g} K are no series",
                f"they ascend from above 0 K (there nothing carries heat), and are at most {MAX_TEMPERATURES}",
                "write them like `temperatures=(100, 1000, 50)`",
            )
        if self.mesh is not None and max(self.mesh) < 2:
            raise InputError(
                "the mesh is one wave vector, Γ",
                "no phonon moves there, and nothing is carried",
                "give a mesh such as 11 11 11, or none for a converged one",
            )
