"""What a function of node energies must keep, tried on three atoms before anything is computed with it.

Second derivatives rest on a contract that JAX cannot see: one energy for each atom, nothing between atoms but along
edges and through the exchange, an energy that fades at the cutoff. A function that breaks it gives plausible energies
and wrong D(q). The trials here are graphs of three atoms in the sizes of the structure at hand, so that they run in
what is compiled for it anyway. `ase_phonax.testing` has the rest, which compiles things of its own.

Trials are in float64 whatever the calculator computes in: a contract that is broken a little is told from rounding
there alone. A function that takes nothing but float32 is tried in float32, by a calculator of that precision.
"""

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any, NoReturn
from weakref import WeakKeyDictionary

import jax
import jraph
import numpy as np

from ...base.errors import ContractError
from ...base.sharing import Lock
from ...models.potential import Potential
from . import responses
from .exchange import Exchange
from .probes import (
    disorder,
    improper_turn,
    lone_atom,
    padded_to,
    pair_and_bystander,
    renumbered,
    row_of_one,
    row_of_two,
)
from .programs import lowest_precision, numbers_inside

OWN_SIZES = 4, 10  # nodes and edges that hold every trial, with one of each for padding
MOST_EDGES = 50_000  # in larger graphs some twenty evaluations take longer than compiling for small ones
# Of interaction energies: an honest function in float64 has 1e-13, one with single precision inside 1e-7.
SAME_ENERGY = 1e-5
# Of energies with whatever energy of free atoms is in them: in float64, and in units of a lower precision that occurs
# in the function.
ROUNDING, UNITS_OF_ROUNDING = 1e4 * np.finfo(float).eps, 100
# The energy touches the cutoff as (cutoff - r)^p. Force constants are continuous for p > 2; whole numbers are usual.
LEAST_ORDER = 2.5
STEPS = 1e-4 * 4.0 ** np.arange(6)  # of the cutoff: how far an edge is inside it


class Trial:
    """A potential with some of its elements, and graphs of three atoms for it.

    Args:
        potential: whose function is tried.
        kinds: which of its elements, as positions in `numbers`; all when None.
        sizes: of graphs that are compiled for anyway, (nodes, edges).
        dtype: of the trials.
    """

    def __init__(
        self,
        potential: Potential,
        kinds: Iterable[int] | None = None,
        sizes: tuple[int, int] = OWN_SIZES,
        dtype: np.dtype | type = np.float64,
    ):
        self.potential, self.cutoff, self.dtype = potential, potential.cutoff, np.dtype(dtype)
        self.kinds = sorted(range(len(potential.numbers)) if kinds is None else kinds)
        self.three = self.kinds[0], self.kinds[-1], self.kinds[len(self.kinds) // 2]
        fits = sizes[0] >= OWN_SIZES[0] and OWN_SIZES[1] - 1 <= sizes[1] <= MOST_EDGES
        self.sizes = sizes if fits else OWN_SIZES
        self.parameters = responses.cast(potential.parameters, self.dtype)

    def energies(self, graph: jraph.GraphsTuple) -> np.ndarray:
        """Energies of the three atoms [eV]; infinite where one of them or a force is not a number."""
        padded = padded_to(graph, *self.sizes)
        with jax.enable_x64(self.dtype == np.float64):
            # On the device as the route has them, or the same function counts as another one.
            parameters = jax.device_put(self.parameters)
            energies, forces, _ = responses.energy_forces_stress(
                self.potential.node_energies, self.potential.cutoff, parameters, padded
            )
        values, n = np.asarray(energies), int(graph.n_node[0])
        return values[:n] if np.isfinite(values[:n]).all() and np.isfinite(forces).all() else np.full(n, np.inf)

    def traced(self) -> tuple[Any, Any]:
        """Shapes of what the function gives for 4 atoms and 10 edges, and the program that JAX makes of it."""
        n_nodes, n_edges = OWN_SIZES
        ends: Any = np.zeros(n_edges, np.int32)
        vectors = np.ones((n_edges, 3), self.dtype)
        inputs = self.parameters, vectors, np.zeros(n_nodes, np.int32), Exchange(ends, ends, n_nodes)
        # A function of its own, so that JAX does not take what it has traced before.
        with jax.enable_x64(self.dtype == np.float64):
            trace = jax.make_jaxpr(lambda *inputs: self.potential.node_energies(*inputs), return_shape=True)
            program, shapes = trace(*inputs)
        return shapes, program

    def is_computable(self) -> bool:
        """Whether JAX can make a program of the function in this precision."""
        try:
            self.traced()
        except TypeError:
            return False
        return True

    @cached_property
    def rounding(self) -> float:
        """How far equal energies may differ, of the largest: by the lowest precision that anything is computed in."""
        return max(ROUNDING, UNITS_OF_ROUNDING * lowest_precision(self.traced()[1]))


def require_contract(potential: Potential, graph: jraph.GraphsTuple, dtype: np.dtype) -> None:
    """Try a plain function when it first meets the elements of a structure.

    Args:
        potential: nothing is asked of one with `check=False`, as those that come from files are.
        graph: padded graph of the structure.
        dtype: of the calculator, for functions that cannot be computed in float64.

    Raises:
        ContractError: the first trial that fails.
    """
    if not potential.check:
        return
    kinds = frozenset(graph.nodes["species"][: int(graph.n_node[0])].tolist())
    with _LOCK:
        met = _MET.setdefault(potential, [])
        if not any(kinds <= known for known in met):
            sizes = len(graph.nodes["species"]), len(graph.senders)
            trial = Trial(potential, kinds, sizes)
            if dtype != np.float64 and not trial.is_computable():
                trial = Trial(potential, kinds, sizes, dtype)
            for check in TRIALS:
                check(trial)
            met.append(kinds)


_LOCK = Lock()
_MET: WeakKeyDictionary[Potential, list[frozenset[int]]] = WeakKeyDictionary()


def one_energy_per_atom(trial: Trial) -> None:
    """What comes out is one real number for each atom, and the same program each time."""
    try:
        shapes, program = trial.traced()
    except TypeError as error:
        _say_single_precision(trial, error)
    n_nodes = OWN_SIZES[0]
    shape = getattr(shapes, "shape", None)
    if shape != (n_nodes,) or not np.issubdtype(shapes.dtype, np.floating):
        some = f"{shapes.dtype} of shape {shape}" if shape is not None else f"a {type(shapes).__name__}"
        raise _broken(
            trial,
            "one energy per atom",
            float(np.prod(shape)) if shape is not None else np.nan,
            n_nodes,
            f"gives {some} for {n_nodes} atoms and {OWN_SIZES[1]} edges, not {n_nodes} real numbers",
            "derivatives are those of a sum over atoms; anything else is added up once for each atom",
            "end with exchange.aggregate(energies of edges), and sum over no axis of atoms",
        )
    numbers, again = numbers_inside(program), numbers_inside(trial.traced()[1])
    pairs = list(zip(numbers, again, strict=False))
    changed = sum(not np.array_equal(one, other, equal_nan=one.dtype.kind == "f") for one, other in pairs)
    changed += abs(len(numbers) - len(again))
    if changed:
        raise _changes(trial, changed)


def finite(trial: Trial) -> None:
    """Energies and forces are numbers, for a lone atom and for one between two equal neighbours as well."""
    for what, probe in {
        "an atom without neighbours": lone_atom,
        "an atom halfway between two others": row_of_one,
    }.items():
        for kind in trial.kinds:
            _require_finite(trial, trial.energies(probe(trial.cutoff, kind)), what)


def repeatable(trial: Trial) -> None:
    """Energies are the same when the function is asked again."""
    graph = disorder(trial.cutoff, trial.three, np.eye(3))
    first, second = trial.energies(graph), trial.energies(graph)
    _require_finite(trial, first, "three atoms")
    if not np.array_equal(first, second):
        raise _changes(trial, float(np.abs(first - second).max()))


def local(trial: Trial) -> None:
    """The energy of an atom does not change with atoms that it has no edge to."""
    a, b, c = trial.three
    alone = trial.energies(pair_and_bystander(trial.cutoff, trial.three, None, bonded=False))
    pair = trial.energies(pair_and_bystander(trial.cutoff, trial.three, None))
    worst = abs(pair[2] - alone[2])
    for kind, length in ((c, 0.4), (a, 0.95), (b, 0.55)):
        beside = trial.energies(pair_and_bystander(trial.cutoff, (a, b, kind), length))
        worst = max(worst, *np.abs(beside - pair)[:2])
    tolerance = SAME_ENERGY * np.abs(pair - alone).max() + trial.rounding * np.abs([pair, alone]).max()
    if not worst <= tolerance:
        raise _broken(
            trial,
            "nothing past exchange",
            worst,
            tolerance,
            f"changes the energy of an atom by {worst:.3g} eV (allowed: {tolerance:.1g}) when others change to which no"
            " edges lead",
            "D(q) is computed from one cell whose waves enter at the edges: what passes beside them is left out, and"
            " D(q) is wrong by up to 100 %",
            "take sums, means, largest values, sorted or rolled arrays over atoms or edges out of it; read other atoms"
            " by exchange.gather and add up edges by exchange.aggregate",
        )


def isotropic(trial: Trial) -> None:
    """Energies stay the same when the crystal is turned or mirrored, and when atoms and edges are numbered anew."""
    turn, order = improper_turn(), [2, 0, 1]
    graphs = {
        name: disorder(trial.cutoff, trial.three, by) for name, by in (("", np.eye(3)), ("-", -turn), ("+", turn))
    }
    here = trial.energies(graphs[""])
    lone = trial.energies(disorder(trial.cutoff, trial.three, np.eye(3), bonded=False))
    tolerance = SAME_ENERGY * np.abs(here - lone).max() + trial.rounding * np.abs([here, lone]).max()
    cases = [
        ("turned", graphs["-"], [0, 1, 2]),
        ("mirrored", graphs["+"], [0, 1, 2]),
        ("numbered in another order", renumbered(graphs[""], order), order),
    ]
    for what, graph, places in cases:
        worst = float(np.abs(trial.energies(graph) - here[places]).max())
        if not worst <= tolerance:
            raise _broken(
                trial,
                "invariance",
                worst,
                tolerance,
                f"gives other energies, by {worst:.3g} eV (allowed: {tolerance:.1g}), where the same atoms are {what}",
                "D(q) is computed for one wave vector of each star and turned to the others: forces and D(q) would be"
                " wrong",
                "let it depend on lengths, scalar products of edge vectors and sums over edges, not on components, the"
                " hand of the axes or the order of atoms and edges",
            )


def fading(trial: Trial) -> None:
    """The energy of every pair of elements vanishes at the cutoff with its first and second derivative."""
    for i, a in enumerate(trial.kinds):
        for b in trial.kinds[i:]:
            order = order_at_cutoff(trial, a, b)
            if order < LEAST_ORDER:
                raise _broken(
                    trial,
                    "smooth at the cutoff",
                    order,
                    LEAST_ORDER,
                    f"does not fade: at the cutoff of {trial.cutoff:g} Å its energy ends as"
                    f" (cutoff - r)^{max(order, 0.0):.2g}, and the power must be {LEAST_ORDER} or more",
                    ("it jumps" if order < 0.5 else "its forces jump" if order < 1.5 else "its force constants jump")
                    + " where a neighbour crosses the cutoff, and no D(q) holds on both sides",
                    "multiply what an edge contributes by a function that vanishes at the cutoff with two derivatives,"
                    " such as (1 - (r / cutoff)**2)**4 within it; a cosine or a square has one",
                )


def order_at_cutoff(trial: Trial, a: int, b: int) -> float:
    """The power p of (cutoff - r)^p with which an edge between two atoms, each with a bond, comes into reach.

    Of the smallest distances from the cutoff where it can be told from rounding; infinite where it cannot.
    """
    beyond = trial.energies(row_of_two(trial.cutoff, (a, b), 0.0, joined=False))
    floor = trial.rounding * np.abs(beyond).max()
    inner = 0.0
    for step in STEPS:
        energies = trial.energies(row_of_two(trial.cutoff, (a, b), step))
        _require_finite(trial, energies, "a chain of two atoms")
        contact = abs(float((energies - beyond).sum()))
        if inner > 0:
            return float(np.log(contact / inner) / np.log(STEPS[1] / STEPS[0])) if contact > 0 else 0.0
        inner = contact if contact > floor else 0.0
    return np.inf


TRIALS: tuple[Callable[[Trial], None], ...] = (one_energy_per_atom, finite, repeatable, local, isotropic, fading)


def _say_single_precision(trial: Trial, error: TypeError) -> NoReturn:
    """Raises the error of a function that takes float32 alone, or the error itself where that is not why."""
    if trial.dtype != np.float64 or not Trial(trial.potential, trial.kinds, dtype=np.float32).is_computable():
        raise error
    raise ContractError(
        f"the potential {trial.potential.name!r} cannot be computed in float64 ({str(error).split('.', 1)[0].strip()})",
        "second derivatives are computed in float64 unless another precision is asked for",
        "give arrays that are float32 in it the precision of the edge vectors (edge_vectors.dtype), or take"
        ' PhonaxCalculator(..., dtype="float32")',
        "one energy per atom",
        np.nan,
        np.nan,
    ) from error


def _require_finite(trial: Trial, energies: np.ndarray, what: str) -> None:
    if not np.isfinite(energies).all():
        raise _broken(
            trial,
            "finite numbers",
            np.nan,
            np.inf,
            f"gives energies or forces that are not finite for {what}",
            "padding has atoms without neighbours, and symmetric sites are where phonons are asked for: one NaN spreads"
            " to all derivatives",
            "look for norms, square roots, logarithms and divisions of a sum that is zero there, and replace their"
            " argument by jnp.where before, not their result after",
        )


def _changes(trial: Trial, measured: float) -> ContractError:
    return _broken(
        trial,
        "repeatable",
        measured,
        0.0,
        "is not the same function when it is asked again",
        "energies, forces and D(q) are compiled from it at different times, and would belong to different potentials",
        "take random numbers, clocks, counters and other state out of it: numbers that it needs are its parameters",
    )


def _broken(
    trial: Trial, check: str, measured: float, tolerance: float, what: str, why: str, remedy: str
) -> ContractError:
    return ContractError(
        f"the potential {trial.potential.name!r} {what}",
        why,
        f"{remedy}; Potential.from_function(..., check=False) computes with it as it is",
        check,
        measured,
        tolerance,
    )
