"""Screenings into a real PostgreSQL server: the same rows as in a file, and no loss when it goes away."""

import csv
import os
import shutil
import socket
import subprocess
import tempfile
from contextlib import nullcontext
from pathlib import Path

import ase.db
import pytest
from ase.build import bulk

from ase_phonax import PhonaxCalculator, screen
from ase_phonax.base.errors import InputError, OutputError
from ase_phonax.studies.watch import Watch

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PROGRAMS, reason="no PostgreSQL server here (Debian: apt-get install postgresql)"),
]
CALC = PhonaxCalculator()
PASSWORD = "well-kept"
CRYSTALS = [bulk("Si"), bulk("MgO", "rocksalt", a=4.25), bulk("Xe", "fcc", a=6.2), bulk("SiC", "zincblende", a=4.38)]


class Server:
    """A server of its own in a new folder; PostgreSQL refuses to run as root."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="phonax-pg-", dir="/tmp"))
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        (self.folder / "password").write_text(PASSWORD)
        if os.geteuid() == 0:
            for path in (self.folder, self.folder / "password"):
                shutil.chown(path, "postgres")
        words = ["--username", "phonax", "--auth", "scram-sha-256", "--pwfile", str(self.folder / "password")]
        self._run("initdb", "-D", str(self.folder / "data"), *words)
        self.start()

    def start(self):
        options = f"-p {self.port} -k {self.folder} -h 127.0.0.1"
        self._run(
            "pg_ctl", "-D", str(self.folder / "data"), "-o", options, "-l", str(self.folder / "log"), "-w", "start"
        )

    def stop(self, how):
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-m", how, "stop")

    def url(self, name, password=PASSWORD):
        return f"postgresql://phonax:{password}@127.0.0.1:{self.port}/{name}"

    def made(self, name):
        """The address of a new database."""
        import psycopg2

        connection = psycopg2.connect(self.url("postgres"))
        connection.autocommit = True
        connection.cursor().execute(f"CREATE DATABASE {name}")
        connection.close()
        return self.url(name)

    def _run(self, program, *words):
        before = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        subprocess.run(
            [*before, str(PROGRAMS[-1] / program), *words], check=True, stdout=subprocess.DEVNULL, cwd=self.folder
        )


@pytest.fixture(scope="module")
def server():
    found = Server()
    yield found
    found.stop("immediate")
    shutil.rmtree(found.folder)


@pytest.fixture(scope="module")
def client():
    from distributed import Client, LocalCluster

    how = {"n_workers": 1, "threads_per_worker": 1, "processes": False, "dashboard_address": ":0", "silence_logs": 50}
    with LocalCluster(**how) as local, Client(local) as found:
        yield found


@pytest.fixture(scope="module")
def in_file(client, tmp_path_factory):
    return screen(CRYSTALS, CALC, "elastic", folder=tmp_path_factory.mktemp("file"), client=client)


def table(folder):
    with open(Path(folder) / "table.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_rows_of_a_server_are_those_of_a_file(server, client, in_file, tmp_path):
    url = server.made("rows")
    found = screen(CRYSTALS, CALC, "elastic", folder=tmp_path, client=client, database=url)
    assert (found.n_computed, found.n_failed) == (4, 1)
    assert PASSWORD not in found.database
    assert table(tmp_path) == table(in_file.folder)
    database = ase.db.connect(url)
    assert database.count("bulk_modulus_vrh_GPa>120,failed=0") == 2
    with ase.db.connect(in_file.database) as other:
        one, two = database.get(formula="MgO"), other.get(formula="MgO")
    assert (one.positions == two.positions).all()
    assert one.data["summary"] == two.data["summary"]
    again = screen([*CRYSTALS, bulk("Cu")], CALC, "elastic", folder=tmp_path / "new", client=client, database=url)
    assert (again.n_before, again.n_computed) == (4, 1)


def test_a_server_that_goes_away_costs_no_row_that_was_written(server, client, in_file, tmp_path):
    url = server.made("lost")

    class Lost(Watch):
        """The server dies after the second crystal."""

        def progress(self, description):
            return nullcontext(lambda done, total: server.stop("immediate") if done == 2 else None)

    with pytest.raises(OutputError, match="could not be written"):
        screen(CRYSTALS, CALC, "elastic", folder=tmp_path, client=client, database=url, watch=Lost())
    server.start()
    found = screen(CRYSTALS, CALC, "elastic", folder=tmp_path, client=client, database=url)
    assert (found.n_before, found.n_computed) == (2, 2)
    assert table(tmp_path) == table(in_file.folder)


def test_two_at_once_others_databases_and_wrong_addresses_are_refused(server, client, tmp_path):
    url = server.made("claimed")

    class Second(Watch):
        """Another screening begins while this one computes."""

        def progress(self, description):
            with pytest.raises(OutputError, match="another screening writes into") as refused:
                screen(CRYSTALS, CALC, "elastic", folder=tmp_path / "b", client=client, database=url)
            assert PASSWORD not in str(refused.value)
            return nullcontext(lambda done, total: None)

    screen(CRYSTALS[:1], CALC, "elastic", folder=tmp_path / "a", client=client, database=url, watch=Second())
    with pytest.raises(OutputError, match="holds another screening: study is 'elastic' there"):
        screen(CRYSTALS, CALC, "phonons", folder=tmp_path / "c", client=client, database=url)
    foreign = server.made("theirs")
    ase.db.connect(foreign).write(bulk("Si"), colour="grey")
    with pytest.raises(OutputError, match="a database of something else, with 1 rows"):
        screen(CRYSTALS, CALC, "elastic", folder=tmp_path / "d", client=client, database=foreign)
    for wrong in (server.url("absent"), server.url("rows", "wrong"), "postgresql://nobody@127.0.0.1:9/x"):
        with pytest.raises(InputError, match="cannot be opened") as refused:
            screen(CRYSTALS, CALC, "elastic", folder=tmp_path / "e", client=client, database=wrong)
        assert "wrong" not in str(refused.value).split("\n")[0].split(":", 1)[0]
