"""Molecules: normal modes, point groups, what a spectrometer sees."""
