"""What every room may use and which knows no physics.

Errors, units, settings, locks and cores, files written whole, the style of pictures.
"""
