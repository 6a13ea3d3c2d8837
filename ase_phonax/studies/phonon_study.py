"""Phonons of a crystal: relaxed, in the smallest supercell that suffices, with exact bands where that one fails."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from ..base.errors import InputError
from ..phonons.defaults import MESH_LENGTH
from . import charges
from .crystal import Crystal, find_crystal, find_supercell, refuse_large_mesh, relaxed, with_plain_results
from .phonon_results import PhononStudy, Sampling
from .section import Context
from .sections import SECTIONS
from .settings import PhononSettings
from .study import Run, run_study
from .supercell_error import compared_with

if TYPE_CHECKING:
    import numpy as np
    from ase import Atoms
    from ase.dft.kpoints import BandPath
    from phonopy import Phonopy
    from phonopy.phonon.mesh import Mesh

    from ..calculator import PhonaxCalculator
    from ..phonons.sampling.heat import MeshStep
    from ..phonons.supercell.choice import SupercellChoice
    from .section import Part
    from .watch import Progress, Watch

STUDY = PhononStudy


def phonon_study(
    atoms: Atoms, calc: PhonaxCalculator, settings: PhononSettings | None = None, watch: Watch | None = None
) -> PhononStudy:
    """All that `ase-phonax phonons` computes, in one call.

    The crystal is reduced to a primitive cell and relaxed with its symmetry kept; the smallest supercell within the
    tolerance is found; bands, densities of states, heat, symmetries of modes and imaginary modes follow, and whatever
    else the settings ask for. Bands are exact where the supercell misses the tolerance, or has imaginary modes.

    Args:
        atoms: a crystal, or a layer with vacuum; not changed. Its masses count.
        calc: a `PhonaxCalculator`, which several studies may share, in threads as well; or any other ASE calculator,
            whose second derivatives come by displacements (`DisplacementCalculator`).
        settings: those of `ase-phonax phonons`; the defaults unless given.
        watch: is told of sections and progress.

    Returns:
        Results as data: `to_dict()` is what summary.json holds, `phonopy` the object, `report()` the table and
        `write(folder)` all files. It can be sent from one process to another; the calculator stays behind.

    Raises:
        InputError: settings that make no sense together, or for this crystal.
        StructureError, SupercellError: what cannot be computed.
        RelaxationError: the crystal does not come to rest.
    """
    from ..phonons.finite_differences import crystal_calculator

    return run_study(prepare, compute, atoms, crystal_calculator(calc), PhononSettings.checked(settings), watch)


def prepare(
    atoms: Atoms, settings: PhononSettings, cutoff: Callable[[], float], name: str = "the structure"
) -> Crystal:
    """The crystal; every setting that depends on it is tried before anything long is computed."""
    crystal = find_crystal(atoms, settings, cutoff, name)
    if settings.path is not None:
        _path(settings, crystal, crystal.atoms.cell[:])
    refuse_large_mesh(crystal, settings.mesh_length, settings.mesh)
    for section in SECTIONS:
        section.check(settings, crystal.atoms)
    given = settings.born is not None and str(settings.born) not in charges.WORDS
    if given and crystal.layer is not None and crystal.layer.note:
        raise InputError(
            f"charges are given for a layer whose cell was changed ({crystal.layer.note})",
            "the dielectric tensor belongs to the height of the cell that it was computed in",
            "give the layer in a cell that need not be changed, with at least 15 Å of vacuum perpendicular to it, and"
            " the tensor of that cell: (eps - 1) times the height is what stays",
        )
    return crystal


def _path(settings: PhononSettings, crystal: Crystal, cell: np.ndarray) -> str | BandPath | None:
    """The band path, as `get_band_structure` takes it; names that the lattice lacks are refused."""
    from ..phonons.bands.paths import named_path
    from ..phonons.bands.plane_paths import layer_path

    if crystal.layer is not None:
        return layer_path(cell, crystal.layer.axis, settings.path)
    if settings.path is not None:
        named_path(settings.path, cell)
    return settings.path


def compute(crystal: Crystal, run: Run[PhononSettings]) -> PhononStudy:
    """What is asked of a crystal that was prepared."""
    from ..phonons.supercell import objects

    settings, watch = run.settings, run.watch
    refuse_exact(run.calc, settings)
    with watch.section("relaxation"):
        atoms, relaxation = relaxed(crystal, run)
    calc, because = charges.with_charges(run.calc, atoms, settings)
    run = replace(run, calc=calc)
    with watch.section("supercell"):
        matrix, choice = find_supercell(crystal, atoms, run)
    with watch.section("force_constants"), watch.progress("force constants") as progress:
        phonopy = objects.get_phonopy(atoms, calc, matrix, symprec=settings.symprec, progress=progress)
    rotations = _turned(phonopy, crystal, settings, relaxation.max_stress or 0.0)
    with watch.section("checks"), watch.progress("checks") as progress:
        measured = _residuals(phonopy, crystal, calc, choice, progress)
    with watch.section("sampling"):
        # Where the supercell does not suffice, bands at least are exact.
        missed = measured.checks["interpolation_error_thz"] > settings.tolerance and not settings.no_exact
        sampling = _sample(crystal, phonopy, run, missed)
    with watch.section("sections"), watch.progress("symmetries and more") as progress:
        parts = _parts(crystal, phonopy, run, sampling, because, progress)
    return PhononStudy(
        **run.facts(),
        crystal=crystal,
        atoms=with_plain_results(atoms, ("energy", "free_energy", "forces", "stress")),
        relaxation=relaxation,
        choice=choice,
        phonopy=phonopy,
        checks=measured.checks | rotations,
        worst_qpoint=measured.worst_qpoint,
        against=measured.against,
        sampling=sampling,
        parts=parts,
    )


def _turned(phonopy: Phonopy, crystal: Crystal, settings: PhononSettings, stress: float) -> dict[str, float]:
    """What rotations do to the constants: measured for layers, and where invariance was asked for, which is imposed."""
    from ..phonons.supercell import rotations

    if settings.impose_rotations:
        if stress > rotations.FREE_OF_STRESS:
            raise InputError(
                f"the crystal is under a stress of {stress:.2g} eV/Å³",
                "the conditions are those of a crystal at rest: imposed on this one they would take away what stress"
                " does to bending modes and sound",
                "relax the cell, or leave `impose_rotations` out",
            )
        found = rotations.impose_rotations(phonopy)
    elif crystal.layer is not None:
        found = rotations.measure_rotations(phonopy)
    else:
        return {}
    return {
        "rotations_born_huang": found.born_huang,
        "rotations_huang": found.huang,
        "rotations_changed_constants_by": found.changed_by,
    }


def refuse_exact(calc: object, settings: PhononSettings) -> None:
    """Refuse exact D(q) of a calculator that does not know it.

    Raises:
        InputError: it was asked for.
    """
    from ..phonons.calculators import knows_matrices

    if settings.exact and not knows_matrices(calc):
        raise InputError(
            "exact D(q) is asked for, and second derivatives come by displacements",
            "between the wave vectors of a supercell, displacements say nothing",
            "leave `exact` out, and take a larger supercell or a smaller `tolerance`",
        )


class _Measured(NamedTuple):
    """Checks of force constants; where interpolation is worst, (3,) reduced; what it was compared with."""

    checks: dict[str, float]
    worst_qpoint: np.ndarray
    against: str


def _residuals(
    phonopy: Phonopy, crystal: Crystal, calc: Any, choice: SupercellChoice | None, progress: Progress
) -> _Measured:
    """How well the force constants are what they should be."""
    from ..phonons.calculators import DirectedCalculator
    from ..phonons.finite_differences import DisplacementCalculator
    from ..phonons.supercell import checks, constants
    from ..phonons.supercell.comparison import errors_by_comparison

    probes = checks.probes_for(calc, crystal.repeated)
    if isinstance(calc, DisplacementCalculator):
        smaller = choice.tried[-1][0] if choice is not None and choice.tried else None
        errors, n_atoms = errors_by_comparison(phonopy, calc, crystal.repeated, smaller, progress)
        found = checks.constant_checks(phonopy) | checks.error_of(errors)
        found["displacement_noise_thz"] = calc.noise(phonopy, probes, progress)
        return _Measured(found, probes[abs(errors).max(axis=1).argmax()], compared_with(n_atoms))
    primitive = constants.crystal_atoms(phonopy.primitive)

    def exact_at(qpoints: np.ndarray, *, symmetry: bool = True) -> np.ndarray:
        return calc.get_dynamical_matrix(primitive, qpoints, symmetry=symmetry, progress=progress)

    found = checks.checks(phonopy, exact_at, probes, charged=isinstance(calc, DirectedCalculator))
    errors = constants.interpolation_errors(phonopy, exact_at(probes), probes)  # remembered by the calculator
    return _Measured(found, probes[abs(errors).max(axis=1).argmax()], compared_with(0))


def _sample(crystal: Crystal, phonopy: Phonopy, run: Run[PhononSettings], missed: bool) -> Sampling:
    """Bands, meshes and heat, from exact matrices where asked for, or where the supercell does not suffice."""
    import numpy as np

    from ..phonons.bands.structure import get_band_structure
    from ..phonons.calculators import knows_matrices
    from ..phonons.sampling import heat, meshes, stability

    settings, calc, watch = run.settings, run.calc, run.watch
    knows = knows_matrices(calc)
    reason = "as asked" if settings.exact else "the supercell misses the tolerance" if missed and knows else ""
    with watch.progress("bands") as progress:
        exact = calc if reason else None
        path = _path(settings, crystal, phonopy.primitive.cell)
        bands = get_band_structure(phonopy, path, exact=exact, progress=progress)
        lowest = min(float(np.min(f)) for f in bands.frequencies)
        dips = exact is None and lowest < -meshes.IMAGINARY_THRESHOLD_THZ
        if dips and knows and not settings.no_exact:
            # Imaginary modes, or an artefact of interpolating: the picture shall not leave that open.
            reason = "interpolated ones dip below zero"
            bands = get_band_structure(phonopy, path, exact=calc, progress=progress)
    with watch.progress("densities of states") as progress, _matrices(settings.exact, phonopy, calc, progress):
        mesh, convergence = _mesh(settings, phonopy, crystal)
        thermal = heat.get_thermal_properties(phonopy, settings.temperatures_k)
        frequencies = stability.get_frequency_range(phonopy)
        noise = stability.acoustic_noise(phonopy)
        numbers = tuple(int(n) for n in mesh.mesh_numbers)
        exact_minimum = None
        if (frequencies.imaginary or reason) and knows and not settings.exact:
            exact_minimum = stability.exact_minimum(phonopy, calc, bool(reason))
        total, projected = meshes.get_densities(phonopy, repeated=crystal.repeated)
    return Sampling(
        bands=bands,
        exact_because=reason,
        total_dos=total,
        projected_dos=projected,
        mesh_numbers=numbers,
        convergence=convergence,
        thermal=thermal,
        frequencies=frequencies,
        exact_minimum=exact_minimum,
        noise_thz=noise,
        # Frequencies are of bands and mesh; exact bands have taken the place of those that dipped.
        interpolation_imaginary=knows and not settings.exact and (frequencies.imaginary or dips),
    )


def _parts(
    crystal: Crystal,
    phonopy: Phonopy,
    run: Run[PhononSettings],
    sampling: Sampling,
    because: str,
    progress: Progress,
) -> tuple[Part, ...]:
    """What the sections say: single wave vectors as exact as the bands, whole meshes where that was asked for."""
    parts = []
    for section in SECTIONS:
        exact = run.settings.exact or (sampling.bands_exact and section.needs_exact)
        context = Context(run.settings, phonopy, run.calc, crystal.repeated, sampling.noise_thz, exact, because)
        with _matrices(exact, phonopy, run.calc, progress):
            parts.append(section.compute(context))
    return tuple(part for part in parts if part is not None)


def _matrices(
    exact: bool, phonopy: Phonopy, calc: PhonaxCalculator, progress: Progress
) -> AbstractContextManager[None]:
    """A block in which phonopy sees exact D(q), or the one of its supercell."""
    from ..phonons.supercell.patches import exact_matrices

    return exact_matrices(phonopy, calc, progress=progress) if exact else nullcontext()


def _mesh(settings: PhononSettings, phonopy: Phonopy, crystal: Crystal) -> tuple[Mesh, list[MeshStep]]:
    """The mesh asked for; for exact matrices, unless one was asked for, the first that is fine enough.

    Returns:
        the mesh, and the series that it ends; no series where a mesh was asked for.
    """
    from ..phonons.sampling import heat, meshes

    if settings.exact and settings.mesh is None and settings.mesh_length is None:
        return heat.converge_mesh(phonopy, repeated=crystal.repeated)
    length = settings.mesh_length or MESH_LENGTH
    return meshes.get_mesh(phonopy, length, numbers=settings.mesh, repeated=crystal.repeated), []
