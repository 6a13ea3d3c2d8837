"""The pictures of what was found, drawn from the results beside this file.

    python examples/ethanol/figures.py [--results runs/ethanol]

Also prints the numbers that README.md states.
"""

import argparse
from pathlib import Path

import numpy as np
from _labels import HERE, read_rows

WITHOUT, WITH = "#666666", "#d55e00"
STYLES = (":", "--", "-", "-.")
SIDES = ((False, WITHOUT, "o", "energies and forces"), (True, WITH, "s", "and Hessians"))


def axes(width: float, n: int, **options):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, 3.3), layout="constrained")
    return figure, figure.subplots(1, n, **options)


def grouped(rows: list[dict], hessians: bool, label: str) -> dict[int, np.ndarray]:
    """Number of frames -> values of the seeds."""
    sizes = sorted({row["frames"] for row in rows})
    found = {n: [r[label] for r in rows if r["frames"] == n and r["hessians"] is hessians] for n in sizes}
    return {n: np.array(values) for n, values in found.items() if values}


def means(values: dict[int, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Sizes and geometric means, made to fall with the size: a curve that can be read backwards."""
    sizes = np.array(sorted(values), float)
    return sizes, np.minimum.accumulate([np.exp(np.log(values[int(n)]).mean()) for n in sizes])


def worth(rows: list[dict], label: str = "forces_mae") -> list[tuple[int, float, str]]:
    """For each n with Hessians: the n without that is as good, over n; by interpolation on logarithmic axes.

    Returns:
        n, factor, and ">" where even the largest set without Hessians is worse.
    """
    sizes, without = means(grouped(rows, False, label))
    found = []
    for n, error in zip(*means(grouped(rows, True, label)), strict=True):
        if error > without[0]:
            continue
        if error < without[-1]:
            found.append((int(n), sizes[-1] / n, ">"))
            continue
        equal = np.exp(np.interp(-np.log(error), -np.log(without), np.log(sizes)))
        found.append((int(n), equal / n, ""))
    return found


def curves(rows: list[dict], path: Path) -> None:
    """Errors on test frames against the number of training frames."""
    shown = (
        ("forces_mae", 1e3, "force MAE [meV/Å]"),
        ("energy_mae", 9e3, "energy MAE [meV]"),
        ("relative_curvature", 100, "error of the Hessian [%]"),
    )
    figure, (*panels, last) = axes(12, 4)
    for panel, (label, factor, name) in zip(panels, shown, strict=True):
        for hessians, colour, mark, side in SIDES:
            values = grouped(rows, hessians, label)
            for n, each in values.items():
                panel.loglog(np.full(len(each), n), factor * each, mark, color=colour, ms=3, alpha=0.45, mew=0)
            sizes, mean = list(values), [np.exp(np.log(each).mean()) for each in values.values()]
            panel.loglog(sizes, factor * np.array(mean), "-", marker=mark, ms=4, color=colour, label=side)
        panel.set(xlabel="training configurations", ylabel=name)
        plain_ticks(panel)
    panels[0].legend(frameon=False)
    found = worth(rows)
    exact, bounds = [f for f in found if not f[2]], [f for f in found if f[2]]
    last.loglog([n for n, _, _ in exact], [x for _, x, _ in exact], "s-", color=WITH, ms=4)
    last.loglog(
        [n for n, _, _ in bounds], [x for _, x, _ in bounds], "^", color=WITH, ms=5, mfc="none", label="at least"
    )
    last.axhline(7, color="0.5", ls=":", lw=1)
    last.annotate("7", (400, 7), textcoords="offset points", xytext=(0, 3), color="0.4")
    last.set(xlabel="configurations with Hessians", ylabel="times as many without\nfor equal force MAE")
    plain_ticks(last)
    if bounds:
        last.legend(frameon=False)
    figure.savefig(path, dpi=130)


def plain_ticks(panel) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    for axis in (panel.xaxis, panel.yaxis):
        low, high = axis.get_view_interval()
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 500 else (1, 3)))
        axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        axis.set_minor_formatter(NullFormatter())
    panel.grid(alpha=0.25, lw=0.5)


def slope(sizes: np.ndarray, errors: np.ndarray) -> float:
    return float(np.polyfit(np.log(sizes), np.log(errors), 1)[0])


def near(rows: list[dict], path: Path) -> None:
    """Errors of the forces around the one configuration trained on."""
    figure, panel = axes(5, 1)
    for hessians, colour, _, side in SIDES:
        own = [row for row in rows if row["hessians"] is hessians]
        sizes = np.array(own[0]["sizes"])
        errors = np.array([row["forces_rmse"] for row in own])
        for each in errors:
            panel.loglog(sizes, 1e3 * each, "-", color=colour, lw=0.5, alpha=0.3)
        middle = np.median(errors, 0)
        small = sizes <= 0.01
        panel.loglog(sizes, 1e3 * middle, "o-", color=colour, ms=4, label=side)
        slopes = np.array([slope(sizes[small], e[small]) for e in errors])
        rest = np.array([row["forces_rmse_at_zero"] for row in own])
        curvature = np.array([row["relative_curvature"] for row in own])
        print(
            f"one configuration, {side}: {len(own)} trainings, slope up to 0.01 Å {np.median(slopes):.2f} "
            f"({slopes.min():.2f} to {slopes.max():.2f}), over all {slope(sizes, middle):.2f}; at the configuration "
            f"{1e3 * np.median(rest):.4f} (at most {1e3 * rest.max():.4f}) meV/Å; "
            f"Hessian {100 * np.median(curvature):.3g} %"
        )
        low, high = np.quantile(errors, (0.1, 0.9), axis=0)
        for size, m, a, b in zip(sizes, middle, low, high, strict=True):
            print(f"  {size:.3f} Å: {1e3 * m:.3g} meV/Å ({1e3 * a:.3g} to {1e3 * b:.3g})")
    for power in (1, 2):
        own = [row for row in rows if row["hessians"] is (power == 2)]
        first = np.median([row["forces_rmse"][0] for row in own])
        line = np.array([sizes[0], 0.02])
        panel.loglog(line, 500 * first * (line / sizes[0]) ** power, ":", color="0.4", lw=1)
        panel.annotate(
            f"slope {power}", (line[1], 500 * first * (line[1] / sizes[0]) ** power), fontsize=8, color="0.3"
        )
    panel.set(xlabel="displacement, rms of a component [Å]", ylabel="error of the forces, rms [meV/Å]")
    panel.legend(frameon=False)
    panel.grid(alpha=0.25, lw=0.5)
    figure.savefig(path, dpi=130)


def survival(lived: np.ndarray, whole: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Kaplan-Meier estimate of the part still whole at each time; those whole at their end are censored there."""
    order = np.argsort(lived, kind="stable")
    lived, broke = lived[order], ~whole[order]
    at_risk = len(lived) - np.arange(len(lived))
    left = np.cumprod(np.where(broke, 1 - 1 / at_risk, 1.0))
    return np.array([left[lived <= t][-1] if (lived <= t).any() else 1.0 for t in times])


def band(own: list[dict], times: np.ndarray, level: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
    """Interval of the survival curve by drawing potentials, and trajectories of each, with replacement.

    Trajectories of one potential are alike: as independent ones they would claim too much.
    """
    rng, curves = np.random.default_rng(0), []
    for _ in range(400):
        lived, whole = [], []
        for k in rng.integers(len(own), size=len(own)):
            which = rng.integers(len(own[k]["lived"]), size=len(own[k]["lived"]))
            lived.append(np.array(own[k]["lived"])[which])
            whole.append(np.array(own[k]["whole"])[which])
        curves.append(survival(np.concatenate(lived), np.concatenate(whole), times))
    return np.quantile(curves, [(1 - level) / 2, (1 + level) / 2], axis=0)


BEST = (500, True)  # what distributions are compared with: the best potential there is


def distribution(row: dict) -> np.ndarray:
    """(2, bins) of the distances of bonds and of other pairs, each summing to one; NaN without samples."""
    counts = np.array([row["bonds"], row["others"]], float)
    return counts / np.where(counts.sum(1, keepdims=True), counts.sum(1, keepdims=True), np.nan)


AFTER = 5.0  # ps: what is compared between all of them
SHOWN = 20  # configurations of the survival curves that are drawn


def select(rows: list[dict], n: int, hessians: bool, temperature: int) -> list[dict]:
    return [r for r in rows if (r["frames"], r["hessians"], r["temperature"]) == (n, hessians, temperature)]


def dynamics(rows: list[dict], path: Path) -> None:
    """How many trajectories stay whole, and how far their distances are distributed from those of the best potential.

    The measure is the part of a distribution that lies elsewhere: half the sum of the absolute differences. Intervals
    of 90 % by drawing potentials and trajectories anew.
    """
    temperatures, sizes = sorted({r["temperature"] for r in rows}), sorted({r["frames"] for r in rows})
    figure, (curves, whole, *away) = axes(13, 4)
    times = np.concatenate([[0], np.geomspace(0.05, AFTER, 300)])
    for temperature, style in zip(temperatures, STYLES, strict=False):
        best = next((distribution(r) for r in select(rows, *BEST, temperature)), None)
        for shift, (hessians, colour, mark, side) in zip((0.97, 1.03), SIDES, strict=True):
            label = f"{side}, {temperature} K"
            left: dict[int, tuple] = {}
            elsewhere: dict[int, np.ndarray] = {}
            for n in sizes:
                own = select(rows, n, hessians, temperature)
                if not own:
                    continue
                lived, still = (np.concatenate([r[key] for r in own]) for key in ("lived", "whole"))
                low, high = band(own, times)
                curve = survival(lived, still, times)
                if n == SHOWN:
                    curves.step(times, curve, style, where="post", color=colour)
                    curves.fill_between(times, low, high, color=colour, alpha=0.12, lw=0, step="post")
                left[n] = curve[-1], low[-1], high[-1]
                told = f"{curve[-1]:.2f} ({low[-1]:.2f} to {high[-1]:.2f}) whole after {AFTER:g} ps"
                if best is not None and (n, hessians) != BEST:
                    off = 50 * np.abs(np.array([distribution(r) for r in own]) - best).sum(2)
                    off = off[~np.isnan(off[:, 0])]
                    if len(off):
                        elsewhere[n] = off
                        told += "".join(
                            f"; {what} {off[:, k].mean():.1f} ± {off[:, k].std(ddof=len(off) > 1):.1f} % elsewhere"
                            for k, what in enumerate(("bonds", "other distances"))
                        )
                print(f"{temperature} K, {n} configurations, {side}: {len(own)} potentials, {told}")
            x = shift * np.array(list(left))
            middle, low, high = np.array(list(left.values())).T
            whole.errorbar(x, middle, (middle - low, high - middle), fmt=style, marker=mark, ms=4, color=colour, lw=1)
            for k, panel in enumerate(away):
                x = shift * np.array(list(elsewhere))
                found = [each[:, k] for each in elsewhere.values()]
                spread = [each.std(ddof=len(each) > 1) for each in found]
                panel.errorbar(x, [e.mean() for e in found], spread, fmt=style, marker=mark, ms=4, color=colour, lw=1)
            away[-1].plot([], [], style, marker=mark, ms=4, color=colour, label=label)
    curves.set(
        xlabel="time [ps]", ylabel="trajectories still whole", title=f"{SHOWN} configurations", ylim=(-0.03, 1.03)
    )
    whole.set(ylabel=f"trajectories whole after {AFTER:g} ps", ylim=(-0.03, 1.03))
    for panel, what in zip(away, ("bonds", "other distances"), strict=True):
        panel.set(ylabel=f"{what}: part elsewhere [%]", ylim=(0, None))
    for panel in (whole, *away):
        panel.set(xscale="log", xlabel="training configurations")
        panel.set_xticks(sizes, [str(n) for n in sizes])
        panel.minorticks_off()
    away[-1].legend(frameon=False, fontsize=7)
    figure.savefig(path, dpi=130)


def drift(rows: list[dict]) -> None:
    """Of the total energy without thermostat, over the trajectories that stay whole."""
    for row in sorted(rows, key=lambda r: (r["temperature"], r["frames"], r["hessians"])):
        whole = np.array(row["whole"])
        if whole.any():
            change, spread = (1e3 * np.array(row[key])[whole] for key in ("drift", "fluctuation"))
            print(
                f"{row['temperature']} K, {row['frames']} configurations, {SIDES[row['hessians']][3]}: "
                f"{whole.sum()} of {len(whole)} whole after {row['picoseconds']} ps; drift at most "
                f"{np.abs(change).max():.2g} meV/atom/ps, fluctuation {spread.mean():.2g} meV/atom"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=HERE / "results", help="folder of the results files")
    parser.add_argument("--figures", type=Path, default=Path("."), help="folder for the pictures")
    options = parser.parse_args()
    rows = read_rows(options.results / "curves.jsonl")
    if rows:
        table(rows)
        curves(rows, options.figures / "curves.png")
    rows = read_rows(options.results / "near.jsonl")
    if rows:
        near(rows, options.figures / "near.png")
    rows = read_rows(options.results / "dynamics.jsonl")
    if rows:
        dynamics(rows, options.figures / "dynamics.png")
    drift(read_rows(options.results / "drift.jsonl"))


def table(rows: list[dict]) -> None:
    """Force, energy and Hessian errors of the learning curves."""
    sides = {h: {k: grouped(rows, h, k) for k in ("forces_mae", "energy_mae", "relative_curvature")} for h, *_ in SIDES}
    print("n, then without and with Hessians: forces [meV/Å], energy [meV], Hessian [%]")
    for n in sides[False]["forces_mae"]:
        cells = []
        for h, *_ in SIDES:
            for label, factor in (("forces_mae", 1e3), ("energy_mae", 9e3), ("relative_curvature", 100)):
                each = factor * sides[h][label].get(n, np.array([np.nan]))
                cells.append(f"{each.mean():.1f} ± {each.std(ddof=len(each) > 1):.1f}")
        print(f"{n:4d} | " + " | ".join(cells))
    print("worth: " + ", ".join(f"{n}: {mark}{x:.1f}" for n, x, mark in worth(rows)))


if __name__ == "__main__":
    main()
