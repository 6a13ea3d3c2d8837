"""Events of runs: logged under one name for everybody who listens, and in files of one run each."""

import json
import logging
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from ase.build import bulk

from ase_phonax import PhononSettings, phonon_study
from ase_phonax.base.errors import InputError
from ase_phonax.cli.log import LogFile, logging_to
from ase_phonax.studies.watch import Watch

from .pair_potential import PairCalculator

SETTINGS = PhononSettings(supercell=2, mesh=(2, 2, 2), no_relax=True)


class Heard(logging.Handler):
    """Remembers records."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def heard():
    """A handler that a user attaches to the package's logger."""
    handler, logger = Heard(), logging.getLogger("ase_phonax")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler
    logger.setLevel(logging.NOTSET)
    logger.removeHandler(handler)


def salt():
    return bulk("NaCl", "rocksalt", a=5.6)


def test_a_handler_of_a_python_user_hears_the_events_of_a_study(heard):
    study = phonon_study(salt(), PairCalculator(like=0.0), SETTINGS)
    sections = [record.values["section"] for record in heard.records if record.event == "begin"]
    assert [name for name in study.timings_s if name != "total"] == list(dict.fromkeys(sections))
    assert {record.name for record in heard.records} == {"ase_phonax.studies"}
    assert {record.levelno for record in heard.records} == {logging.INFO}
    ends = {record.values["section"]: record.values["section_s"] for record in heard.records if record.event == "end"}
    assert ends == {name: seconds for name, seconds in study.timings_s.items() if name in ends}
    assert heard.records[0].getMessage() == f"begin {sections[0]}"
    assert 0 <= heard.records[0].elapsed_s <= heard.records[-1].elapsed_s


def test_studies_in_threads_are_all_heard_and_each_log_is_of_its_own_run(heard, tmp_path):
    """Kills: a handler on the logger itself, which writes the events of every study of the process."""
    calc, begun = PairCalculator(like=0.0), threading.Barrier(2)

    def run(name: str) -> None:
        watch = Watch()
        with logging_to(tmp_path / f"{name}.jsonl", watch):
            watch.note("name", {"name": name})
            begun.wait(60)
            phonon_study(salt(), calc, SETTINGS, watch)

    threads = [threading.Thread(target=run, args=(name,), name=name) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in ("one", "two"):
        lines = [json.loads(line) for line in (tmp_path / f"{name}.jsonl").read_text().splitlines()]
        own = [record for record in heard.records if record.threadName == name]
        assert lines == [{"event": r.event, "elapsed_s": r.elapsed_s, **r.values} for r in own]
        assert [line["name"] for line in lines if line["event"] == "name"] == [name]
        assert lines[-1]["event"] == "finished"


def test_a_log_that_nobody_else_wants_needs_no_level_and_is_taken_off_afterwards(tmp_path):
    logger = logging.getLogger("ase_phonax")
    before = list(logger.handlers), logger.level
    watch = Watch()

    def run() -> None:
        with logging_to(tmp_path / "run.jsonl", watch):
            assert [type(handler) for handler in watch.handlers] == [LogFile]
            watch.note("begin", {"section": "Γ"})
            raise InputError("what", "why", "remedy")

    with pytest.raises(InputError):
        run()
    assert watch.handlers == []
    watch.note("begin", {"section": "after the end"})
    begin, failed = (tmp_path / "run.jsonl").read_text(encoding="utf-8").splitlines()
    assert list(json.loads(begin)) == ["event", "elapsed_s", "section"]
    assert '"section": "Γ"' in begin
    assert json.loads(failed).items() >= {"event": "failed", "error": "InputError"}.items()
    assert (list(logger.handlers), logger.level) == before


def test_the_library_is_silent_and_leaves_logging_as_it_is():
    """A user who has configured logging for warnings is not told of every section."""
    code = """
import logging, sys
from ase_phonax.studies.watch import Watch
Watch().note("begin", {"section": "a"})
assert not logging.getLogger().handlers
assert [type(h) for h in logging.getLogger("ase_phonax").handlers] == [logging.NullHandler]
logging.basicConfig(stream=sys.stdout)
Watch().note("begin", {"section": "b"})
logging.getLogger().setLevel(logging.INFO)
Watch().note("begin", {"section": "c"})
"""
    environment = {"PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=60)
    assert (done.stdout, done.stderr) == ("INFO:ase_phonax.studies:begin c\n", "")
