"""Whole runs, as functions of Atoms, a calculator and settings: results are data, files and a report.

Nothing here prints, parses or knows which face is looking on.
"""
