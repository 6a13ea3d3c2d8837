"""Settings as a command line gives them."""

import argparse

from ase_phonax.cli.arguments import add_options, settings_of
from ase_phonax.studies.settings import PhononSettings


def typed(*words: str) -> PhononSettings:
    parser = argparse.ArgumentParser()
    add_options(parser, PhononSettings)
    return settings_of(PhononSettings, parser.parse_args(list(words)))
