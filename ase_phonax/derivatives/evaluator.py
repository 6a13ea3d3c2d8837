"""From Atoms and a Potential to numbers: where structures are checked, and a route to derivatives is chosen.

A potential that has a form as arrays is evaluated in NumPy unless the compiled route is asked for. A plain function
goes through JAX; float64 is then entered with the scoped `jax.enable_x64`, and no global JAX setting is touched.
"""

from collections.abc import Sequence

import numpy as np
from ase import Atoms

from ..base.errors import InputError
from ..base.progress import Progress
from ..base.sharing import Remembered, jax_stayed_behind
from ..models.potential import Potential
from ..structures.neighbours import Alternatives, Neighbours, check_atoms, find_neighbours, require_neighbours
from .arrays.route import ArraysRoute
from .compiled.devices import DeviceLike, device_name, find_device, is_cpu
from .compiled.route import CompiledRoute
from .route import ARRAYS, COMPILED, ROUTES, Route, StrainDerivatives

CLOSED = 1e-6  # how far the sum of three wave vectors may be from a reciprocal lattice vector


class Evaluator:
    """A potential in one precision, ready for structures, in several threads at once.

    A pickle or a copy holds the potential alone: what is remembered of structures, and compiled, stays behind.

    Args:
        potential: with or without a form as arrays.
        dtype: of all arithmetic.
        route: "arrays" (NumPy) or "compiled" (JAX); None: arrays, unless an accelerator is named or the potential has
            only its function.
        device: name of the device of compiled functions (`compiled.devices.device_name`); None: as JAX chooses.
        others: names of other models that know given elements, for the error of an unknown one.

    Raises:
        InputError: no such route, or not for this potential or device.
    """

    def __init__(
        self,
        potential: Potential,
        dtype: np.dtype,
        route: str | None = None,
        device: str | None = None,
        others: Alternatives | None = None,
    ):
        self.potential, self.dtype, self.device, self.others = potential, np.dtype(dtype), device, others
        self._asked, self._chosen = route, self._choose(route)
        self._neighbours_of: Remembered[Neighbours] = Remembered()

    def __reduce__(self) -> tuple:
        return Evaluator, (self.potential, self.dtype, self._asked, self.device, self.others)

    @property
    def described(self) -> str:
        """Precision, route and device in words."""
        route = COMPILED if isinstance(self._chosen, CompiledRoute) else ARRAYS
        device = self.device or ("cpu" if route == ARRAYS else "as JAX chooses")
        return f"{self.dtype.name}, route {route}, device {device}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.potential.name!r}: {self.described}>"

    def of(self, potential: Potential) -> "Evaluator":
        """Another potential of the same cutoff and elements, evaluated alike; both find neighbours once."""
        other = Evaluator(potential, self.dtype, self._asked, self.device, self.others)
        other._neighbours_of = self._neighbours_of
        return other

    @property
    def route(self) -> Route:
        """What answers: the route that was chosen.

        In a process forked from one in which JAX had run, where JAX cannot, networks on CPUs go by arrays instead:
        the same numbers to rounding.

        Raises:
            InputError: there, where that is no way out.
        """
        if jax_stayed_behind() and isinstance(self._chosen, CompiledRoute):
            arrays = self._arrays() if is_cpu(self.device) else None
            if arrays is None:
                raise InputError(
                    f"this process was forked from one in which JAX had run, and {self.potential.name!r} needs JAX",
                    "JAX's threads did not come along: it would wait for them for ever",
                    'start worker processes another way: multiprocessing.get_context("spawn"), or fork before JAX has'
                    " computed anything; models that are networks need no JAX",
                )
            self._chosen = arrays
        return self._chosen

    def energy_forces_stress(self, atoms: Atoms) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Energies of the atoms, forces and virial (`Route.energy_forces_stress`)."""
        return self.route.energy_forces_stress(self.neighbours(atoms))

    def outputs(self, atoms: Atoms) -> dict[str, np.ndarray]:
        """What the network gives, by name: (n, components) of the atoms, or (components,) of the structure."""
        values = dict(self.route.outputs(self.neighbours(atoms)))
        # Sums over atoms are taken in double precision, whatever the network is evaluated in.
        values |= {o.name: values[o.name].astype(float) for o in self.potential.outputs if o.per == "structure"}
        return {output.name: output.given(values[output.name]) for output in self.potential.outputs}

    def features(self, atoms: Atoms) -> list[list[np.ndarray]]:
        """What leaves each layer of a network: blocks (channels, n, components), one for each of its irreps.

        Raises:
            InputError: a potential that is no network with a form as arrays.
        """
        arrays = self._arrays()
        if arrays is None:
            raise InputError(
                f"{self.potential.name!r} is a function", "nobody can say what is inside it", "take a network"
            )
        return arrays.features(self.neighbours(atoms))

    def require_neighbours(self, atoms: Atoms) -> None:
        """Refuse a crystal with atoms that have no force constants.

        Raises:
            StructureError: naming these atoms; or the structure cannot be computed (`neighbours`).
        """
        require_neighbours(atoms, self.neighbours(atoms), self.potential.cutoff)

    def lattice_matrices(
        self,
        atoms: Atoms,
        qpoints: np.ndarray,
        displacements: Sequence[np.ndarray] | None = None,
        progress: Progress | None = None,
    ) -> list[np.ndarray]:
        """Lattice matrices, or their products with displacements (`Route.lattice_matrices`)."""
        return self.route.lattice_matrices(self.neighbours(atoms), _rows_of_three(qpoints), displacements, progress)

    def lattice_slopes(self, atoms: Atoms, qpoints: np.ndarray, progress: Progress | None = None) -> np.ndarray:
        """Exact derivatives of lattice matrices along reduced components of q (`Route.lattice_slopes`)."""
        return self.route.lattice_slopes(self.neighbours(atoms), _rows_of_three(qpoints), progress)

    def hessian(self, atoms: Atoms, rows: np.ndarray, progress: Progress | None = None) -> np.ndarray:
        """Rows of the Hessian (`Route.hessian`)."""
        return self.route.hessian(self.neighbours(atoms), rows, progress)

    def strain_derivatives(self, atoms: Atoms) -> StrainDerivatives:
        """Second derivatives by strains, and by strains and positions (`Route.strain_derivatives`)."""
        return self.route.strain_derivatives(self.neighbours(atoms))

    def strain_slopes(
        self,
        atoms: Atoms,
        qpoints: np.ndarray,
        strains: np.ndarray,
        displacements: np.ndarray | None = None,
        progress: Progress | None = None,
    ) -> np.ndarray:
        """Derivatives of lattice matrices by strains (`Route.strain_slopes`); atoms stay where none move beside."""
        moved = np.zeros((len(strains), len(atoms), 3)) if displacements is None else np.asarray(displacements, float)
        given = _rows_of_three(qpoints), np.asarray(strains, float), moved
        return self.route.strain_slopes(self.neighbours(atoms), *given, progress)

    def triplet_matrices(
        self, atoms: Atoms, qpoints: np.ndarray, triplets: np.ndarray, progress: Progress | None = None
    ) -> np.ndarray:
        """Third derivatives along three waves (`Route.triplet_matrices`)."""
        given = vectors, places = _rows_of_three(qpoints), np.asarray(triplets).reshape(-1, 3)
        sums = vectors[places].sum(axis=1)
        if (open_ones := np.abs(sums - np.rint(sums)).max(axis=1, initial=0) > CLOSED).any():
            raise InputError(
                f"{np.count_nonzero(open_ones)} of {len(places)} triplets do not close: wave vectors add up to"
                f" {sums[open_ones][0].round(6).tolist()}, for one",
                "third derivatives of a crystal's energy vanish along waves whose sum is no reciprocal lattice vector",
                "give the third as minus the sum of the others",
            )
        return self.route.triplet_matrices(self.neighbours(atoms), *given, progress)

    def forget(self) -> None:
        """Drop what is remembered of the last structure's second derivatives."""
        self._chosen.forget()

    def neighbours(self, atoms: Atoms) -> Neighbours:
        """The edges of a structure; those of the last one are remembered, since several questions are asked about it.

        Raises:
            StructureError: an element that the potential does not know, or positions and cells without neighbours
                that could be listed (`check_atoms`, `find_neighbours`).
        """
        key = tuple(x.tobytes() for x in (atoms.positions, atoms.cell[:], atoms.numbers, atoms.pbc))

        def find() -> Neighbours:
            check_atoms(atoms, self.potential.numbers, self.potential.name, self.others)
            return find_neighbours(atoms, self.potential.cutoff, self.potential.numbers)

        return self._neighbours_of.of(key, find)

    def _choose(self, route: str | None) -> Route:
        if route not in (None, *ROUTES):
            raise InputError(
                f"the route is {route!r}",
                "there are two ways to derivatives",
                f'give "{ARRAYS}" (NumPy on CPUs, nothing to compile) or "{COMPILED}" (JAX, accelerators too); None for'
                " the one that suits the potential",
            )
        if route == ARRAYS and not is_cpu(self.device):
            raise InputError(
                f"the route is {ARRAYS!r} and the device {self.device!r}",
                "arrays are NumPy's, which computes on CPUs alone",
                f'leave `device` out, or take route="{COMPILED}"',
            )
        if route == COMPILED or not is_cpu(self.device):
            return CompiledRoute(self.potential, self.dtype, self.device)
        arrays = self._arrays()
        if arrays is None and route == ARRAYS:
            raise InputError(
                f"the route is {ARRAYS!r}, and {self.potential.name!r} is a function without a form as arrays",
                "NumPy cannot differentiate a function",
                f'leave `route` out, or take "{COMPILED}"; networks of this package have both forms',
            )
        return arrays or CompiledRoute(self.potential, self.dtype, self.device)

    def _arrays(self) -> ArraysRoute | None:
        """The route of arrays; None where the potential has no such form."""
        parts = self.potential.parts
        network = None if parts is None else parts(self.potential.parameters, self.dtype)
        return None if network is None else ArraysRoute(network)


def checked_route(route: str | None, compiled: bool, device: DeviceLike) -> tuple[str | None, str | None]:
    """What a user asks for in one of two words: the route, and the name of the device, which is looked for now.

    Args:
        route: one of `ROUTES`, or None for no choice.
        compiled: the older word for "compiled".
        device: by name ("cpu", "gpu:1") or as a `jax.Device`; None for no choice.

    Raises:
        InputError: the words contradict each other, or the device is not there.
    """
    if compiled and route == ARRAYS:
        raise InputError(
            f"compiled=True was given beside route={route!r}",
            "they are two words for one choice, and contradict each other",
            "leave `compiled` out",
        )
    name = device_name(device)
    if name not in (None, "cpu", "cpu:0"):  # these are always there: JAX need not be imported for them
        find_device(name)
    return COMPILED if compiled and route is None else route, name


def _rows_of_three(qpoints: np.ndarray) -> np.ndarray:
    return np.asarray(qpoints, float).reshape(-1, 3)
