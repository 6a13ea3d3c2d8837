"""NequIP and its Nequix variant: E(3)-equivariant message passing. Configuration, irreps, and the network as arrays.

NequIP: Batzner et al., Nat. Commun. 13, 2453 (2022). Nequix: Koker, Kotak, Smidt, arXiv:2508.16067.
The network for JAX is in `function`; the parameters are the same.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from ..blocks.activations import SILU_NORM, TANH_NORM, silu, tanh
from ..blocks.gates import gate, pre_gate_irreps
from ..blocks.radial import closed_basis, radial_weights
from ..o3.irreps import Irreps
from ..o3.paths import plan_convolution
from ..parts import LayerParts, Linear, NetworkParts, OutputParts
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
        read = {o.name: _linear(f"output_{o.name}", irreps_out, o.blocks, own, o.scale) for o in c.outputs}
        readouts = {name: (*[None] * (c.n_layers - 1), linear) for name, linear in read.items()}
        outputs = OutputParts(layer("outputs", irreps_in, irreps_out), readouts)
    return NetworkParts(
        dtype=np.dtype(dtype),
        l_max=c.l_max,
        basis=partial(closed_basis, n_basis=c.n_basis, cutoff=c.cutoff, p=c.envelope_p, dtype=np.dtype(dtype)),
        embedding=cast(top["embedding"]) if c.embedding else np.eye(c.n_species, dtype=dtype),
        layers=tuple(layer(f"layer_{i}", *irreps) for i, irreps in enumerate(layer_irreps(config))),
        readout=cast(top["readout"]) * cast(c.scale / len(top["readout"]) ** 0.5),
        atom_energies=cast(top["atom_energies"]) + cast(c.shift),
        outputs=outputs,
    )


def _layer_parts(
    config: NequIPConfig, irreps_in: Irreps, irreps_out: Irreps, own: Mapping[str, np.ndarray]
) -> LayerParts:
    c = config
    plan = plan_convolution(irreps_in, c.l_max, tuple(ir for _, ir in irreps_out))
    irreps_pre = pre_gate_irreps(irreps_out)
    sizes = (c.n_basis, *c.radial_sizes, plan.n_weights)
    matrices = [own[f"radial_{i}"].reshape(sizes[i : i + 2]) for i in range(len(sizes) - 1)]
    affine = [own[f"norm_{ir}"] for _, ir in irreps_pre] if c.layer_norm else None
    activations = {1: partial(silu, norm=SILU_NORM), -1: partial(tanh, norm=TANH_NORM)}
    return LayerParts(
        paths=plan.paths,
        inputs=_shapes(irreps_in),
        outputs=_shapes(plan.irreps_out),
        radial=partial(
            radial_weights, matrices=matrices, elements=1 + own["radial_elements"] if c.radial_elements else None
        ),
        mix=_linear("mix", irreps_in, irreps_in, own),
        collect=_linear("collect", plan.irreps_out, irreps_pre, own, c.average_neighbors**-0.5),
        skip=_linear("skip", irreps_in, irreps_pre, own),
        gate=gate(irreps_out, affine, activations),
    )


def _linear(
    name: str, irreps_in: Irreps, irreps_out: Irreps, own: Mapping[str, np.ndarray], scale: float = 1.0
) -> Linear:
    """Weights are divided by the root of the fan-in (e3nn's normalisation "element")."""
    sources: list[int | None] = []
    matrices = []
    for mul, ir in irreps_out:
        source = next((b for b, (_, other) in enumerate(irreps_in) if other == ir), None)
        sources.append(source)
        fan_in = 0 if source is None else irreps_in[source][0]
        matrices.append(
            np.zeros((0, mul))
            if source is None
            else own[f"{name}_{ir}"] * np.asarray(scale / fan_in**0.5, own[f"{name}_{ir}"].dtype)
        )
    return Linear(tuple(sources), tuple(matrices), _shapes(irreps_in), _shapes(irreps_out))


def _shapes(irreps: Irreps) -> tuple[tuple[int, int], ...]:
    return tuple((mul, ir.dim) for mul, ir in irreps)
