"""Whole runs from Python: the same numbers, checks and files as the commands, in threads and processes as well."""

import ast
import dataclasses
import json
import pickle
import re
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from fnmatch import fnmatch
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import read, write

import ase_phonax
from ase_phonax import (
    GruneisenSettings,
    MoleculeSettings,
    PhonaxCalculator,
    PhononSettings,
    QuasiHarmonicSettings,
    Watch,
    gruneisen_study,
    molecule_study,
    phonon_study,
    quasi_harmonic_study,
)
from ase_phonax.base.errors import InputError, OutputError, StructureError, SupercellError
from ase_phonax.cli import _parser, loading, main
from ase_phonax.cli.wording import as_typed, error_as_typed
from ase_phonax.phonons.supercell.choice import SupercellChoice
from ase_phonax.studies import options
from ase_phonax.studies.notes import collected_warnings
from ase_phonax.studies.phonon_results import FILES
from ase_phonax.studies.sections import SECTIONS

from .pair_potential import PairCalculator
from .typed import typed

QUICK = PhononSettings(supercell=1, mesh=(2, 2, 2), no_exact=True)
STUDIES = {"phonons": PhononSettings, "gruneisen": GruneisenSettings, "qha": QuasiHarmonicSettings}


def salt(a: float = 5.65):
    return bulk("NaCl", "rocksalt", a=a)


@pytest.fixture(scope="module")
def study():
    return phonon_study(salt(), PairCalculator(like=0.0), QUICK)


# ---- the same as the command -------------------------------------------------------------------------


def test_one_call_gives_what_the_command_gives(tmp_path, monkeypatch, capsys, study):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(loading, "load_calculator", lambda model, dtype: PairCalculator(like=0.0))
    write("salt.extxyz", salt())
    assert main(["phonons", "salt.extxyz", "--supercell", "1", "--mesh", "2", "2", "2", "--no-exact"]) == 0
    table = capsys.readouterr().out
    theirs = json.loads(Path("salt-phonons/summary.json").read_text())
    written = study.write("mine")
    ours = json.loads((written / "summary.json").read_text())
    assert ours.keys() == theirs.keys()
    other = {"structure_file", "provenance", "timings_s", "units"}
    for name in ours.keys() - other:
        assert ours[name] == theirs[name], name
    assert sorted(p.name for p in Path("mine").iterdir()) == sorted(p.name for p in Path("salt-phonons").iterdir())
    assert sorted(study.files) == sorted(p.name for p in written.iterdir())
    lines = study.report().text(words=as_typed).splitlines()
    until = lines.index("seconds")
    assert lines[:until] == table.splitlines()[:until]
    with pytest.raises(OutputError, match="exists already"):
        study.write("mine")
    study.write("mine", overwrite=True)


def test_a_study_says_what_it_is_doing_and_only_to_its_watch(capfd):
    class Told(Watch):
        def __init__(self):
            super().__init__()
            self.events, self.counts = [], {}

        def note(self, event, values):
            self.events.append((event, values["section"]))

        @contextmanager
        def progress(self, description):
            counts = self.counts.setdefault(description, [])

            class Count:
                def __call__(self, done, total):
                    counts.append((done, total))

                def under(self, description):
                    return self

            yield Count()

    watch = Told()
    results = phonon_study(salt(), PairCalculator(like=0.0), QUICK, watch)
    assert capfd.readouterr() == ("", "")
    begun = [section for event, section in watch.events if event == "begin"]
    assert begun == ["relaxation", "supercell", "force_constants", "checks", "sampling", "sections"]
    assert watch.counts["relaxation"]
    assert list(results.timings_s) == [*begun, "total"]


def test_rows_of_a_report_are_data(study):
    groups = {group.name: group.rows for group in study.report().groups}
    rows = {row.label: row.text for row in groups["structure"]}
    assert rows["supercell"] == "1 × 1 × 1, 2 atoms, as asked"
    assert groups["frequencies (THz; imaginary as negative)"][0].label == "at Γ"
    assert max(map(len, study.report().text(60).splitlines())) <= 60


def test_the_other_studies_give_numbers_and_files(tmp_path):
    copper = bulk("Cu", "fcc", a=3.9)
    calc = PairCalculator()
    gruneisen = gruneisen_study(copper, calc, GruneisenSettings(supercell=2, mesh_length=15, finite=True))
    assert sorted(p.name for p in gruneisen.write(tmp_path / "g").iterdir()) == sorted(gruneisen.files)
    low, high = gruneisen.gruneisen.range
    assert low < gruneisen.to_dict()["gruneisen_average"] < high
    settings = QuasiHarmonicSettings(supercell=2, mesh_length=15, n_volumes=5, max_temperature=300)
    expansion = quasi_harmonic_study(copper, calc, settings)
    assert sorted(p.name for p in expansion.write(tmp_path / "q").iterdir()) == sorted(expansion.files)
    assert "thermal_expansion_per_k" in expansion.to_dict()["curves"]
    for results in (gruneisen, expansion):
        again = pickle.loads(pickle.dumps(results))
        assert json.dumps(again.to_dict()) == json.dumps(results.to_dict())
        assert str(again.report()) == str(results.report())


# ---- several structures ------------------------------------------------------------------------------


def same(one, other) -> None:
    assert one.notes == other.notes
    for name in ("gamma_frequencies_thz", "thermal", "min_frequency_thz", "energy", "irreps"):
        assert one.to_dict()[name] == other.to_dict()[name]


def test_studies_in_threads_are_those_of_one_after_the_other_with_their_own_warnings():
    structures = [salt(5.65), salt(5.0), bulk("NaCl", "cesiumchloride", a=3.4)]
    calcs = [PairCalculator(like=0.0) for _ in structures]  # this one is not for several threads
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        alone = list(map(phonon_study, structures, calcs, repeat(QUICK)))
        with ThreadPoolExecutor(3) as pool:
            together = list(pool.map(phonon_study, structures, calcs, repeat(QUICK)))
    for one, other in zip(alone, together, strict=True):
        same(one, other)
    assert alone[0].notes != alone[1].notes  # the second one is far from its volume, and says so


def test_studies_in_threads_may_share_a_calculator(tiny):
    calc = PhonaxCalculator(tiny)
    structures = [bulk("Si", a=a) for a in (5.3, 5.4, 5.5)]
    settings = dataclasses.replace(QUICK, no_relax=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        alone = [phonon_study(atoms, calc, settings) for atoms in structures]
        with ThreadPoolExecutor(3) as pool:
            together = list(pool.map(phonon_study, structures, repeat(calc), repeat(settings)))
    for one, other in zip(alone, together, strict=True):
        same(one, other)


def test_studies_come_back_from_processes_without_their_calculator(tmp_path):
    structures = [salt(5.65), salt(5.7)]
    calc = PairCalculator(like=0.0)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        results = list(pool.map(phonon_study, structures, repeat(calc), repeat(QUICK)))
    here = phonon_study(structures[1], calc, QUICK)
    np.testing.assert_allclose(
        results[1].to_dict()["gamma_frequencies_thz"], here.to_dict()["gamma_frequencies_thz"], atol=1e-9
    )
    assert b"PairCalculator" not in pickle.dumps(results[1])
    folder = results[1].write(tmp_path / "out")
    assert set(FILES) <= {path.name for path in folder.iterdir()}
    assert read(folder / "relaxed.extxyz").get_potential_energy() == pytest.approx(here.atoms.get_potential_energy())


@pytest.fixture(scope="module")
def everything():
    """A study that was asked for all that there is."""
    asked = typed(
        *("--supercell", "2", "--mesh", "3", "3", "3", "--follow", "0.5", "0.5", "0.5", "1", "--amplitudes", "0.2"),
        *("--thermal-displacements", "--pdos-along", "1", "0", "0", "--animate", "0", "0", "0", "1", "--no-exact"),
        *("--modulate", "0.5", "0", "0", "1", "0.1", "0", "--phononwebsite", "--ase-bands"),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return phonon_study(bulk("Po", "sc", a=2.9), PairCalculator(), asked)


def test_a_followed_mode_and_every_other_section_can_be_pickled(everything):
    sent = pickle.dumps(everything)
    assert b"PairCalculator" not in sent
    assert json.dumps(pickle.loads(sent).to_dict()) == json.dumps(everything.to_dict())


def test_warnings_of_two_threads_that_overlap_do_not_mix():
    """Kills: filters restored by the block that ends last, and warnings that land in another's list."""
    both = Barrier(2)

    def collect(number: int) -> list[str]:
        with collected_warnings() as texts:
            both.wait()
            for _ in range(2):
                warnings.warn(f"of {number}", UserWarning, stacklevel=2)
            both.wait()
        return texts

    before, show = list(warnings.filters), warnings.showwarning
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(collect, (1, 2))) == [["of 1"], ["of 2"]]
    assert (warnings.filters, warnings.showwarning) == (before, show)


@pytest.mark.parametrize("action", ["ignore", "error"])
def test_filters_of_a_thread_hold_while_another_collects(action):
    """Kills: a warning that somebody has silenced, shown because a study runs in another thread."""
    both = Barrier(2)

    def collect() -> None:
        with collected_warnings():
            both.wait()
            both.wait()

    with warnings.catch_warnings(record=True) as shown, ThreadPoolExecutor(1) as pool:
        warnings.simplefilter(action)
        done = pool.submit(collect)
        both.wait()
        try:
            warnings.warn("of nobody", UserWarning, stacklevel=1)
            raised = False
        except UserWarning:
            raised = True
        both.wait()
        done.result()
    assert raised == (action == "error")
    assert shown == []


def test_a_caller_in_python_is_warned_as_usual_and_finds_the_words_in_the_notes():
    with pytest.warns(UserWarning, match="volume changed") as warned:
        results = phonon_study(salt(5.0), PairCalculator(like=0.0), QUICK)
    assert results.notes == results.to_dict()["warnings"] == [" ".join(str(w.message).split()) for w in warned]
    assert {w.filename for w in warned} == {__file__}


# ---- settings ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "words", "text"),
    [
        ({"tolerance": -1}, ("--tolerance", "-1"), "is not a positive number"),
        ({"tolerance": "never"}, ("--tolerance", "never"), "'never' is not a positive number"),
        ({"mesh": (0, 1, 1)}, ("--mesh", "0", "1", "1"), "0 q-points along one direction: a mesh has 1 to 500"),
        ({"supercell": "two"}, ("--supercell", "two"), "is not an integer"),
        ({"irreps_q": [["a", 0, 0]]}, ("--irreps-q", "a", "0", "0"), "'a' is not a coordinate of a wave vector"),
        ({"animate": [["1/0", 0, 0, 1]]}, ("--animate", "1/0", "0", "0", "1"), "neither a number nor a fraction"),
        ({"temperatures": (3, 1, 1)}, ("--temperatures", "3", "1", "1"), "are no series"),
        ({"unit": "THZ"}, ("--unit", "THZ"), "THZ"),
        ({"mesh": (2, 2)}, ("--mesh", "2", "2"), "NA NB NC"),
        ({"supercell": 2, "min_length": 10}, ("--supercell", "2", "--min-length", "10"), "together|not allowed with"),
        ({"max_atoms": 0}, ("--max-atoms", "0"), "0'? is not a positive number"),
        ({"exact": True, "no_exact": True}, ("--exact", "--no-exact"), "together|not allowed with"),
    ],
)
def test_settings_in_python_are_refused_as_those_of_the_command_line_are(values, words, text, capsys):
    with pytest.raises(InputError, match=text) as refused:
        PhononSettings(**values)
    assert refused.value.what
    assert refused.value.why
    assert refused.value.remedy
    assert main(["phonons", "salt.cif", *words]) == 2
    said = capsys.readouterr().err
    assert re.search(text, said)


def test_an_unknown_setting_is_refused_with_the_nearest_name():
    with pytest.raises(InputError, match="did you mean 'tolerance'"):
        PhononSettings.from_dict({"tolerence": 0.1})
    with pytest.raises(TypeError, match="tolerence"):
        PhononSettings(tolerence=0.1)


@pytest.mark.parametrize(
    "values",
    [{"tolerance": None}, {"tolerance": True}, {"keep_cell": 1}, {"irreps_q": 5}, {"mesh": 4}, {"unit": ["THz"]}],
)
def test_what_no_command_line_could_say_is_refused_as_well(values):
    with pytest.raises(InputError, match=f"PhononSettings: {next(iter(values))}: "):
        PhononSettings(**values)


def test_settings_of_another_study_are_refused():
    with pytest.raises(InputError, match="the settings are a GruneisenSettings"):
        phonon_study(salt(), PairCalculator(), GruneisenSettings())
    with pytest.raises(InputError, match="the settings are a dict"):
        phonon_study(salt(), PairCalculator(), {"tolerance": 0.1})


def test_of_settings_that_exclude_each_other_a_default_that_is_stated_counts(tmp_path, monkeypatch, capsys):
    """Kills: the default stated together with its rival, which then decides unseen."""
    both = {"supercell": [2, 2, 2], "tolerance": PhononSettings().tolerance}
    for made in (lambda: PhononSettings(**both), lambda: PhononSettings.from_dict(both)):
        with pytest.raises(InputError, match="tolerance and supercell are given together"):
            made()
    monkeypatch.chdir(tmp_path)
    Path("run.yaml").write_text(json.dumps(both))
    for words in (["--config", "run.yaml"], ["--supercell", "2", "--tolerance", "0.05"]):
        assert main(["phonons", "salt.cif", *words]) == 2
        assert "not allowed with" in capsys.readouterr().err


def test_what_leaves_a_setting_open_is_not_stated_and_all_of_them_state_none():
    assert PhononSettings(supercell=None, tolerance=0.05, exact=False, no_exact=True).no_exact
    settings = PhononSettings(supercell=2)
    for again in (
        PhononSettings.from_dict(settings.to_dict()),
        dataclasses.replace(settings, symprec=1e-3),
        pickle.loads(pickle.dumps(settings)),
    ):
        assert again == settings
        assert vars(again) == vars(settings)
    with pytest.raises(InputError, match="tolerance and supercell are given together"):
        dataclasses.replace(settings, tolerance=0.1)


def test_numbers_of_numpy_are_numbers_and_its_truth_is_none():
    given = PhononSettings(
        tolerance=np.float64(0.1), max_atoms=np.int64(50), exact=np.True_, temperatures=list(np.arange(0.0, 30.0, 10.0))
    )
    assert given == PhononSettings(tolerance=0.1, max_atoms=50, exact=True, temperatures=(0, 10, 20))
    kinds = {type(given.tolerance), type(given.max_atoms), type(given.exact), type(given.temperatures[0])}
    assert kinds == {float, int, bool}
    json.dumps(given.to_dict())
    true = np.True_
    for values in (
        {"tolerance": true},
        {"max_atoms": true},
        {"follow": (0.5, 0.5, 0.5, true)},
        {"animate": (0, 0, 0, true)},
        {"irreps_q": [(0, 0, true)]},
    ):
        with pytest.raises(InputError, match=f"{next(iter(values))}: True is n"):
            PhononSettings(**values)


def test_numbers_may_come_in_any_sequence():
    assert PhononSettings(supercell=3).supercell == (3,)
    assert PhononSettings(supercell=2 * np.eye(3, dtype=int)).supercell == (2, 0, 0, 0, 2, 0, 0, 0, 2)
    assert PhononSettings(irreps_q=(0.5, 0, 0.3333)).irreps_q == ((0.5, 0.0, 1 / 3),)
    assert PhononSettings(irreps_q=np.eye(3)[:2]).irreps_q == ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
    assert PhononSettings(born="BORN").born == Path("BORN")


@pytest.mark.parametrize("kind", STUDIES.values())
def test_settings_go_through_json_and_back(kind):
    given = {"supercell": [2, 2, 2], "symprec": 1e-4, "max_atoms": 10}
    settings = kind.from_dict(given)
    again = kind.from_dict(json.loads(json.dumps(settings.to_dict())))
    assert again == settings
    assert settings.symprec == 1e-4


def test_what_depends_on_the_crystal_is_refused_before_anything_is_computed():
    calc = PairCalculator(like=0.0)
    with pytest.raises(InputError, match="names the point 'Q'"):
        phonon_study(salt(), calc, PhononSettings(path="GQ"))
    with pytest.raises(InputError, match="there is no mode 9"):
        phonon_study(salt(), calc, PhononSettings(animate=(0, 0, 0, 9)))
    molecule = salt()
    molecule.pbc = False
    with pytest.raises(StructureError, match="not periodic"):
        phonon_study(molecule, calc)
    for run, kind in (
        (phonon_study, PhononSettings),
        (gruneisen_study, GruneisenSettings),
        (quasi_harmonic_study, QuasiHarmonicSettings),
    ):
        with pytest.raises(SupercellError, match=r"has \d+ atoms"):
            run(salt(), calc, kind(min_length=300))
        with pytest.raises(InputError, match="take a coarser one"):
            run(salt(), calc, kind(mesh_length=1e5))
    with pytest.raises(InputError, match="q-points"):
        phonon_study(salt(), calc, PhononSettings(mesh=(500, 500, 500)))
    with pytest.raises(InputError, match="there is no mode 7"):
        molecule_study(Atoms("Cu2", positions=[[0, 0, 0], [0, 0, 2.3]]), calc, MoleculeSettings(animate=(1, 7)))
    with pytest.raises(InputError, match="the calculator is 'phonax-small'"):
        phonon_study(salt(), "phonax-small")
    assert calc.n_calls == 0


# ---- words for who asked -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "typed"),
    [
        ("give a smaller `tolerance`", "give a smaller --tolerance"),
        ("`exact=True` or `max_atoms`", "--exact or --max-atoms"),
        ("`follow=(0.5, 0, -0.25, 1)`", "--follow 0.5 0 -0.25 1"),
        ('`min_length=300`, `unit="cm-1"`', "--min-length 300, --unit cm-1"),
        ("another (`folder`), `n_workers=1`", "another (--output), --workers 1"),
        ("`indices`, `ase info --formats`, `phonopy`", "`indices`, `ase info --formats`, `phonopy`"),
    ],
)
def test_settings_that_a_text_names_are_options_where_they_are_typed(text, typed):
    assert as_typed(text) == typed


def test_python_is_told_of_settings_and_a_command_line_of_options(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write("salt.cif", salt())
    with pytest.raises(InputError) as refused:
        phonon_study(salt(), PairCalculator(), PhononSettings(nac_direction=(1, 0, 0), born="none"))
    assert refused.value.what == "`nac_direction` is given for a crystal without charges (as asked)"
    typed = ["--nac-direction", "1", "0", "0", "--born", "none"]
    assert main(["phonons", "salt.cif", *typed, "--log", "run.jsonl"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: --nac-direction is given for a crystal without charges")
    assert (
        "--nac-direction is given for a crystal without charges"
        in json.loads(Path("run.jsonl").read_text().splitlines()[-1])["message"]
    )
    with pytest.raises(InputError) as refused:
        PhononSettings(supercell="two")
    assert "before the options" not in str(refused.value)
    alone = salt()
    alone.pbc = False
    with pytest.raises(StructureError) as refused:
        phonon_study(alone, PairCalculator())
    assert "atoms.pbc = True" in str(refused.value)
    assert "atoms.pbc" not in error_as_typed(refused.value)
    assert "ase-phonax molecule" in error_as_typed(pickle.loads(pickle.dumps(refused.value)))


def texts_below(*rooms: str):
    """(file, text) of all strings in these rooms but docstrings, and what is said on the command line alone."""
    for room in rooms:
        for path in sorted((Path(ase_phonax.__file__).parent / room).rglob("*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            nodes = list(ast.walk(tree))
            typed = [
                k.value for n in nodes if isinstance(n, ast.Call) for k in n.keywords if k.arg == "on_command_line"
            ]
            bodies = [n.body for n in nodes if isinstance(n, (ast.Module, ast.ClassDef, ast.FunctionDef))]
            left_out = {id(x) for value in typed for x in ast.walk(value)}
            left_out |= {id(body[0].value) for body in bodies if body and isinstance(body[0], ast.Expr)}
            for node in nodes:
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in left_out:
                    yield path.name, node.value


def test_no_text_for_callers_in_python_names_an_option():
    """Kills: `--output` in an error of a function, and a setting in backquotes that the command line does not know."""
    known = {name for command in _parser()[1].values() for name in (action.dest for action in command._actions)}
    known |= {"folder", "n_workers"}
    for name, text in texts_below("studies", "phonons", "structures", "molecules", "training"):
        apart = re.sub(r"`[\w-]+( [^`]*)`", "", text)  # whole commands in backquotes are for everybody
        assert not re.search(r"(?<!ase info )(?<!\w)--(?!xla_)[a-z]", apart), (name, text)  # XLA has flags of its own
        assert {named for named in re.findall(r"`(\w+)=", text)} <= known, (name, text)


# ---- one place for each thing ------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "kind"), STUDIES.items())
def test_every_setting_is_an_option_with_the_same_default_and_help(name, kind):
    """What an option of all runs costs: its field, and the place that uses it."""
    _, commands = _parser()
    actions = {action.dest: action for action in commands[name]._actions}
    defaults = kind()
    for field, setting in options.options_of(kind):
        action = actions[field.name]
        assert action.option_strings == [f"--{field.name.replace('_', '-')}"]
        assert action.default == getattr(defaults, field.name)
        assert action.help == setting.help
    own = {"help", "structure", "model", "dtype", "route", "device", "site_tolerance", "mass"}
    own |= {"output", "overwrite", "page", "quiet", "log", "config"}
    own |= {"calculator", "calculator_arguments", "displacement", "second_derivatives"}
    assert set(actions) == own | {field.name for field in dataclasses.fields(kind)}


def test_whatever_a_section_writes_it_has_announced(everything):
    """Kills: a file forgotten in the list, so that --overwrite refuses the command's own folder."""
    known = everything.OWN_FILES
    assert [name for name in everything.files if not any(fnmatch(name, pattern) for pattern in known)] == []
    assert len(everything.files) > len(FILES) + len(SECTIONS)


def test_nothing_in_studies_prints_or_parses():
    folder = Path(ase_phonax.__file__).parent / "studies"
    for path in sorted(folder.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        modules = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        modules |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        argv = any(isinstance(node, ast.Attribute) and node.attr == "argv" for node in ast.walk(tree))
        assert not {"print", "input"} & names, path
        assert not any(name.split(".")[0] in ("argparse", "cli") for name in modules), path
        assert not argv, path


def test_the_row_of_a_supercell_that_does_not_suffice_says_what_was_done_about_it(study):
    """Kills: words of exact bands beside a picture of interpolated ones."""
    choice = SupercellChoice(np.eye(3, dtype=int), 2, 0.5, 0.05, ())
    words = {}
    for name, settings, reason in (
        ("missed", PhononSettings(), "the supercell misses the tolerance"),
        ("no_exact", PhononSettings(no_exact=True), ""),
        ("exact", PhononSettings(exact=True), "as asked"),
    ):
        sampling = dataclasses.replace(study.sampling, exact_because=reason)
        one = dataclasses.replace(study, choice=choice, settings=settings, sampling=sampling)
        words[name] = " ".join(one.report().text(200).split())
    assert "bands are drawn from exact D(q), densities and heat carry the error" in words["missed"]
    assert "bands, densities and heat carry the error" in words["no_exact"]
    assert "everything but phonopy's files is taken from exact D(q)" in words["exact"]
    assert "drawn from exact" not in words["no_exact"] + words["exact"]


@pytest.mark.parametrize("run", [ase_phonax.phonon_study, ase_phonax.molecule_study, ase_phonax.gruneisen_study])
def test_a_name_of_a_file_is_no_structure(run):
    with pytest.raises(StructureError, match=r"the structure is a str: 'AlN\.cif'") as caught:
        run("AlN.cif", PairCalculator())
    assert "ase.io.read" in caught.value.remedy
