"""JSON and YAML nested without end: refused, also where a library has raised Python's limit of recursion."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ase import Atoms
from ase.io import write

from ase_phonax.base.input_files import DEEPEST, check_nesting, parse_json

ROOT = Path(__file__).parents[1]
# As symfc does at its import; without a guard, the process then dies of a segmentation fault.
CODE = """
import sys
sys.setrecursionlimit(1_000_000)
from ase_phonax import load_model, read_frames
from ase_phonax.studies.label_folder import _read_note
from ase_phonax.cli.log import is_log
from ase_phonax.base.errors import PhonaxError
from ase_phonax.base.settings import read_yaml
from ase_phonax.structures.files import read_structure
from ase_phonax.models.registry import _read_card
from pathlib import Path
read = {"card": _read_card, "note": _read_note, "model": load_model, "structure": read_structure,
        "frames": read_frames, "settings": read_yaml}
print(is_log(Path("a.json")))
for pair in sys.argv[1:]:
    kind, name = pair.split("=")
    try:
        read[kind](Path(name) if kind in ("card", "note") else name)
    except PhonaxError as error:
        print(kind, name, type(error).__name__)
"""


def test_no_nesting_ends_a_process(tmp_path):
    (tmp_path / "a.json").write_text("[" * 900_000)
    (tmp_path / "b.yaml").write_text("a: " + "[" * 900_000)
    (tmp_path / "c.nqx").write_text("[" * 900_000 + "\n")
    write(tmp_path / "d.xyz", Atoms("H"), format="extxyz")
    lines = (tmp_path / "d.xyz").read_text().splitlines()
    lines[1] += ' note="_JSON ' + "[" * 900_000 + '"'
    (tmp_path / "d.xyz").write_text("\n".join(lines) + "\n")
    cases = "card=a.json note=a.json structure=a.json frames=a.json settings=b.yaml model=c.nqx structure=d.xyz"
    done = subprocess.run(
        [sys.executable, "-c", CODE, *cases.split()],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    kinds = ["ModelError", "InputError", "StructureError", "InputError", "InputError", "ModelError", "StructureError"]
    expected = [f"{case.replace('=', ' ')} {kind}" for case, kind in zip(cases.split(), kinds, strict=True)]
    assert done.stdout.splitlines() == ["False", *expected]


@pytest.mark.parametrize(
    "value",
    [
        [[[k, [k]] for k in range(50)] for _ in range(50)],
        {"brackets in texts": ["[" * 200, '"' + "[{" * 200, "\\" + "[" * 200]},
        {"many": [{"a": [k]} for k in range(500)]},
    ],
)
def test_what_is_wide_and_not_deep_is_read(value):
    """Kills: counting brackets, or those inside of texts."""
    assert parse_json(json.dumps(value)) == value
    assert parse_json(json.dumps(value).encode()) == value


def test_the_deepest_is_read_and_one_more_is_not():
    text = "[" * DEEPEST + "]" * DEEPEST
    assert parse_json(text) == json.loads(text)
    with pytest.raises(ValueError, match="nested deeper than 100"):
        parse_json(f"[{text}]")
    with pytest.raises(ValueError, match="nested deeper"):  # closed only inside of a text
        check_nesting('["' + "]" * 200 + '", ' + "[" * DEEPEST)
