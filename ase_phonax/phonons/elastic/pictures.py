"""Pictures of elastic constants: Young's modulus and sound by direction, in three planes."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ...base.drawing import BANDS, ELEMENTS, INK
from .constants import ElasticConstants

_PLANES = (("x", "y"), ("x", "z"), ("y", "z"))
_WAVES = ("slowest wave", "middle", "fastest")
_COLORS = (ELEMENTS[2], ELEMENTS[1], BANDS)
_ANGLES = np.linspace(0, 2 * np.pi, 361)


def draw_elastic(constants: ElasticConstants, title: str = "") -> Figure:
    """Above Young's modulus along the directions of three planes, below the velocities of the three sound waves.

    Args:
        constants: of a stable crystal; of one that gives way its sound alone is drawn, where there is any.
        title: above the picture.
    """
    figure = Figure(figsize=(7.2, 5.4), layout="constrained")
    axes = figure.subplots(2, 3, subplot_kw={"projection": "polar"})
    names = "xyz"
    for column, (first, second) in enumerate(_PLANES):
        directions = np.zeros((len(_ANGLES), 3))
        directions[:, names.index(first)] = np.cos(_ANGLES)
        directions[:, names.index(second)] = np.sin(_ANGLES)
        above, below = axes[:, column]
        if constants.is_stable:
            above.plot(_ANGLES, constants.young(directions), color=INK, linewidth=1.2)
        velocities, _ = constants.sound_waves(directions)
        # The slowest is drawn first and widest: where two are equal in a plane, both are seen.
        for own, name, color, width in zip(velocities.T / 1000, _WAVES, _COLORS, (2.2, 1.1, 1.1), strict=True):
            below.plot(_ANGLES, own, color=color, linewidth=width, label=name)
        for ax in (above, below):
            ax.set_xticks([0, np.pi / 2, np.pi, 3 * np.pi / 2], [first, second, "", ""])
            ax.tick_params(labelsize=7)
            ax.set_rlabel_position(45)
            ax.yaxis.set_major_locator(MaxNLocator(4, prune="lower"))
            values = np.concatenate([line.get_ydata() for line in ax.lines] or [np.zeros(1)])
            top = np.nanmax(np.where(np.isfinite(values), values, 0.0))
            if top == 0.0:
                ax.set_yticks([])
                ax.text(0.5, 0.6, "none: the crystal gives way", transform=ax.transAxes, ha="center", fontsize=7)
            ax.set_ylim(0, 1.1 * top or 1.0)
            for label in ax.get_yticklabels():
                label.set_bbox({"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.4})
            ax.spines["polar"].set_color("#cccccc")
            ax.grid(linewidth=0.4)
    axes[0, 0].set_ylabel("Young's modulus (GPa)", labelpad=24)
    axes[1, 0].set_ylabel("Velocity of sound (km/s)", labelpad=24)
    figure.legend(
        *axes[1, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False, fontsize=8
    )
    figure.suptitle(title, fontsize=10)
    return figure
