"""One training step of the `nequix` package on frames of a file, to set ours against. Run by the peer's interpreter.

    PYTHON benchmarks/training_step_frames.py --model nequix-mp-1.nqx frames.extxyz
    PYTHON benchmarks/training_step_peer.py --frames frames.extxyz --batch 8 --steps 10 [--published] [--hessian]

Measured is nequix 0.4.5. Its network, loss, batches, padding, statistics and mask of the weight decay are imported.
The step itself is a closure inside `nequix.train.train` and cannot be: it is rebuilt here line by line, with the chain
of optimisers around it (loss and gradient, clipping, Muon or AdamW, averaged parameters; under `eqx.filter_pmap` over
one device, or under `eqx.filter_jit` as its phonon fine-tuning does). `--hessian` times that fine-tuning's step
instead (`nequix.pft.train`): energy, forces, stress and one Hessian column of each frame. The column's label is
`atoms.info["hessian"]`, or zeros: the cost does not depend on it.

Sizes default to a small network; whatever is not a size (norm, envelope, weights of the loss, clipping) is as for the
published nequix-mp-1, whose sizes and elements `--published` takes. The optimiser is not: AdamW, which its training
offers and its fine-tuning uses; with Muon a step of the small network takes twice as long, most of it the optimiser.
Frames, atoms and edges are counted without padding.

One line of JSON per repeat. `s`: seconds per step, of `--steps` in a row that are waited for once, at the end; batches
are ready in memory and the loader's processes have ended (they poll without sleep, and would take the cores).
`cpu_s`: seconds of all cores together. `compile_s`: the first call less one step. `step_mb`: peak of the process in
the repeat, less what it held at its start; `peak_mb`: less what it held after its imports, so with what compiling left;
`compile_peak_mb`: the same at the end of the first call. On an accelerator both are the peak of its own memory since
the start, and `step_mb` is null. With `--worker`: "ready" after imports and batches, then a repeat per line of stdin.
"""

import argparse
import contextlib
import json
import sys
import time
import types


def without_logging() -> None:
    """Stand-ins for the web logger that `nequix.train` imports, where it is not installed: no step uses it."""
    with contextlib.suppress(ImportError):
        import wandb  # noqa: F401
        import wandb_osh.hooks  # noqa: F401

        return
    for name in ("wandb", "wandb_osh", "wandb_osh.hooks"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules["wandb_osh.hooks"].TriggerWandbSyncHook = None


without_logging()

import ase.io
import equinox as eqx
import jax
import jax.numpy as jnp
import jraph
import numpy as np
import optax
from nequix.data import DataLoader, Dataset, ParallelLoader, atomic_numbers_to_indices, preprocess_graph
from nequix.data import average_atom_energies as average_energies
from nequix.data import dataset_stats as statistics
from nequix.model import Nequix, weight_decay_mask
from nequix.pft.data import add_hessian_col_to_graph
from nequix.pft.train import loss as hessian_loss
from nequix.train import loss
from process_memory import Memory

# Head of nequix-mp-1.nqx, and of nequix-mp-1-pft.nqx for the loss with Hessians.
PUBLISHED = {"irreps": "128x0e + 64x1o + 32x2e + 32x3o", "lmax": 3, "layers": 4, "cutoff": 6.0, "radial": [64, 64]}
PUBLISHED_ELEMENTS = [*range(1, 84), *range(89, 95)]
WEIGHTS = {"energy_weight": 20.0, "force_weight": 20.0, "stress_weight": 5.0}
HESSIAN_WEIGHTS = {"energy_weight": 0.0, "force_weight": 20.0, "stress_weight": 5.0, "hessian_weight": 100.0}
EMA_DECAY, CLIP, WEIGHT_DECAY = 0.999, 100.0, 1e-3
RATES = {"muon": 0.01, "adamw": 3e-4}


class Frames(Dataset):
    """Frames of a file as the peer's data set; its own reads ASE databases only."""

    def __init__(self, path: str, elements: list[int] | None, cutoff: float, hessian: bool):
        super().__init__(backend="jax")
        self.frames, self.cutoff, self.hessian = ase.io.read(path, ":"), cutoff, hessian
        self.elements = elements or sorted({int(z) for atoms in self.frames for z in atoms.numbers})
        self.atomic_indices = atomic_numbers_to_indices(self.elements)
        self.random = np.random.RandomState(42)

    def __len__(self) -> int:
        return len(self.frames)

    def _get_graph_dict(self, idx: int) -> dict:
        return preprocess_graph(self.frames[idx], self.atomic_indices, self.cutoff, True)

    def __getitem__(self, idx: int):
        graph = super().__getitem__(idx)
        if not self.hessian:
            return graph
        size = 3 * len(self.frames[idx])
        known = self.frames[idx].info.get("hessian", np.zeros((size, size)))
        known = np.asarray(known, np.float32).reshape(size, size)
        return add_hessian_col_to_graph(graph, known, self.random.randint(0, size))


def batches_of(frames: Frames, stats: dict, size: int, stacked: bool) -> list:
    """One epoch, shuffled and padded as in training; the loader's process has ended afterwards."""
    keys = ("max_n_nodes", "max_n_edges", "avg_n_nodes", "avg_n_edges")
    loader = DataLoader(frames, batch_size=size, shuffle=True, num_workers=1, **{key: stats[key] for key in keys})
    loader.set_epoch(0)
    batches = list(ParallelLoader(loader, 1) if stacked else loader)
    for worker in loader.workers:
        loader.index_queue.put(None)
        worker.join()
    return batches


def network(options: argparse.Namespace, frames: Frames, stats: dict, atom_energies: list[float]) -> Nequix:
    return Nequix(
        jax.random.key(0),
        n_species=len(frames.elements),
        hidden_irreps=options.irreps,
        lmax=options.lmax,
        cutoff=options.cutoff,
        n_layers=options.layers,
        radial_basis_size=options.radial_basis,
        radial_mlp_size=options.radial[0],
        radial_mlp_layers=len(options.radial),
        radial_polynomial_p=6.0,
        mlp_init_scale=4.0,
        index_weights=options.index_weights,
        layer_norm=options.layer_norm,
        shift=stats["shift"],
        scale=stats["scale"],
        avg_n_neighbors=stats["avg_n_neighbors"],
        atom_energies=atom_energies,
        kernel=False,  # kernels are for GPUs
    )


def optimiser(name: str, model: Nequix, steps_per_epoch: int, hessian: bool) -> optax.GradientTransformation:
    """The chain of `nequix.train.train`; in fine-tuning (`hessian`) the rate is constant."""
    mask, rate = weight_decay_mask(model), RATES[name]
    if not hessian:
        rate = optax.warmup_cosine_decay_schedule(
            init_value=0.2 * rate,
            peak_value=rate,
            end_value=1e-6,
            warmup_steps=0.1 * steps_per_epoch,
            decay_steps=100 * steps_per_epoch,
        )
    if name == "muon":
        inner = optax.contrib.muon(learning_rate=rate, weight_decay=WEIGHT_DECAY, weight_decay_mask=mask)
    else:
        inner = optax.adamw(learning_rate=rate, weight_decay=WEIGHT_DECAY, mask=mask)
    return optax.chain(optax.clip_by_global_norm(CLIP), inner)


def step_of(optim: optax.GradientTransformation, options: argparse.Namespace):
    """`train_step` of `nequix.train.train`, or with `--hessian` that of `nequix.pft.train.train`."""

    def objective(model, batch):
        if options.hessian:
            return hessian_loss(model, batch, **HESSIAN_WEIGHTS)
        return loss(model, batch, *WEIGHTS.values(), options.loss)

    def train_step(model, ema_model, step, opt_state, batch):
        (total_loss, metrics), grads = eqx.filter_value_and_grad(objective, has_aux=True)(model, batch)
        if options.wrap == "pmap":
            grads = jax.lax.pmean(grads, axis_name="device")
        if not options.hessian:
            metrics["grad_norm"] = optax.global_norm(grads)
        updates, opt_state = optim.update(grads, opt_state, eqx.filter(model, eqx.is_array))
        model = eqx.apply_updates(model, updates)
        decay = jnp.minimum(EMA_DECAY, (1 + step) / (10 + step))
        ema_params, ema_static = eqx.partition(ema_model, eqx.is_array)
        params = eqx.filter(model, eqx.is_array)
        ema_params = jax.tree.map(lambda ep, mp: ep * decay + mp * (1 - decay), ema_params, params)
        return model, eqx.combine(ema_static, ema_params), opt_state, total_loss, metrics

    if options.wrap == "pmap":
        return eqx.filter_pmap(train_step, in_axes=(0, 0, None, 0, 0), axis_name="device")
    return eqx.filter_jit(train_step, donate="all")


class Training:
    """State of a training that is continued by each repeat."""

    def __init__(self, options: argparse.Namespace, memory: Memory):
        self.options, self.memory = options, memory
        elements = PUBLISHED_ELEMENTS if options.published else None
        frames = Frames(options.frames, elements, options.cutoff, options.hessian)
        with contextlib.redirect_stdout(
            sys.stderr
        ):  # these print; and fork, which JAX must not have seen threads before
            energies = average_energies(frames)
            stats = statistics(frames, energies, num_workers=1)
        self.batches = batches_of(frames, stats, options.batch, stacked=options.wrap == "pmap")
        model = network(options, frames, stats, energies)
        optim = optimiser(options.optimizer, model, max(1, len(frames) // options.batch), options.hessian)
        state = optim.init(eqx.filter(model, eqx.is_array))
        self.parameters = sum(leaf.size for leaf in jax.tree.leaves(eqx.filter(model, eqx.is_array)))
        self.parameters -= model.atom_energies.size
        if options.wrap == "pmap":  # what jax.device_put_replicated did, until jax 0.10 dropped it
            model, state = (jax.tree.map(lambda x: x[None] if eqx.is_array(x) else x, tree) for tree in (model, state))
        self.model, self.state, self.count = model, state, 0
        self.ema = jax.tree.map(lambda x: x.copy() if eqx.is_array(x) else x, model)
        self.step = step_of(optim, options)
        self.first_s = self.compile_peak_mb = None

    def run(self, steps: int) -> tuple[float, float, float]:
        """Seconds of that many steps, those of all cores together, and the loss of the last."""
        start, start_cpu = time.perf_counter(), time.process_time()
        for i in range(steps):
            batch = self.batches[i % len(self.batches)]
            self.model, self.ema, self.state, value, _ = self.step(
                self.model, self.ema, jnp.array(self.count), self.state, batch
            )
            self.count += 1
        jax.block_until_ready((self.model, self.ema, self.state, value))
        return time.perf_counter() - start, time.process_time() - start_cpu, float(jnp.mean(value))

    def repeat(self) -> dict:
        steps = self.options.steps
        if self.first_s is None:
            self.memory.forget()
            self.first_s = self.run(1)[0]
            self.compile_peak_mb = self.memory.peak()
            self.run(2)  # the state that a step returns may be laid out unlike the first: compiled again if so
        self.memory.forget()
        seconds, cpu_seconds, value = self.run(steps)
        size = self._counts(steps)
        return {
            "s": seconds / steps,
            "cpu_s": cpu_seconds / steps,
            **{f"{name}_per_step": count / steps for name, count in size.items()},
            **{f"{name}_per_s": count / seconds for name, count in size.items()},
            **self._budget(),
            "step_mb": self.memory.of_step(),
            "peak_mb": self.memory.peak(),
            "compile_peak_mb": self.compile_peak_mb,
            "compile_s": self.first_s - seconds / steps,
            "loss": value,
            "parameters": self.parameters,
            "optimizer": self.options.optimizer,
            "wrap": self.options.wrap,
            "device": jax.devices()[0].device_kind,
        }

    def _counts(self, steps: int) -> dict[str, int]:
        found = {"frames": 0, "atoms": 0, "edges": 0}
        for i in range(steps):
            batch = self.batches[i % len(self.batches)]
            batch = jax.tree.map(lambda x: x[0], batch) if self.options.wrap == "pmap" else batch
            real = np.asarray(jraph.get_graph_padding_mask(batch))
            found["frames"] += int(real.sum())
            found["atoms"] += int(batch.n_node[real].sum())
            found["edges"] += int(batch.n_edge[real].sum())
        return found

    def _budget(self) -> dict[str, int]:
        batch = self.batches[0]
        sizes = batch.n_node.shape[-1], batch.nodes["species"].shape[-1], batch.senders.shape[-1]
        return dict(zip(("padded_frames", "padded_atoms", "padded_edges"), sizes, strict=True))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", required=True, help="extxyz file: energy [eV], forces [eV/Å], stress [eV/Å³]")
    parser.add_argument("--batch", type=int, default=8, help="frames in a batch")
    parser.add_argument("--steps", type=int, default=10, help="steps in a repeat")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--published", action="store_true", help="sizes and elements of nequix-mp-1")
    parser.add_argument("--hessian", action="store_true", help="time the step with one Hessian column per frame")
    parser.add_argument("--irreps", default="64x0e + 32x1o + 16x2e")
    parser.add_argument("--lmax", type=int, default=2)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--cutoff", type=float, default=5.0, help="Å")
    parser.add_argument("--radial", type=int, nargs="+", default=[64, 64], help="hidden sizes, all the same")
    parser.add_argument("--radial-basis", type=int, default=8)
    parser.add_argument("--layer-norm", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--index-weights", action="store_true", help="self-connections with weights for each element")
    parser.add_argument("--loss", default="mae", choices=("mae", "mse", "huber"))
    parser.add_argument("--optimizer", choices=tuple(RATES), default="adamw", help="nequix-mp-1 took muon")
    parser.add_argument("--wrap", choices=("pmap", "jit"), help="default: pmap, as in its training; with --hessian jit")
    parser.add_argument("--worker", action="store_true", help="one repeat for each line on stdin")
    options = parser.parse_args()
    if options.published:
        vars(options).update(PUBLISHED)
    if len(set(options.radial)) != 1:
        parser.error(f"--radial {options.radial}: the peer's radial network has one size for all hidden layers")
    options.wrap = options.wrap or ("jit" if options.hessian else "pmap")
    return options


def main() -> None:
    options = arguments()
    memory = Memory()
    training = Training(options, memory)
    if options.worker:
        print("ready", flush=True)
    for _ in sys.stdin if options.worker else range(options.repeats):
        print(json.dumps(training.repeat()), flush=True)


if __name__ == "__main__":
    main()
