"""MACE as arrays: energies, forces and D(q) in NumPy. The equations are in `function` and `gate`."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..blocks.activations import NORMED, SILU_NORM
from ..o3.irreps import EVEN_SCALAR, Irreps, Sizes, block_sizes
from ..o3.paths import ConvolutionPlan, plan_convolution
from ..o3.symmetric_products import symmetric_couplings
from ..outputs import Output
from ..parts import LayerParts, Linear, NetworkParts, OutputParts, Path
from .config import LayerIrreps, MACEConfig, energy_irreps, mace_irreps
from .gate import MACEGate, Readout
from .products import Products
from .radial import MACEBasis, MACERadial, PairEnergies

_ACTIVATIONS = {**NORMED, "none": None}


def mace_parts(config: MACEConfig, parameters: Mapping[str, Any], dtype: np.dtype) -> NetworkParts:
    """The network as arrays in one precision.

    Besides its features every atom carries the energy that was read so far, and a one where densities are summed:
    of the first layer these are further scalars, later blocks of their own.

    Args:
        parameters: as `function` makes them and model files hold them.
    """
    top = parameters["~"]

    def cast(x) -> np.ndarray:
        return np.asarray(x, dtype)

    embedding = cast(top["embedding"])
    carried = [np.zeros((config.n_species, 1), dtype)]
    if _has_density(config):
        carried.append(np.ones((config.n_species, 1), dtype))
    last = config.n_layers - 1
    own = [{k: cast(v) for k, v in parameters[f"layer_{i}"].items()} for i in range(config.n_layers)]
    # Once for energies alone, which cost what they cost without other outputs.
    builders = [_LayerBuilder(config, i, irreps, own[i]) for i, irreps in enumerate(energy_irreps(config))]
    outputs = None
    if config.outputs:
        beside = _LayerBuilder(config, last, mace_irreps(config)[last], own[last])
        reading = [builder if config.has_readout(i) else None for i, builder in enumerate([*builders[:-1], beside])]
        readouts = {
            output.name: tuple(None if builder is None else builder.readout_of(output) for builder in reading)
            for output in config.outputs
        }
        outputs = OutputParts(beside.parts(last=False), readouts)
    return NetworkParts(
        dtype=np.dtype(dtype),
        l_max=config.l_max,
        basis=MACEBasis(config, np.dtype(dtype)),
        embedding=np.concatenate([embedding, *carried], 1),
        layers=tuple(builder.parts(last=i == last) for i, builder in enumerate(builders)),
        readout=cast([config.scale]),
        atom_energies=cast(top["atom_energies"]) + cast(config.shift),
        pairs=PairEnergies(config) if config.pair_repulsion else None,
        outputs=outputs,
    )


def _has_density(config: MACEConfig) -> bool:
    return any(kind.startswith("density") for kind in config.interactions)


class _LayerBuilder:
    """One layer's arrays from its parameters."""

    def __init__(self, config: MACEConfig, index: int, irreps: LayerIrreps, own: Mapping[str, np.ndarray]):
        self.config, self.index, self.irreps, self.own = config, index, irreps, own
        kind = config.interaction_of(index)
        self.density, self.residual = kind.startswith("density"), kind.endswith("residual")
        self.constant = _has_density(config)
        self.plan = plan_convolution(irreps.senders, config.l_max, tuple(ir for _, ir in irreps.factors))
        self.factors, self.out = block_sizes(irreps.factors), block_sizes(irreps.out)
        self.channels = irreps.factors[0][0]
        # What enters: features, then the energy, then the constant; in the first layer all in one block.
        self.carried_sizes: Sizes = ((1, 1),) * (1 + self.constant)
        if index:
            self.entering: Sizes = (*block_sizes(irreps.features), *self.carried_sizes)
        else:
            self.entering = ((self.channels + len(self.carried_sizes), 1),)
        self.to_gate: Sizes = (
            *self.factors,
            *(((1, 1),) if self.density else ()),
            *(self.out if self.residual else ()),
            *self.carried_sizes,
        )

    def parts(self, last: bool) -> LayerParts:
        """The layer; of the last the energy alone leaves."""
        senders, plan = block_sizes(self.irreps.senders), self.plan
        paths, outputs = plan.paths, block_sizes(plan.irreps_out)
        if self.density:
            # Shares of the density are messages of the senders' constant.
            n = plan.n_weights
            one = Path(len(senders), 0, np.ones((1, 1, 1)), slice(n, n + 1), slice(0, 1), len(outputs), slice(0, 1))
            paths, outputs, senders = (*paths, one), (*outputs, (1, 1)), (*senders, (1, 1))
        return LayerParts(
            paths=paths,
            inputs=senders,
            outputs=outputs,
            radial=MACERadial(self.config.envelope_on, self._radial_matrices(), self.own.get("density")),
            mix=self._mix(senders),
            collect=self._collect(plan, outputs),
            skip=self._skip(),
            gate=self._gate(last),
        )

    def readout_of(self, output: Output) -> Linear:
        """What the features that leave, with the energy and the constant behind them, add to an output."""
        own = [ir for _, ir in self.irreps.out]
        sources = [own.index(ir) if ir in own else None for _, ir in output.blocks]
        matrices = [
            np.zeros((0, mul)) if source is None else self._matrix(f"output_{output.name}_{ir}") * output.scale
            for source, (mul, ir) in zip(sources, output.blocks, strict=True)
        ]
        return Linear(tuple(sources), tuple(matrices), (*self.out, *self.carried_sizes), block_sizes(output.blocks))

    def _radial_matrices(self) -> list[np.ndarray]:
        """Matrices of the perceptron; the norm of an activation goes into the one behind it."""
        sizes = (self.config.n_basis, *self.config.radial_sizes, self.plan.n_weights)
        matrices = [self.own[f"radial_{i}"].reshape(sizes[i : i + 2]) for i in range(len(sizes) - 1)]
        return [m if i == 0 else m / m.dtype.type(SILU_NORM) for i, m in enumerate(matrices)]

    def _matrix(self, name: str) -> np.ndarray:
        """Weights of `blocks.function.linear`, divided by the root of the fan-in."""
        m = self.own[name]
        return m / m.dtype.type(m.shape[-2] ** 0.5)

    def _of_features(self, name: str, wanted: Irreps) -> tuple[list[int | None], list[np.ndarray]]:
        """Sources and matrices of a linear map of the features, whatever else enters."""
        sources: list[int | None] = []
        matrices = []
        for mul, ir in wanted:
            block = next((b for b, (_, other) in enumerate(self.irreps.features) if other == ir), None)
            sources.append(block)
            matrices.append(np.zeros((0, mul)) if block is None else self._padded(self._matrix(f"{name}_{ir}")))
        return sources, matrices

    def _padded(self, matrix: np.ndarray) -> np.ndarray:
        """A matrix with rows of zeros for what else is in the first layer's block."""
        if self.index:
            return matrix
        missing = self.entering[0][0] - matrix.shape[-2]
        return np.concatenate([matrix, np.zeros((*matrix.shape[:-2], missing, matrix.shape[-1]), matrix.dtype)], -2)

    def _carried(self, number: int) -> tuple[int, np.ndarray]:
        """Source and matrix that pick the energy (0) or the constant (1)."""
        dtype = self.own["radial_0"].dtype
        if self.index:
            return len(self.irreps.features) + number, np.ones((1, 1), dtype)
        matrix = np.zeros((self.entering[0][0], 1), dtype)
        matrix[self.channels + number] = 1
        return 0, matrix

    def _mix(self, senders: Sizes) -> Linear:
        sources, matrices = self._of_features("mix", self.irreps.senders)
        if self.density:
            source, matrix = self._carried(1)
            sources.append(source)
            matrices.append(matrix)
        return Linear(tuple(sources), tuple(matrices), self.entering, senders)

    def _collect(self, plan: ConvolutionPlan, outputs: Sizes) -> Linear:
        sources: list[int | None] = []
        matrices = []
        for mul, ir in self.irreps.factors:
            source = next((b for b, (_, other) in enumerate(plan.irreps_out) if other == ir), None)
            sources.append(source)
            if source is None:
                matrices.append(np.zeros((0, mul)))
                continue
            matrix = self._matrix(f"collect_{ir}")
            if not self.density:
                matrix = matrix / matrix.dtype.type(self.config.average_neighbors)
            if not self.residual:
                matrix = matrix @ self._matrix(f"select_{ir}")
            matrices.append(matrix)
        if self.density:
            sources.append(len(outputs) - 1)
            matrices.append(np.ones((1, 1), self.own["radial_0"].dtype))
        rest = self.to_gate[len(sources) :]
        sources += [None] * len(rest)
        matrices += [np.zeros((0, mul)) for mul, _ in rest]
        return Linear(tuple(sources), tuple(matrices), outputs, self.to_gate)

    def _skip(self) -> Linear:
        n = len(self.factors) + self.density
        sources: list[int | None] = [None] * n
        matrices = [np.zeros((0, mul)) for mul, _ in self.to_gate[:n]]
        if self.residual:
            kept, more = self._of_features("skip", self.irreps.out)
            sources += kept
            matrices += more
        for number in range(1 + self.constant):
            source, matrix = self._carried(number)
            sources.append(source)
            matrices.append(matrix)
        return Linear(tuple(sources), tuple(matrices), self.entering, self.to_gate)

    def _gate(self, last: bool) -> MACEGate:
        c, (_, _, factors, out) = self.config, self.irreps
        kinds = tuple(ir for _, ir in factors)
        degrees = range(1, c.correlation_of(self.index) + 1)
        weights = {
            (ir, degree): self.own[f"product_{ir}_{degree}"]
            for _, ir in out
            for degree in degrees
            if symmetric_couplings(kinds, ir, degree).shape[-1]
        }
        after = Linear(tuple(range(len(out))), tuple(self._matrix(f"after_{ir}") for _, ir in out), self.out, self.out)
        return MACEGate(
            products=Products(kinds, out, weights),
            after=after,
            density=self.density,
            residual=self.residual,
            constant=self.constant,
            readout=self._readout() if c.has_readout(self.index) else None,
            scalars=[ir for _, ir in out].index(EVEN_SCALAR),
            last=last,
        )

    def _readout(self) -> Readout:
        last = self.own["readout"]
        if not self.config.is_nonlinear(self.index):
            return Readout(last, np.ones(1, last.dtype), None)
        return Readout(self.own["readout_hidden"], last[:, 0], _ACTIVATIONS[self.config.activation])
