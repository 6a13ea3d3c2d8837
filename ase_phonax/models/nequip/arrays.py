"""NequIP and its Nequix variant: E(3)-equivariant message passing. Configuration, irreps, and the network as arrays.

NequIP: Batzner et al., Nat. Commun. 13, 2453 (2022). Nequix: Koker, Kotak, Smidt, arXiv:2508.16067.
The network for JAX is in `function`; the parameters are the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ..blocks.gates import gate, pre_gate_irreps
from ..blocks.jets import Jet
from ..blocks.linear import linear
from ..blocks.radial import closed_basis, radial_weights
from ..blocks.repulsion import NEQUIP, closed_repulsion
from ..o3.irreps import Irreps, block_sizes
from ..o3.paths import plan_convolution
from ..parts import LayerParts, NetworkParts, OutputParts
from .config import NequIPConfig, layer_irreps, output_irreps


def nequip_parts(config: NequIPConfig, parameters: Mapping[str, Any], dtype: np.dtype) -> NetworkParts:
    """The network as arrays in one precision.

    Args:
        parameters: as `function` makes them and model files hold them.
    """
    c = config
    top = parameters["~"]

    def cast(x) -> np.ndarray:
        return np.asarray(x, dtype)

    def layer(name: str, irreps_in: Irreps, irreps_out: Irreps) -> LayerParts:
        return _layer_parts(config, irreps_in, irreps_out, {key: cast(x) for key, x in parameters[name].items()})

    outputs = None
    if c.outputs:
        irreps_in, irreps_out = output_irreps(config)
        own = {key: cast(x) for key, x in top.items() if key.startswith("output_")}
        # Read from their own layer alone.
        read = {o.name: linear(f"output_{o.name}", irreps_out, o.blocks, own, o.scale) for o in c.outputs}
        readouts = {name: (*[None] * (c.n_layers - 1), linear) for name, linear in read.items()}
        outputs = OutputParts(layer("outputs", irreps_in, irreps_out), readouts)
    readout = cast(top["readout"]) * cast(c.scale / len(top["readout"]) ** 0.5)
    return NetworkParts(
        dtype=np.dtype(dtype),
        l_max=c.l_max,
        basis=partial(
            closed_basis,
            n_basis=c.n_basis,
            cutoff=c.cutoff,
            p=c.envelope_p,
            dtype=np.dtype(dtype),
            frequencies=np.asarray(top["frequencies"], float) if c.trained_basis else None,
            switch_on=c.switch_on if c.envelope == "switch" else None,
        ),
        embedding=cast(top["embedding"]) if c.embedding else np.eye(c.n_species, dtype=dtype),
        layers=tuple(layer(f"layer_{i}", *irreps) for i, irreps in enumerate(layer_irreps(config))),
        readout=np.multiply.outer(cast(top["atom_scales"]), readout) if c.scale_elements else readout,
        atom_energies=cast(top["atom_energies"]) + cast(c.shift),
        pairs=PairRepulsion(config) if c.repulsion_numbers else None,
        outputs=outputs,
    )


@dataclass(frozen=True, eq=False)
class PairRepulsion:
    """Half the repulsion of the pairs at the ends of edges: (lengths, order, kinds) -> jet (e,) [eV].

    Attributes:
        config: of the network.
    """

    config: NequIPConfig

    def __call__(self, lengths: np.ndarray, order: int, kinds: np.ndarray) -> Jet:
        """See `parts.NetworkParts.pairs`."""
        numbers = np.array(self.config.repulsion_numbers, float)[kinds]
        ends = numbers[:, 0], numbers[:, 1]
        return closed_repulsion(lengths, order, ends, NEQUIP, self.config.cutoff, self.config.repulsion_p)


def _layer_parts(
    config: NequIPConfig, irreps_in: Irreps, irreps_out: Irreps, own: Mapping[str, np.ndarray]
) -> LayerParts:
    c = config
    plan = plan_convolution(irreps_in, c.l_max, tuple(ir for _, ir in irreps_out), c.parity)
    irreps_pre = pre_gate_irreps(irreps_out)
    sizes = (c.n_basis, *c.radial_sizes, plan.n_weights)
    matrices = [own[f"radial_{i}"].reshape(sizes[i : i + 2]) for i in range(len(sizes) - 1)]
    affine = [own[f"norm_{ir}"] for _, ir in irreps_pre] if c.layer_norm else None
    return LayerParts(
        paths=plan.paths,
        inputs=block_sizes(irreps_in),
        outputs=block_sizes(plan.irreps_out),
        radial=partial(
            radial_weights, matrices=matrices, elements=1 + own["radial_elements"] if c.radial_elements else None
        ),
        mix=linear("mix", irreps_in, irreps_in, own),
        collect=linear("collect", plan.irreps_out, irreps_pre, own, c.average_neighbors**-0.5),
        skip=linear("skip", irreps_in, irreps_pre, own),
        gate=gate(irreps_out, affine),
    )
