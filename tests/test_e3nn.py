"""The function form of networks speaks e3nn-jax, the array form has its own algebra: both must mean the same."""

import e3nn_jax as e3nn
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ase_phonax.derivatives.compiled.exchange import Exchange
from ase_phonax.models.blocks import function as blocks
from ase_phonax.models.blocks.activations import silu, tanh
from ase_phonax.models.blocks.gates import gate, pre_gate_irreps
from ase_phonax.models.blocks.linear import linear as array_linear
from ase_phonax.models.blocks.radial import bessel, envelope, gaussians
from ase_phonax.models.mace.config import MACEConfig
from ase_phonax.models.mace.radial import distance_basis, repulsion_energies
from ase_phonax.models.o3.irreps import parse_irreps
from ase_phonax.models.o3.paths import plan_convolution
from ase_phonax.models.o3.spherical import clebsch_gordan, harmonics
from ase_phonax.models.o3.symmetric_products import polynomials_of, symmetric_couplings

RNG = np.random.default_rng(2)
# Not sorted: parameters are stored in the order that a configuration names.
IRREPS = parse_irreps("2x1o + 3x0e + 2x0o + 2x2e + 1x1e")
SPECIES = np.array([0, 1, 1, 0])


def features(irreps, n: int = 4) -> tuple[list[np.ndarray], e3nn.IrrepsArray]:
    """The same numbers as blocks (u, n, i) and as an e3nn array."""
    arrays = [RNG.standard_normal((mul, n, ir.dim)) for mul, ir in irreps]
    return arrays, e3nn.from_chunks(blocks.to_e3nn(irreps), [jnp.asarray(x.swapaxes(0, 1)) for x in arrays], (n,))


def assert_equal(ours: list[np.ndarray], theirs: e3nn.IrrepsArray, tolerance: float = 1e-14) -> None:
    """Blocks (u, n, i) against an e3nn array, relative to the largest number of each."""
    assert theirs.dtype == np.float64
    for (mul, ir), here, there in zip(theirs.irreps, ours, theirs.chunks, strict=True):
        there = np.zeros((here.shape[1], mul, ir.dim)) if there is None else np.asarray(there)
        assert np.abs(here.swapaxes(0, 1) - there).max() <= tolerance * max(1.0, np.abs(here).max())


def test_harmonics_are_the_same_to_double_precision():
    # Kills: constants that the library has kept in single precision from an earlier call.
    vectors = RNG.standard_normal((9, 3))
    exchange = Exchange(np.zeros(9, int), np.zeros(9, int), 1)
    blocks.look_along(jnp.asarray(vectors, jnp.float32), 4, exchange)
    with jax.enable_x64(True):
        edges = blocks.look_along(jnp.asarray(vectors), 4, exchange)
    ours = harmonics(vectors / np.linalg.norm(vectors, axis=1)[:, None], 4)
    assert str(edges.harmonics.irreps) == "1x0e+1x1o+1x2e+1x3o+1x4e"
    assert np.abs(np.asarray(edges.harmonics.array) - ours).max() < 1e-14


def test_couplings_are_the_same_to_double_precision():
    for l1 in range(4):
        for l2 in range(4):
            for l3 in range(abs(l1 - l2), l1 + l2 + 1):
                theirs = e3nn.clebsch_gordan(l1, l2, l3)
                assert theirs.dtype == np.float64
                assert np.abs(clebsch_gordan(l1, l2, l3) - theirs * (2 * l3 + 1) ** 0.5).max() < 1e-14


@pytest.mark.parametrize("wanted", ["0e + 1o", "3x2e + 1e + 0o + 1o + 0e"])
def test_a_convolution_has_the_paths_couplings_and_weights_of_the_arrays(wanted):
    wanted = parse_irreps(wanted)
    plan = plan_convolution(IRREPS, 2, tuple(ir for _, ir in wanted))
    convolution = blocks.convolution(IRREPS, 2, wanted)
    assert convolution.n_weights == plan.n_weights
    assert convolution.irreps_out == blocks.to_e3nn(plan.irreps_out)
    for here, there in zip(convolution.couplings, plan.merged, strict=True):
        assert np.allclose(here, there, rtol=0, atol=1e-14)
    ours = [(p.block, p.columns, p.weights) for p in plan.paths]
    assert ours == [(p.block, p.columns, p.weights) for p in convolution.paths]


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_convolution_is_the_tensor_product_of_e3nn(mirrored):
    senders, receivers = np.array([0, 1, 2, 1, 2, 3]), np.array([1, 2, 3, 0, 1, 2])
    half = RNG.standard_normal((3, 3))
    wanted = parse_irreps("0e + 2e + 1o + 1e + 0o")
    exchange = Exchange(senders, receivers, 4, mirrored=mirrored)
    convolution = blocks.convolution(IRREPS, 2, wanted)
    with jax.enable_x64(True):
        _, x = features(IRREPS)
        edges = blocks.look_along(jnp.asarray(np.concatenate([half, -half])), 2, exchange)
        weights = RNG.standard_normal((3, convolution.n_weights))
        both = np.concatenate([weights, weights])
        found = convolution(x, edges, convolution.spread(jnp.asarray(weights if mirrored else both)))
        products = e3nn.tensor_product(
            x[senders], edges.harmonics, filter_ir_out=[str(ir) for _, ir in wanted], regroup_output=False
        )
        expected = np.asarray(exchange.aggregate((products * both).array))
    assert found.irreps == products.irreps.simplify()
    assert np.abs(np.asarray(found.array) - expected).max() < 1e-14 * np.abs(expected).max()


@pytest.mark.parametrize("by_species", [False, True])
def test_linear_maps_are_those_of_the_arrays_and_of_e3nn(by_species):
    out = parse_irreps("4x0e + 3x1o + 2x3o + 2x2e")  # no input has a 3o

    def apply(x):
        return blocks.linear("w", x, blocks.to_e3nn(out), (jnp.asarray(SPECIES), 2) if by_species else None)

    def of_e3nn(x):
        return e3nn.haiku.Linear(
            blocks.to_e3nn(out),
            num_indexed_weights=2 if by_species else None,
            force_irreps_out=True,
            simplify_irreps_internally=False,
            name="w",
        )(*([jnp.asarray(SPECIES)] if by_species else []), x)

    ours, theirs = (hk.without_apply_rng(hk.transform(f)) for f in (apply, of_e3nn))
    with jax.enable_x64(True):
        arrays, x = features(IRREPS)
        own = ours.init(jax.random.PRNGKey(0), x)["~"]
        assert set(own) == {"w_0e", "w_1o", "w_2e"}
        found = ours.apply({"~": own}, x)
        named = theirs.init(jax.random.PRNGKey(0), x)["w"]
        # w[0,1] 2x1o,3x1o: the irrep stands at the end.
        expected = theirs.apply({"w": {name: own[f"w_{name[-2:]}"] for name in named}}, x)
    own = {name: np.asarray(value) for name, value in own.items()}
    assert_equal(array_linear("w", IRREPS, out, own)(arrays, SPECIES), found)
    assert np.abs(np.asarray(found.array) - np.asarray(expected.array)).max() < 1e-14


def test_gates_are_those_of_the_arrays_and_odd_scalars_never_gate():
    arrays_of = {1: lambda x: silu(x, blocks.SILU_NORM), -1: lambda x: tanh(x, blocks.TANH_NORM)}
    for out in (IRREPS, parse_irreps("3x0e + 2x0o"), parse_irreps("2x0e + 2x0o + 1x1o")):
        with jax.enable_x64(True):
            arrays, x = features(pre_gate_irreps(out))
            found = blocks.gate(x, out)
        assert found.irreps == blocks.to_e3nn(out)
        assert_equal(gate(out, None, arrays_of)(arrays, SPECIES).value, found)


@pytest.mark.parametrize("degree", [2, 3])
def test_symmetric_products_span_those_of_e3nn(degree):
    # Another basis of the same space: stored weights belong to ours.
    irreps = parse_irreps("0e + 1o + 2e")
    for out in (irreps[0][1], irreps[1][1]):
        ours = symmetric_couplings(tuple(ir for _, ir in irreps), out, degree)
        theirs = e3nn.reduced_symmetric_tensor_product_basis(blocks.to_e3nn(irreps), degree, keep_ir=str(out))
        tensors = np.asarray(theirs.array, float).reshape(*(9,) * degree, -1, out.dim)
        theirs = polynomials_of(tensors, degree).swapaxes(1, 2)  # (monomials, components, couplings)
        assert ours.shape == theirs.shape
        both = [np.linalg.qr(x.reshape(-1, x.shape[-1]))[0] for x in (ours, theirs)]
        # e3nn-jax computes this basis in single precision.
        assert np.linalg.svd(both[0].T @ both[1])[1] == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("transform", ["none", "agnesi", "soft"])
@pytest.mark.parametrize("basis", ["bessel", "gaussian"])
def test_functions_of_a_distance_have_the_derivatives_that_jax_finds(basis, transform):
    config = MACEConfig(
        2, 5.0, basis=basis, distance_transform=transform, numbers=(6, 14), radii=(0.76, 1.11), pair_repulsion=True
    )
    r, radii = np.array([0.7, 1.3, 2.2, 4.9, 5.6]), np.full(5, 1.87)
    numbers = np.full(5, 6.0), np.full(5, 14.0)
    functions = [
        lambda r, order: distance_basis(config, r[:, None], order, radii[:, None]),
        lambda r, order: repulsion_energies(config, r, order, radii, numbers),
        lambda r, order: envelope(r, order, 5.0, 6),
        lambda r, order: bessel(r[:, None], order, 4, 5.0),
        lambda r, order: gaussians(r[:, None], order, 4, 5.0),
    ]
    with jax.enable_x64(True):
        for function in functions:

            def value(r, function=function):
                return function(r, 0)[0]

            def slope(r, value=value):
                return jax.jvp(value, (r,), (jnp.ones_like(r),))[1]

            expected = [value(jnp.asarray(r)), slope(jnp.asarray(r))]
            expected.append(jax.jvp(slope, (jnp.asarray(r),), (jnp.ones(5),))[1])
            for order in range(3):
                found = function(r, order)[: order + 1]
                assert len(found) == order + 1
                for here, there in zip(found, expected, strict=False):
                    there = np.asarray(there)
                    assert np.abs(here - there).max() < 1e-12 * max(1.0, np.abs(there).max())
