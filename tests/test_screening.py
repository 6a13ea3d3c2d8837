"""Screening: the same numbers as one by one, whoever computes them and however often it is stopped."""

import csv
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import ase.db
import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.io import write

from ase_phonax import ElasticSettings, PhonaxCalculator, elastic_constants, phonon_study, relax, screen
from ase_phonax.base import hdf5
from ase_phonax.base.errors import InputError, OutputError
from ase_phonax.base.memory import memory_bytes
from ase_phonax.cli import main
from ase_phonax.cli.screen import _files
from ase_phonax.phonons.sampling.stability import IMAGINARY_THRESHOLD_THZ
from ase_phonax.studies.screening import run, store
from ase_phonax.studies.screening.cluster import SchedulerLost, connected
from ase_phonax.studies.screening.quantities import band_extremes
from ase_phonax.studies.screening.tasks import Job, computed, key_of
from ase_phonax.studies.settings import PhononSettings
from ase_phonax.studies.watch import Watch

CALC = PhonaxCalculator()
COARSE = {"supercell": [2, 2, 2], "mesh_length": 15.0}


def crystals():
    """Four that can be computed, one of them twice, and two that cannot."""
    return [
        bulk("Si"),
        bulk("MgO", "rocksalt", a=4.25),
        bulk("Xe", "fcc", a=6.2),
        bulk("SiC", "zincblende", a=4.38),
        bulk("Si"),
        molecule("H2O", vacuum=6.0, pbc=True),
        bulk("Al", "bcc", a=3.2),
    ]


@pytest.fixture(scope="module")
def client():
    """A worker in this process."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0", silence_logs=50
        ) as local,
        Client(local) as found,
    ):
        yield found


def table(folder: Path) -> list[dict[str, str]]:
    with open(folder / "table.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def screened(client, tmp_path_factory):
    folder = tmp_path_factory.mktemp("screened") / "moduli"
    return screen(crystals(), CALC, "elastic", folder=folder, client=client)


def test_rows_are_what_each_crystal_gives_alone(screened):
    assert (screened.n_structures, screened.n_equal, screened.n_computed, screened.n_failed) == (7, 1, 6, 2)
    rows = {row["formula"]: row for row in table(screened.folder)}
    assert [row["place"] for row in table(screened.folder)] == ["0", "1", "2", "3", "5", "6"]
    for atoms in (bulk("Si"), bulk("MgO", "rocksalt", a=4.25)):
        found = elastic_constants(relax(atoms, CALC)[0], CALC)
        assert float(rows[atoms.get_chemical_formula()]["bulk_modulus_vrh_GPa"]) == pytest.approx(
            found.hill.bulk, rel=1e-6
        )
    assert "does not know Xe" in rows["Xe"]["reason"]
    assert "molecule with vacuum" in rows["H2O"]["reason"]
    with ase.db.connect(screened.database) as database:
        assert database.count(failed=0) == 4
        silicon = database.get(formula="Si2")
        assert silicon.data["summary"]["elastic_constants_GPa"][0][0] > 100
        assert silicon.volume == pytest.approx(relax(bulk("Si"), CALC)[0].cell.volume)
        assert "phonax-small" in database.metadata["ase_phonax_screening"]


def test_the_table_is_there_for_other_programs(screened, client, tmp_path, monkeypatch):
    import pyarrow.parquet

    shutil.copytree(screened.folder, tmp_path / "copy")
    screen(crystals(), CALC, "elastic", folder=tmp_path / "copy", client=client, parquet=True)
    found = pyarrow.parquet.read_table(tmp_path / "copy/table.parquet").to_pylist()
    assert [row["formula"] for row in found] == [row["formula"] for row in table(screened.folder)]
    assert isinstance(found[0]["bulk_modulus_vrh_GPa"], float)
    assert found[2]["bulk_modulus_vrh_GPa"] is None
    screen([*crystals(), bulk("Cu")], CALC, "elastic", folder=tmp_path / "copy", client=client)
    assert len(pyarrow.parquet.read_table(tmp_path / "copy/table.parquet")) == 7  # it is not left behind
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match="pyarrow is not installed"):
        screen(crystals(), CALC, "elastic", folder=tmp_path / "new", client=client, parquet=True)
    with pytest.raises(InputError, match="no address of PostgreSQL"):
        screen(crystals(), CALC, "elastic", folder=tmp_path / "new", client=client, database="mysql://a:b@c/d")
    assert not (tmp_path / "new").exists()


def test_nothing_is_computed_twice_and_more_can_be_added(screened, client, monkeypatch, tmp_path):
    before = table(screened.folder)
    with monkeypatch.context() as within:
        within.setattr(run, "outcomes", lambda *args: pytest.fail("computed again"))
        again = screen(crystals(), CALC, "elastic", ElasticSettings(), folder=screened.folder, client=client)
    assert (again.n_before, again.n_computed) == (6, 0)
    assert table(screened.folder) == before
    folder = tmp_path / "grown"
    shutil.copytree(screened.folder, folder)
    more = screen([bulk("Cu"), bulk("Si")], CALC, "elastic", folder=folder, client=client)
    assert (more.n_before, more.n_computed) == (1, 1)
    assert table(folder)[-1]["formula"] == "Cu"


def test_however_it_is_stopped_the_rows_are_the_same(screened, client, tmp_path):
    class Stopped(Watch):
        """Ctrl-C after two crystals."""

        def progress(self, description):
            from contextlib import nullcontext

            return nullcontext(self.count)

        def count(self, done, total):
            if done == 2:
                raise KeyboardInterrupt

    folder = tmp_path / "moduli"
    with pytest.raises(KeyboardInterrupt):
        screen(crystals(), CALC, "elastic", folder=folder, client=client, watch=Stopped())
    assert len(table(folder)) == 2
    found = screen(crystals(), CALC, "elastic", folder=folder, client=client)
    assert (found.n_before, found.n_computed) == (2, 4)
    assert table(folder) == table(screened.folder)


def test_phonons_leave_what_one_selects_by(client, tmp_path):
    found = screen([bulk("Si"), bulk("Al", "bcc", a=3.7)], CALC, "phonons", COARSE, folder=tmp_path, client=client)
    assert found.n_failed == 0
    silicon, aluminium = table(tmp_path)
    assert silicon["stable"] == "1"
    assert aluminium["stable"] == "0"
    # What to doubt is told in the row, not at the terminal.
    assert int(aluminium["n_warnings"]) > 0
    with ase.db.connect(found.database) as database:
        assert len(database.get(formula="Al").data["summary"]["warnings"]) == int(aluminium["n_warnings"])
    assert float(aluminium["min_frequency_thz"]) < -IMAGINARY_THRESHOLD_THZ
    assert 500 < float(silicon["debye_temperature_K"]) < 700
    study = phonon_study(bulk("Si"), CALC, PhononSettings.from_dict(COARSE))
    assert float(silicon["thermal_heat_capacity_J_K_mol"]) == pytest.approx(
        study.heat()[1]["heat_capacity_J_K_mol"], rel=1e-9
    )
    content = hdf5.read(tmp_path / "arrays" / f"{silicon['screening_key'][1:]}.h5").arrays
    expected = np.concatenate([np.asarray(own) for own in study.sampling.bands.frequencies])
    assert content["bands/frequencies_thz"] == pytest.approx(expected, abs=1e-6)
    assert {name.split("/")[0] for name in content} == {"bands", "density", "heat"}


def test_gaps_and_flat_bands_are_found():
    wave = np.linspace(0, 1, 11)
    bands = np.stack([wave, 2 * wave, 3 * wave, 5 + 0.1 * wave, 8 + wave], 1)
    found = band_extremes(bands)
    assert found["band_gap_thz"] == pytest.approx(8 - 5.1)
    assert found["band_gap_from_thz"] == pytest.approx(5.1)
    assert found["flattest_band"] == 3
    assert found["flattest_width"] == pytest.approx(0.1 / 5.05)
    alone = band_extremes(bands[:, :3])  # one atom: no optical bands, no gap
    assert alone == {"band_gap_thz": 0.0}


def test_keys_know_all_that_decides():
    job, atoms = Job.of("elastic", None), bulk("Si")
    key = key_of(atoms, job, "a")
    heavy, moved = atoms.copy(), atoms.copy()
    heavy.set_masses([28, 30])
    moved.positions[0, 0] += 1e-9
    mixed = atoms.copy()
    mixed.info["occupancy"] = {"0": {"Si": 0.5, "Ge": 0.5}}
    others = [
        key_of(mixed, job, "a"),
        key_of(heavy, job, "a"),
        key_of(moved, job, "a"),
        key_of(atoms, job, "b"),
        key_of(atoms, Job.of("phonons", None), "a"),
        key_of(atoms, Job.of("elastic", {"symprec": 0.01}), "a"),
    ]
    assert len({key, *others}) == 7
    assert key_of(bulk("Si"), Job.of("elastic", ElasticSettings()), "a") == key


def test_a_fault_of_ours_is_a_row_and_no_end(monkeypatch):
    def broken(self, atoms, calc):
        raise ZeroDivisionError("of ours")

    monkeypatch.setattr(Job, "__call__", broken)
    found = computed(bulk("Si"), CALC, Job.of("elastic", None))
    assert found.reason.startswith("unexpected ZeroDivisionError in broken: of ours")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"study": "colours"}, "no study of many crystals"),
        ({"settings": {"meshlength": 3}}, "unknown key"),
        ({"study": "phonons", "settings": {"supercell": [2, 2]}}, "has 2 entries"),
        ({"structures": []}, "no structures"),
        ({"names": ["a", "b"]}, "2 names for 1"),
    ],
)
def test_what_cannot_be_screened_is_refused(client, tmp_path, change, text):
    ask = {"structures": [bulk("Si")], "calc": CALC, "study": "elastic", "folder": tmp_path / "new", "client": client}
    with pytest.raises(InputError, match=text):
        screen(**(ask | change))
    assert not (tmp_path / "new").exists()


def test_databases_of_others_are_left_alone(screened, client, tmp_path):
    with ase.db.connect(tmp_path / "screening.db") as database:
        database.write(bulk("Si"), colour="grey")
    with pytest.raises(OutputError, match="a database of something else, with 1 rows"):
        screen([bulk("Si")], CALC, "elastic", folder=tmp_path, client=client)
    (tmp_path / "no").mkdir()
    (tmp_path / "no/screening.db").write_bytes(b"no database" * 100)
    with pytest.raises(OutputError, match="cannot be opened as a database"):
        screen([bulk("Si")], CALC, "elastic", folder=tmp_path / "no", client=client)
    with pytest.raises(OutputError, match=r"holds another screening: study is 'elastic' there and 'phonons' here"):
        screen([bulk("Si")], CALC, "phonons", COARSE, folder=screened.folder, client=client)
    with pytest.raises(OutputError, match=r"screening: symprec is 0\.001 there and 0\.01 here\n"):
        screen([bulk("Si")], CALC, "elastic", {"symprec": 0.01}, folder=screened.folder, client=client)
    about = {"study": "elastic"}
    with store.open_store(tmp_path / "claimed", about), pytest.raises(OutputError, match="another"):
        screen([bulk("Si")], CALC, "elastic", folder=tmp_path / "claimed", client=client)


def test_workers_of_several_threads_are_refused(tmp_path):
    """Sums in another order differ in their last digits, and so would a screening that is done again."""
    from distributed import Client, LocalCluster

    how = {"n_workers": 1, "threads_per_worker": 2, "processes": False, "dashboard_address": ":0", "silence_logs": 50}
    with LocalCluster(**how) as local, Client(local) as two, pytest.raises(InputError, match="has 2 threads"):
        screen([bulk("Si")], CALC, "elastic", folder=tmp_path / "new", client=two)


def test_nobody_answers_or_dask_is_missing(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"no scheduler answers at tcp://127\.0\.0\.1:9"):
        screen([bulk("Si")], CALC, "elastic", folder=tmp_path / "new", scheduler="tcp://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r"dask\.distributed is not installed"):
        screen([bulk("Si")], CALC, "elastic", folder=tmp_path / "new", scheduler="tcp://127.0.0.1:9")
    assert not (tmp_path / "new").exists()


def _n_rows(database: Path) -> int:
    """Rows of a database that another process writes."""
    if not database.exists():
        return 0
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        return connection.execute("SELECT COUNT(*) FROM systems").fetchone()[0]
    except sqlite3.OperationalError:  # it is being written
        return 0
    finally:
        connection.close()


def test_workers_have_their_threads_and_memory_and_leave_this_process_alone(monkeypatch):
    """What libraries read as they start is there; Dask would leave it in the environment of whoever started it."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    with connected(2, None) as client:
        names = ("OMP_NUM_THREADS", "MALLOC_TRIM_THRESHOLD_", "PHONAX_MEMORY_BYTES")
        found = client.run(lambda: ([os.environ.get(name) for name in names], memory_bytes()))
    for (threads, trim, share), there in found.values():
        assert (threads, int(trim)) == ("1", 2**29)
        assert there == int(share) == memory_bytes() // 2
    assert "OMP_NUM_THREADS" not in os.environ
    assert "PHONAX_MEMORY_BYTES" not in os.environ


def test_a_scheduler_that_dies_is_said(tmp_path):
    from distributed import Client, LocalCluster

    how = {"n_workers": 1, "threads_per_worker": 1, "processes": False, "dashboard_address": ":0", "silence_logs": 50}
    local = LocalCluster(**how)
    own = Client(local)

    class Dying(Watch):
        """The scheduler closes after the first crystal."""

        def progress(self, description):
            from contextlib import nullcontext

            return nullcontext(lambda done, total: local.close(timeout=10))

    with pytest.raises(SchedulerLost, match="the scheduler is gone"):
        screen(crystals(), CALC, "elastic", folder=tmp_path, client=own, watch=Dying())
    own.close()
    assert len(table(tmp_path)) >= 1


def test_the_command_goes_on_where_kill_ended_it(screened, tmp_path):
    """Worker processes of its own; the client, and with it the scheduler, is killed after the first row."""
    write(tmp_path / "many.extxyz", crystals())
    ask = [sys.executable, "-m", "ase_phonax", "screen", "many.extxyz", "--study", "elastic", "--workers", "1"]
    first = subprocess.Popen(ask, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    database = tmp_path / "screening/screening.db"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and first.poll() is None:
        if _n_rows(database):
            break
        time.sleep(0.02)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    second = subprocess.run(ask, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert second.returncode == 0, second.stderr
    assert " before" in second.stdout

    def numbers(folder):
        return [{k: v for k, v in row.items() if k not in ("name", "screening_key")} for row in table(folder)]

    assert numbers(tmp_path / "screening") == numbers(screened.folder)


def test_the_command_says_what_it_left_out(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write("Si.extxyz", bulk("Si"))
    Path("broken.cif").write_text("data_\n")
    assert main(["screen", "Si.extxyz", "broken.cif", "--study", "elastic", "--set", "nonsense=1"]) == 2
    assert "unknown key 'nonsense'" in capsys.readouterr().err
    assert main(["screen", "absent.extxyz"]) == 2
    Path("empty").mkdir()
    assert main(["screen", "empty"]) == 2
    assert "holds no file" in capsys.readouterr().err
    assert _files(["Si.extxyz", "."]) == ["Si.extxyz", "Si.extxyz", "broken.cif"]
    assert not Path("screening").exists()
