"""What every room may use and which knows no physics.

Errors, units, settings, locks, cores and memory, files written whole, the style of pictures.
"""
