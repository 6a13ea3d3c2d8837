"""`ase-phonax phonons`: from a structure file to bands, densities of states and heat."""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from functools import cache
from typing import TYPE_CHECKING, Any

from . import (
    animation_section,
    born_section,
    displacements_section,
    follow_section,
    interchange_section,
    irreps_section,
    loading,
    options,
)
from .config import add_config
from .crystal import add_structure_options, add_supercell_options, find_supercell, read_crystal, relaxed
from .model_facts import model_facts
from .output import atomic_directory, writing
from .progress import Stopwatch, progress_bar, without_progress
from .provenance import provenance, read_files

if TYPE_CHECKING:
    from phonopy import Phonopy

    from .crystal import Crystal
    from .phonon_results import PhononResults, Sampling

SUFFIX = "phonons"
EXACT_SPACING = 0.04  # [1/Å] twice that of interpolated bands: exact ones are smooth, and each q costs something
# What can be asked for besides bands, densities and heat, in the order of the report.
SECTIONS: tuple[Any, ...] = (
    irreps_section,
    follow_section,
    born_section,
    displacements_section,
    animation_section,
    interchange_section,
)

_DESCRIPTION = """\
Relax a crystal with its symmetry kept, find the smallest supercell that is large enough, compute exact
force constants, and write bands, densities of states, symmetries and thermal properties. Nothing is
displaced and nothing is symmetrised afterwards; what that costs in accuracy is checked and printed.
"""

_EPILOG = """\
files written to the output folder:
  summary.json                 everything printed, for programs
  bands.png, bands.pdf         bands beside densities of states
  band.yaml                    bands in phonopy's format
  irreps.yaml                  symmetry and activity of the modes at Γ
  imaginary_modes.yaml         where there are any
  total_dos.dat                density of states
  projected_dos.dat            its projection on each atom
  thermal_properties.yaml      free energy, entropy, heat capacity
  phonopy_params.yaml          all of it, for `phonopy-load` and phonopy.load()
  force_constants.hdf5         the force constants alone [eV/Å²]
  relaxed.extxyz               the structure they belong to
and those that the options above name. phonopy's files are in THz whatever --unit says.

Imaginary frequencies are negative. A crystal with imaginary modes is a result: the exit code is 0 and
the table says so. Exit codes: see `ase-phonax --help`.
"""


def add_parser(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "phonons",
        help="phonons of a crystal",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    structure = add_structure_options(parser)
    structure.add_argument("--no-relax", action="store_true", help="take the structure as it is; forces are reported")
    structure.add_argument("--fix-cell", action="store_true", help="relax the atoms, not the cell")
    add_supercell_options(parser)
    sampling = parser.add_argument_group("bands, densities of states and heat")
    sampling.add_argument(
        "--path",
        metavar="POINTS",
        help="special points of ASE for the lattice, such as GXWLG or GX,KG (default: the standard path by seekpath)",
    )
    how = sampling.add_mutually_exclusive_group()
    how.add_argument(
        "--exact",
        action="store_true",
        help="exact D(q) at every wave vector of the path and the mesh instead of interpolation from the supercell",
    )
    how.add_argument(
        "--no-exact",
        action="store_true",
        help="bands interpolated from the supercell even where it misses the tolerance (default: exact ones there)",
    )
    options.add_mesh(sampling)
    options.add_temperatures(sampling)
    options.add_unit(sampling)
    for section in SECTIONS:
        section.add_options(parser)
    options.add_output(parser, SUFFIX)
    options.add_reporting(parser)
    add_config(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Compute, write and print."""
    output = options.output_directory(arguments.structure, arguments.output, SUFFIX)
    with Stopwatch.logging_to(arguments.log) as watch, without_progress(arguments.quiet):
        with watch.section("imports"):
            from .phonon_results import own_files, summary, write_results
            from .phonon_table import table

        with loading.collected_warnings() as notes:
            load = cache(lambda: _load(arguments, watch))
            with watch.section("structure"):
                crystal = _checked(arguments, lambda: load().potential.cutoff)
            with atomic_directory(output, overwrite=arguments.overwrite, own_files=own_files()) as folder:
                results = _compute(arguments, crystal, load(), watch, notes)
                with watch.section("files"), progress_bar("pictures and files"), writing(output):
                    write_results(results, folder)
        watch.note("results", {"folder": str(output), **summary(results)})
        if not arguments.quiet:
            print(table(results, output))
    return 0


def _load(arguments: argparse.Namespace, watch: Stopwatch) -> Any:
    with watch.section("model"), progress_bar("loading the model"):
        return loading.load_calculator(arguments.model, arguments.dtype)


def _checked(arguments: argparse.Namespace, cutoff: Any) -> Crystal:
    """The structure; every option that depends on it is tried before anything long is computed."""
    crystal = read_crystal(arguments, cutoff)
    if arguments.path is not None:
        _path(arguments, crystal, crystal.atoms.cell[:])
    options.temperatures(arguments)
    for section in SECTIONS:
        section.check_options(arguments, crystal.atoms)
    return crystal


def _path(arguments: argparse.Namespace, crystal: Crystal, cell: Any) -> Any:
    """The band path, as `get_band_structure` takes it; names that the lattice lacks are refused."""
    from ..phonons.bands.paths import named_path
    from ..phonons.bands.plane_paths import layer_path

    if crystal.layer is not None:
        return layer_path(cell, crystal.layer.axis, arguments.path)
    if arguments.path is not None:
        named_path(arguments.path, cell)
    return arguments.path


def _compute(
    arguments: argparse.Namespace, crystal: Crystal, calc: Any, watch: Stopwatch, notes: list[str]
) -> PhononResults:
    from ..models.registry import DEFAULT
    from ..phonons.supercell import constants, objects
    from ..phonons.supercell.checks import PROBES, checks
    from ..phonons.supercell.constants import crystal_atoms
    from .phonon_results import PhononResults

    with watch.section("relaxation"):
        atoms, relaxation = relaxed(crystal, calc, arguments)
    with watch.section("supercell"):
        matrix, choice = find_supercell(crystal, atoms, calc, arguments)
    with watch.section("force_constants"), progress_bar("force constants") as progress:
        phonopy = objects.get_phonopy(atoms, calc, matrix, symprec=arguments.symprec, progress=progress)
    with watch.section("checks"), progress_bar("checks") as progress:
        primitive = crystal_atoms(phonopy.primitive)
        probes = PROBES * crystal.repeated

        def exact_at(q: Any, **how: Any) -> Any:
            return calc.get_dynamical_matrix(primitive, q, progress=progress, **how)

        residuals = checks(phonopy, exact_at, probes)
        errors = constants.interpolation_errors(phonopy, exact_at(probes), probes)  # remembered by the calculator
        worst_qpoint = probes[abs(errors).max(axis=1).argmax()]
    with watch.section("sampling"):
        born_section.prepare(arguments, phonopy)
        # Where the supercell does not suffice, bands at least are exact; not with charges, which have no exact form.
        missed = residuals["interpolation_error_thz"] > arguments.tolerance and _may_be_exact(arguments)
        sampling = _sample(arguments, crystal, phonopy, calc, missed)
    with watch.section("sections"), progress_bar("symmetries and more") as progress:
        context = {
            "atoms": atoms,
            "unit": arguments.unit,
            "noise_thz": sampling.noise_thz,
            "crystal": crystal,
            "bands": sampling.bands,
            "progress": progress,
        }
        found = []
        for section in SECTIONS:
            # Single wave vectors are as exact as the bands; whole meshes where that was asked for.
            exact = arguments.exact or (sampling.bands_exact and section in (irreps_section, follow_section))
            with _matrices(exact, phonopy, calc, progress):
                found.append(section.compute(arguments, phonopy, calc, exact=exact, **context))
    return PhononResults(
        arguments=arguments,
        crystal=crystal,
        atoms=atoms,
        model=model_facts(calc.potential, arguments.model),
        relaxation=relaxation,
        choice=choice,
        phonopy=phonopy,
        checks=residuals,
        worst_qpoint=worst_qpoint,
        sampling=sampling,
        sections=[section for section in found if section is not None],
        watch=watch,
        notes=notes,
        provenance=provenance(arguments, read_files(arguments), arguments.model or DEFAULT),
    )


def _sample(arguments: argparse.Namespace, crystal: Crystal, phonopy: Phonopy, calc: Any, missed: bool) -> Sampling:
    """Bands, meshes and heat, from exact matrices where asked for, or where the supercell does not suffice."""
    import numpy as np

    from ..phonons.bands.paths import SPACING
    from ..phonons.bands.structure import get_band_structure
    from ..phonons.sampling import heat, meshes, stability
    from .phonon_results import Sampling

    reason = "as asked" if arguments.exact else "the supercell misses the tolerance" if missed else ""
    with progress_bar("bands") as progress:
        exact = calc if reason else None
        path = _path(arguments, crystal, phonopy.primitive.cell)
        spacing = EXACT_SPACING if reason else SPACING
        bands = get_band_structure(phonopy, path, exact=exact, spacing=spacing, progress=progress)
        lowest = min(float(np.min(f)) for f in bands.frequencies)
        dips = exact is None and lowest < -meshes.IMAGINARY_THRESHOLD_THZ
        if dips and _may_be_exact(arguments):
            # Imaginary modes, or an artefact of interpolating: the picture shall not leave that open.
            reason = "interpolated ones dip below zero"
            bands = get_band_structure(phonopy, path, exact=calc, spacing=EXACT_SPACING, progress=progress)
    with progress_bar("densities of states") as progress, _matrices(arguments.exact, phonopy, calc, progress):
        mesh, convergence = _mesh(arguments, phonopy, crystal)
        thermal = heat.get_thermal_properties(phonopy, options.temperatures(arguments))
        frequencies = stability.get_frequency_range(phonopy)
        noise = stability.acoustic_noise(phonopy)
        numbers = tuple(int(n) for n in mesh.mesh_numbers)
        exact_minimum = None
        if (frequencies.imaginary or reason) and not arguments.exact and arguments.born is None:
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
        interpolation_imaginary=not arguments.exact and (frequencies.imaginary or dips),
    )


def _may_be_exact(arguments: argparse.Namespace) -> bool:
    return arguments.born is None and not arguments.no_exact


def _matrices(exact: bool, phonopy: Phonopy, calc: Any, progress: Any) -> Any:
    from ..phonons.supercell.patches import exact_matrices

    return exact_matrices(phonopy, calc, progress=progress) if exact else nullcontext()


def _mesh(arguments: argparse.Namespace, phonopy: Phonopy, crystal: Crystal) -> tuple[Any, list[Any]]:
    """The mesh asked for; for exact matrices, unless one was asked for, the first that is fine enough."""
    from ..phonons.sampling import heat, meshes

    if arguments.exact and arguments.mesh is None and arguments.mesh_length is None:
        return heat.converge_mesh(phonopy, repeated=crystal.repeated)
    length = arguments.mesh_length or meshes.MESH_LENGTH
    return meshes.get_mesh(phonopy, length, numbers=arguments.mesh, repeated=crystal.repeated), []
