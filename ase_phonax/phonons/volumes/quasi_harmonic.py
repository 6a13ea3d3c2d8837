"""The quasi-harmonic approximation, through `phonopy.run_qha`."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from phonopy import QHAResult, run_qha
from phonopy.physical_units import get_physical_units
from phonopy.qha import output

from ...base.errors import InputError, StructureError, UnstableWarning
from ...base.files import write_whole
from ...base.sharing import ignored_warnings
from ..defaults import EQUATIONS, HIGHEST_PERCENT, LOWEST_PERCENT, N_VOLUMES, T_MAX, T_STEP
from ..defaults import VOLUME_MESH_LENGTH as MESH_LENGTH
from .points import VolumePoint, odd_mesh_numbers
from .verdicts import LOST_DIFFERENCE, Verdict, judge, lost_free_energies, lost_share

MIN_VOLUMES = 5  # phonopy fits S(V) and C(V) with polynomials of degree four
_WRITERS = {
    "helmholtz-volume.dat": output.write_helmholtz_volume,
    "volume-temperature.dat": output.write_volume_temperature,
    "thermal_expansion.dat": output.write_thermal_expansion,
    "gibbs-temperature.dat": output.write_gibbs_temperature,
    "entropy-temperature.dat": output.write_entropy_temperature,
    "enthalpy-temperature.dat": output.write_enthalpy_temperature,
    "bulk_modulus-temperature.dat": output.write_bulk_modulus_temperature,
    "gruneisen-temperature.dat": output.write_gruneisen_temperature,
}
_LATTICE_WRITERS = {
    "lattice_parameters-temperature.dat": output.write_lattice_parameters_temperature,
    "axial_thermal_expansion.dat": output.write_axial_thermal_expansion,
}
_CP_FILES = ("Cp-temperature.dat", "entropy-volume.dat", "Cv-volume.dat", "dsdv-temperature.dat")
ENERGIES_FILE = "e-v.dat"
FILES = (ENERGIES_FILE, *_WRITERS, *_CP_FILES, *_LATTICE_WRITERS)  # those of the lattice not for every crystal


def ratios_within(lowest: float, highest: float, n_volumes: int) -> tuple[float, ...]:
    """Volumes over that of the crystal, as many as wanted and equally far apart.

    Args:
        lowest, highest: changes of the volume [%], both ends among those returned.
        n_volumes: how many.
    """
    return tuple(1 + percent / 100 for percent in np.linspace(lowest, highest, n_volumes).tolist())


RATIOS = ratios_within(LOWEST_PERCENT, HIGHEST_PERCENT, N_VOLUMES)


@dataclass(frozen=True)
class QuasiHarmonic:
    """Free energies against volume, minimised at each temperature.

    Attributes:
        points: the volumes fitted.
        left_out: volumes with imaginary modes, where the free energy is not defined, and volumes whose sums lost
            more modes than others; `reasons` says which.
        result: phonopy's own, per primitive cell [eV, Å, K]; up to the last temperature before one refused.
        mesh_numbers: of the q-points summed over, the same at every volume.
        pressure_gpa: at which G is minimal.
        reasons: why each of `left_out` is.
        modes_lost: share of the modes that each of `points` lost as imaginary ones, which the supercell invented.
        verdicts: on each temperature of `result`.
        refused: on the temperatures asked for beyond these, each with its reason.
    """

    points: tuple[VolumePoint, ...]
    left_out: tuple[VolumePoint, ...]
    result: QHAResult
    mesh_numbers: tuple[int, int, int]
    pressure_gpa: float
    reasons: tuple[str, ...] = ()
    modes_lost: tuple[float, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    refused: tuple[Verdict, ...] = ()

    @property
    def files(self) -> tuple[str, ...]:
        """Names that `write_quasi_harmonic` writes."""
        return tuple(name for name in FILES if self.result.lattice is not None or name not in _LATTICE_WRITERS)

    def at(self, temperature: float) -> dict[str, float]:
        """The results at the temperature of the run nearest to one wanted.

        Returns:
            temperature_k, volume [Å³], gibbs_free_energy [eV], bulk_modulus_gpa, thermal_expansion_per_k
            (of the volume), heat_capacity_p_J_K_mol and entropy_J_K_mol (per mole of primitive cells), gruneisen.
            Expansion, heat capacity and γ are differences over temperature: NaN at the lowest one, where
            phonopy's arrays hold a filler 0.
        """
        result, units = self.result, get_physical_units()
        i = int(np.argmin(np.abs(result.temperatures - temperature)))
        known = 1.0 if i > 0 else np.nan
        per_mole = 1000 * units.EvTokJmol
        return {
            "temperature_k": float(result.temperatures[i]),
            "volume": float(result.equilibrium_volumes[i]),
            "gibbs_free_energy": float(result.gibbs_free_energies[i]),
            "bulk_modulus_gpa": float(result.bulk_moduli[i] * units.EVAngstromToGPa),
            "thermal_expansion_per_k": float(known * result.thermal_expansion[i]),
            "heat_capacity_p_J_K_mol": float(known * result.heat_capacity_P.heat_capacities[i] * per_mole),
            "entropy_J_K_mol": float(result.entropy_temperature[i] * per_mole),
            "gruneisen": float(known * result.gruneisen_parameters[i]),
        }


def get_quasi_harmonic(
    points: Sequence[VolumePoint],
    *,
    t_max: float = T_MAX,
    t_step: float = T_STEP,
    pressure_gpa: float = 0.0,
    eos: str = EQUATIONS[0],
    mesh_length: float = MESH_LENGTH,
) -> QuasiHarmonic:
    """Thermal expansion, bulk modulus, Gibbs energy and heat capacity at constant pressure.

    At each temperature F(V) = E(V) + F_vib(V, T) + pV is fitted by an equation of state. Volumes with
    imaginary modes are left out, with a warning, and so are volumes whose sums lost more modes than others to
    interpolation. Each fit is compared with its points (`verdicts`): results end, with a warning, below the first
    temperature whose lowest point is at an end, whose curve misses its points, or which depends on modes that were
    lost. The three acoustic modes at Γ are left out of the sums.

    Args:
        points: five or more of `phonons_at_volumes`.
        t_max, t_step: temperatures from 0 [K].
        pressure_gpa: [GPa].
        eos: "vinet", "birch_murnaghan" or "murnaghan".
        mesh_length: q-points along each reciprocal vector b are about length * |b| / 2 pi [Å].

    Raises:
        InputError: temperatures, equation or number of volumes that cannot be used; or fewer than three temperatures
            with a sound fit.
        StructureError: too few volumes without imaginary modes, or with the same share of modes.
    """
    check_temperatures(t_max, t_step)
    # One more than asked for: phonopy's differences use it up.
    temperatures = np.arange(0.0, t_max + 1.5 * t_step, t_step)
    if eos not in EQUATIONS:
        raise InputError(
            f"the equation of state {eos!r} is unknown", "it is what F(V) is fitted by", f"use one of {EQUATIONS}"
        )
    stable, unstable = _sorted_by_stability(points)
    numbers = odd_mesh_numbers(stable[-1].phonopy, mesh_length)

    def run(fitted: tuple[VolumePoint, ...], temperatures: NDArray[np.float64]) -> QHAResult:
        # All three are judged or said below, once.
        words = "Lattice parameters are extrapolated|Lattice parameter fitting|EOS fitting failed"
        with ignored_warnings(f"(?:{words})"):
            return run_qha(
                [point.phonopy for point in fitted],
                temperatures,
                internal_energies=[point.energy for point in fitted],
                mesh=numbers,
                pressure=pressure_gpa or None,
                eos=eos,
                exclude_gamma_acoustic=True,
            )

    result = _with_clear_failure(run, temperatures, stable)
    shares = {point.ratio: lost_share(point.phonopy) for point in stable}
    least = min(shares.values())
    whole = tuple(point for point in stable if shares[point.ratio] - least <= LOST_DIFFERENCE)
    reasons = {point.ratio: f"imaginary modes: {point.instability}" for point in unstable}
    if len(whole) < len(stable):
        reasons |= _lost_more(stable, shares, len(whole))
        result = _with_clear_failure(run, temperatures, whole)
    verdicts = _verdicts(result, whole, temperatures[:-1], pressure_gpa)
    n = _sound(verdicts)
    if n < len(verdicts):
        # The last sound one is used up by phonopy's differences: none of them reaches a curve that was refused.
        result = run(whole, temperatures[:n])
        _warn_of_refusal(result.temperatures[-1], verdicts[n])
        n -= 1
    if result.lattice is None:
        warnings.warn(
            "There are no lattice parameters against temperature: the angles of the cell depend on its volume.",
            UnstableWarning,
            stacklevel=2,
        )
    left_out = tuple(sorted((p for p in points if p.ratio in reasons), key=lambda point: point.volume))
    return QuasiHarmonic(
        points=whole,
        left_out=left_out,
        result=result,
        mesh_numbers=numbers,
        pressure_gpa=pressure_gpa,
        reasons=tuple(reasons[point.ratio] for point in left_out),
        modes_lost=tuple(shares[point.ratio] for point in whole),
        verdicts=verdicts[:n],
        refused=_reasoned(verdicts[n:]),
    )


def write_quasi_harmonic(expansion: QuasiHarmonic, folder: Path) -> None:
    """Write phonopy's own data files, those that `expansion.files` names, into an existing folder."""
    lines = [f"{point.volume:20.12f} {point.energy:20.12f}" for point in expansion.points]
    header = "#   cell volume (Å³)       energy (eV)"
    write_whole(folder / ENERGIES_FILE, "\n".join([header, *lines]) + "\n")
    for name, writer in _WRITERS.items():
        writer(expansion.result, filename=folder / name)
    output.write_heat_capacity_P(expansion.result, *(folder / name for name in _CP_FILES))
    if expansion.result.lattice is not None:
        for name, writer in _LATTICE_WRITERS.items():
            writer(expansion.result, filename=folder / name)


def check_temperatures(t_max: float, t_step: float) -> None:
    """Refuse temperatures that give no differences, or more of them than anybody reads.

    Raises:
        InputError: fewer than three temperatures up to t_max, or more than 100,000 [K].
    """
    if not (0 < t_step <= t_max / 2 < np.inf and t_max / t_step < 1e5):
        raise InputError(
            f"temperatures up to {t_max:g} K in steps of {t_step:g} K are fewer than three or more than 100,000",
            "thermal expansion is a difference between neighbouring temperatures",
            "give a positive step of at most half the highest temperature, such as 10 K",
        )


def _sorted_by_stability(points: Sequence[VolumePoint]) -> tuple[tuple[VolumePoint, ...], tuple[VolumePoint, ...]]:
    """Stable volumes and unstable ones, each in ascending order, with a warning of the latter."""
    ordered = sorted(points, key=lambda point: point.volume)
    if len(ordered) < MIN_VOLUMES:
        raise InputError(
            f"{len(ordered)} volumes are given",
            f"phonopy fits entropy and heat capacity over volume with polynomials that take {MIN_VOLUMES}",
            f"give {MIN_VOLUMES} or more; seven are better",
        )
    unstable = tuple(point for point in ordered if point.imaginary)
    stable = tuple(point for point in ordered if not point.imaginary)
    named = "; ".join(f"{point.name}: {point.instability}" for point in unstable)
    if len(stable) < MIN_VOLUMES:
        raise StructureError(
            f"only {len(stable)} of {len(ordered)} volumes have no imaginary modes. Unstable: {named}",
            "an imaginary mode has no free energy, so there is no quasi-harmonic approximation for this crystal there",
            "look at the modes with `ase-phonax phonons`, follow the instability to the stable structure,"
            " or choose volumes at which it is stable",
        )
    if unstable:
        warnings.warn(f"Volumes with imaginary modes are left out of the fit: {named}.", UnstableWarning, stacklevel=3)
    return stable, unstable


def _lost_more(stable: tuple[VolumePoint, ...], shares: dict[float, float], n_whole: int) -> dict[float, str]:
    """Why volumes that lost more modes than others are left out, by ratio; with a warning.

    Raises:
        StructureError: too few volumes remain.
    """
    least = min(shares.values())
    named = "; ".join(f"{point.name}: {100 * shares[point.ratio]:.2f} %" for point in stable)
    if n_whole < MIN_VOLUMES:
        raise StructureError(
            f"the volumes lost different shares of their modes as imaginary ones of the supercell ({named})",
            "their free energies do not lie on one curve: a mode that is lost is missing from the sum",
            "take a larger supercell, or volumes at which its modes are real",
        )
    warnings.warn(
        f"{len(stable) - n_whole} of {len(stable)} volumes are left out of the fit: their sums lost more modes than"
        f" those of the others, as imaginary ones of the supercell alone ({named}). Take a larger supercell.",
        UnstableWarning,
        stacklevel=3,
    )
    return {
        ratio: f"{100 * share:.2f} % of its modes lost, as imaginary ones of the supercell; others {100 * least:.2f} %"
        for ratio, share in shares.items()
        if share - least > LOST_DIFFERENCE
    }


def _with_clear_failure(
    run: Callable[[tuple[VolumePoint, ...], NDArray[np.float64]], QHAResult],
    temperatures: NDArray[np.float64],
    points: tuple[VolumePoint, ...],
) -> QHAResult:
    """phonopy's result, or an error in our words where it fits no equation of state."""
    try:
        return run(points, temperatures)
    except RuntimeError as error:
        raise InputError(
            f"the free energies of the volumes {points[0].name} to {points[-1].name} fit no equation of state: {error}",
            "without a minimum of F(V) there is no equilibrium volume",
            "choose volumes around the minimum, more of them, or another equation of state",
        ) from error


def _verdicts(
    result: QHAResult, points: tuple[VolumePoint, ...], wanted: NDArray[np.float64], pressure_gpa: float
) -> tuple[Verdict, ...]:
    """A verdict on each temperature asked for, those that phonopy could not fit among them."""
    volumes = np.array([point.volume for point in points])
    static = np.array([point.energy for point in points])
    static += pressure_gpa / get_physical_units().EVAngstromToGPa * volumes
    lost = np.stack([lost_free_energies(point.phonopy, result.temperatures) for point in points], axis=1)
    judged = {v.temperature_k: v for v in judge(result, [point.name for point in points], static, lost)}
    no_fit = "no equation of state fits the points"
    return tuple(judged.get(float(t), Verdict(float(t), no_fit)) for t in wanted)


def _sound(verdicts: tuple[Verdict, ...]) -> int:
    """How many temperatures from the lowest on are not refused.

    Raises:
        InputError: fewer than three, which differences over temperature need.
    """
    n = next((i for i, verdict in enumerate(verdicts) if verdict.refusal), len(verdicts))
    if n < 3:
        verdict = verdicts[n]
        raise InputError(
            f"at {verdict.temperature_k:g} K {verdict.refusal}",
            "a fit knows nothing that its points do not say",
            "choose volumes that hold the equilibrium at low temperature and zero-point motion (and at the pressure,"
            " where one is given)"
            if verdict.beyond
            else "take a larger supercell, so that no modes are lost, or volumes nearer to the equilibrium",
        )
    return n


def _warn_of_refusal(last: float, first: Verdict) -> None:
    """Warn that results end at the temperature `last` [K], because of the `first` verdict that refuses one."""
    advice = " A wider range of volumes may go further." if first.beyond > 0 else ""
    warnings.warn(
        f"Results end at {last:g} K: at {first.temperature_k:g} K {first.refusal}.{advice}",
        UnstableWarning,
        stacklevel=3,
    )


def _reasoned(refused: tuple[Verdict, ...]) -> tuple[Verdict, ...]:
    """Each with a reason: what is sound by itself among them is no neighbour to take a difference with."""
    why = "results end below, where a temperature is refused: expansion is a difference between neighbours"
    return tuple(verdict if verdict.refusal else replace(verdict, refusal=why) for verdict in refused)
