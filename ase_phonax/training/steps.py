"""One step of the optimiser and one validation batch, compiled once for each shape."""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jraph
import numpy as np
import optax
import optax.contrib

from ..derivatives.compiled.responses import Tree
from ..models.architectures import ARCHITECTURES, element_parameters
from ..models.potential import NodeEnergies, NodeOutputs, Potential
from .config import LossConfig, OptimiserConfig
from .losses import error_sums, losses
from .predictions import predict
from .targets import TARGETS, TERMS

WEIGHTED = tuple(term.name for term in TERMS)
# (parameters, batch, scales) -> loss, and its parts by name
Loss = Callable[..., tuple[jax.Array, dict[str, jax.Array]]]


class State(NamedTuple):
    """Everything that changes from step to step.

    Attributes:
        parameters: tree.
        average: running average of the parameters, the same tree.
        optimiser: state of optax.
        step: how many were made.
    """

    parameters: Tree
    average: Tree
    optimiser: Tree
    step: Any  # an integer of NumPy or JAX


class Rules(NamedTuple):
    """What a compiled step depends on besides the network; hashable.

    Attributes:
        weights: of `WEIGHTED`.
        penalty: kind and length where it turns linear.
        clip, weight_decay, ema, method: of `OptimiserConfig`.
        frozen: names module/array of parameters that keep their values.
        accumulate: pieces of a batch.
        of_elements: names of parameters with a row, or a matrix, for each element.
        references: name of the energies of isolated atoms.
    """

    weights: tuple[float, ...]
    penalty: tuple[str, float]
    clip: float
    weight_decay: float
    ema: float
    frozen: tuple[str, ...] = ()
    accumulate: int = 1
    method: str = "adam"
    of_elements: frozenset[str] = frozenset()
    references: str = "~/atom_energies"

    def counts(self, term: str) -> bool:
        """Whether a part of the loss has a weight."""
        return bool(dict(zip(WEIGHTED, self.weights, strict=True))[term])

    @property
    def slopes(self) -> dict[str, str]:
        """Labels with a weight that are derivatives of an output by positions -> name of that output."""
        beside = {term.slope for term in TERMS if term.slope and self.counts(term.name)}
        return {
            t.name: t.needs.name for t in TARGETS if t.needs is not None and (t.name in beside or self.counts(t.name))
        }

    @classmethod
    def of(
        cls,
        loss: LossConfig,
        optimiser: OptimiserConfig,
        frozen: tuple[str, ...] = (),
        accumulate: int = 1,
        potential: Potential | None = None,
    ) -> "Rules":
        """From the configuration, and what the potential's architecture says of its parameters."""
        rules = cls(
            tuple(float(getattr(loss, name)) for name in WEIGHTED),
            (loss.penalty, loss.huber_delta),
            optimiser.clip,
            optimiser.weight_decay,
            optimiser.ema,
            frozen,
            accumulate,
            optimiser.method,
        )
        if potential is None or potential.architecture is None:
            return rules
        return rules._replace(
            of_elements=element_parameters(potential.architecture, potential.config, potential.parameters),
            references="/".join(ARCHITECTURES[potential.architecture].references),
        )


# Size of an orthogonal update relative to Adam's, so that one learning rate serves both: Liu et al., arXiv:2502.16982.
MUON_SIZE = 0.2


def _transform(rules: Rules) -> optax.GradientTransformation:
    """The direction of a step; the learning rate is applied outside, so that schedules need no compiling."""
    parts = [optax.clip_by_global_norm(rules.clip)] if rules.clip else []
    parts.append(optax.scale_by_adam() if rules.method == "adam" else _muon(rules))
    if rules.weight_decay:
        parts.append(optax.add_decayed_weights(rules.weight_decay, partial(_decays, rules)))
    return optax.chain(*parts)


def _muon(rules: Rules) -> optax.GradientTransformation:
    """Momentum made orthogonal for matrices that mix channels (Jordan et al. 2024), Adam for everything else."""

    def number(name: str, x: Any) -> Any:
        # optax asks again with what is not its own masked out.
        mixes = getattr(x, "ndim", 0) == 2 and name not in rules.of_elements
        return optax.contrib.MuonDimensionNumbers() if mixes else None

    def matrices(tree: Tree) -> Tree:
        return {m: {k: number(f"{m}/{k}", x) for k, x in t.items()} for m, t in tree.items()}

    return optax.contrib.muon(-1.0, consistent_rms=MUON_SIZE, muon_weight_dimension_numbers=matrices)


def _decays(rules: Rules, tree: Tree) -> Tree:
    """True for weights. The energies of the elements are an origin: hundreds of eV that nothing should pull to zero."""
    return {m: {k: f"{m}/{k}" != rules.references for k in t} for m, t in tree.items()}


def start(rules: Rules, parameters: Tree) -> State:
    """The state before the first step."""
    return owned(State(parameters, parameters, _transform(rules).init(parameters), np.int32(0)))


def owned(state: State) -> State:
    """A copy of a state, in buffers of its own.

    A step gives its state's memory away. An array of NumPy may lend its memory to JAX, and parameters and their
    average may share theirs: then the first step would write over what it still reads.
    """
    return jax.tree.map(lambda x: jnp.array(x, copy=True), state)


def _thaw(rules: Rules, tree: Tree) -> Tree:
    """A tree in which all that belongs to frozen parameters is zero."""
    if not rules.frozen:
        return tree
    return {
        m: {k: jnp.zeros_like(x) if f"{m}/{k}" in rules.frozen else x for k, x in t.items()} for m, t in tree.items()
    }


def _keep(rules: Rules, new: Tree, old: Tree) -> Tree:
    """The new tree with frozen parameters as they were.

    Arithmetic would not do: processors flush the smallest numbers to zero.
    """
    return {m: {k: old[m][k] if f"{m}/{k}" in rules.frozen else x for k, x in t.items()} for m, t in new.items()}


def batch_loss(
    function: NodeEnergies | NodeOutputs,
    cutoff: float,
    rules: Rules,
    kind: str,
    parameters: Tree,
    batch: jraph.GraphsTuple,
    scales: dict,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Weighted loss of a batch and its parts. A leading axis of the batch is that of devices."""

    def one(batch: jraph.GraphsTuple) -> dict[str, jax.Array]:
        predicted = predict(function, cutoff, kind, parameters, batch, rules.slopes)
        return losses(rules.penalty, kind, predicted, batch, scales)

    parts = over_devices(one, batch)
    total = sum(w * parts[name] for name, w in zip(WEIGHTED, rules.weights, strict=True) if name in parts and w)
    return jnp.asarray(total), parts


def over_devices(
    one: Callable[[jraph.GraphsTuple], dict[str, jax.Array]], batch: jraph.GraphsTuple
) -> dict[str, jax.Array]:
    """Means over the frames of a batch by `one`; a leading axis of the batch is that of devices."""
    if batch.n_node.ndim == 1:
        return one(batch)
    share = jnp.sum(batch.globals["n_atoms"] > 0, 1)
    share = share / jnp.maximum(jnp.sum(share), 1)  # of the last batch, a piece may be empty on all devices
    return {name: jnp.sum(value * share) for name, value in jax.vmap(one)(batch).items()}


def learning_rates(optimiser: OptimiserConfig, high: float, total: int, dtype: np.dtype) -> np.ndarray:
    """Learning rate of every step (total,), the highest given."""
    warm = int(optimiser.warmup * total)
    rest, low = max(1, total - warm), high * optimiser.final
    after = {
        "cosine": lambda: optax.cosine_decay_schedule(high, rest, optimiser.final),
        "linear": lambda: optax.linear_schedule(high, low, rest),
        "exponential": lambda: optax.exponential_decay(high, rest, max(optimiser.final, 1e-12)),
        "constant": lambda: optax.constant_schedule(high),
    }[optimiser.schedule]()
    schedule = optax.join_schedules([optax.linear_schedule(high / max(warm, 1), high, max(warm, 1)), after], [warm])
    return np.asarray(jax.vmap(schedule)(np.arange(total)) * np.ones(total), dtype)


def compiler_options() -> dict[str, Any] | None:
    """On processors LLVM's expensive passes take nearly half of the compiling of a large network and gain nothing."""
    return {"xla_llvm_disable_expensive_passes": True} if jax.default_backend() == "cpu" else None


@lru_cache(maxsize=64)
def training_step(function: NodeEnergies | NodeOutputs, cutoff: float, rules: Rules, kind: str) -> Callable[..., Any]:
    """Compiled (state, batch, rate, scales) -> state, loss, its parts, norm of the gradient.

    Equal arguments give the same function, so several runs in one process compile once.
    """
    return step_down(partial(batch_loss, function, cutoff, rules, kind), rules)


def step_down(loss: Loss, rules: Rules) -> Callable[..., Any]:
    """Compiled (state, batch, rate, scales) -> state, loss, its parts, norm of the gradient.

    The state is given away.
    """
    transform = _transform(rules)

    def step(state: State, batch: jraph.GraphsTuple, rate: jax.Array, scales: dict) -> tuple:
        gradient = partial(jax.value_and_grad(loss, has_aux=True), state.parameters, scales=scales)
        (value, parts), slope = _accumulated(gradient, batch, rules.accumulate)
        slope = _thaw(rules, slope)
        moves, optimiser = transform.update(slope, state.optimiser, state.parameters)
        moves = _thaw(rules, moves)
        moved = jax.tree.map(lambda p, m: p - rate * m, state.parameters, moves)
        parameters = _keep(rules, moved, state.parameters)
        # Early on a long memory would keep the random start: it grows with the steps.
        count = state.step + 1
        decay = jnp.minimum(rules.ema, count / (count + 9.0)).astype(value.dtype)
        average = jax.tree.map(partial(_averaged, decay), state.average, parameters)
        average = _keep(rules, average, state.average)
        if not rules.ema:
            average = parameters
        return State(parameters, average, optimiser, count), value, parts, _norm(slope)

    return jax.jit(step, donate_argnums=0, compiler_options=compiler_options())


def _averaged(decay: jax.Array, average: jax.Array, new: jax.Array) -> jax.Array:
    """The running average; where the step is lost in rounding, the new value itself.

    Of a reference energy of -1000 eV, float32 knows 6e-5 eV: with a decay of 0.995 an average that is 6 meV away would
    stay there for good.
    """
    moved = average + (1 - decay) * (new - average)
    return jnp.where(moved == average, new, moved)


def _accumulated(gradient: Callable[..., Tree], batch: jraph.GraphsTuple, n: int) -> Tree:
    """Gradient of a batch whose leading axis is that of devices and, within them, of n pieces taken one by one."""
    if n == 1:
        return gradient(batch=batch)

    def pieces(x: jax.Array) -> jax.Array:
        x = jnp.swapaxes(jnp.reshape(x, (-1, n, *x.shape[1:])), 0, 1)
        return x[:, 0] if x.shape[1] == 1 else x

    cut = jax.tree.map(pieces, batch)
    n_frames = jnp.sum(cut.globals["n_atoms"] > 0, tuple(range(1, cut.globals["n_atoms"].ndim)))
    shares = n_frames / jnp.sum(n_frames)

    def add(total: Tree, piece: tuple[jraph.GraphsTuple, jax.Array]) -> tuple[Tree, None]:
        own, share = piece
        return jax.tree.map(lambda t, x: t + share.astype(x.dtype) * x, total, gradient(batch=own)), None

    shapes = jax.eval_shape(lambda b: gradient(batch=b), jax.tree.map(lambda x: x[0], cut))
    total, _ = jax.lax.scan(add, jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes), (cut, shares))
    return total


def _norm(tree: Tree) -> jax.Array:
    return jnp.sqrt(sum((jnp.sum(x**2) for x in jax.tree.leaves(tree)), jnp.zeros(())))


@lru_cache(maxsize=64)
def validation_step(function: NodeEnergies | NodeOutputs, cutoff: float, rules: Rules, kind: str) -> Callable[..., Any]:
    """Compiled (parameters, batch, scales) -> weighted loss and sums of errors (`error_sums`)."""

    def step(parameters: Tree, batch: jraph.GraphsTuple, scales: dict) -> tuple:
        predicted = predict(function, cutoff, kind, parameters, batch, rules.slopes)
        parts = losses(rules.penalty, kind, predicted, batch, scales)
        total = sum(w * parts[name] for name, w in zip(WEIGHTED, rules.weights, strict=True) if name in parts)
        return total, error_sums(predicted, batch, kind)

    return jax.jit(step, compiler_options=compiler_options())
