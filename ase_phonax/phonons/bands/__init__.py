"""Bands: paths through the Brillouin zone, band structures, group velocities."""
