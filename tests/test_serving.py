"""The local application: what it computes, what it shows in a real browser, and whom it refuses."""

import http.client
import io
import json
import re
import signal
import subprocess
import sys
import time
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from ase.build import bulk

from ase_phonax import PhonaxCalculator
from ase_phonax.base.errors import InputError, StructureError
from ase_phonax.cli import main
from ase_phonax.cli.serve import _offers
from ase_phonax.studies.screening.store import open_store
from ase_phonax.studies.screening.tasks import Job, computed, key_of
from ase_phonax.web.serving.runs import DONE, FAILED, RUNNING, STOPPED, WAITING, Runs
from ase_phonax.web.serving.screened import Screened
from ase_phonax.web.serving.uploads import kept_name

from .browsers import needs_browser, started

SILICON = """\
data_Si
_cell_length_a 5.43
_cell_length_b 5.43
_cell_length_c 5.43
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'F d -3 m'
_symmetry_Int_Tables_number 227
loop_
_atom_site_label
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Si1 0 0 0
"""
LONGEST = 90  # seconds of a run, far above what silicon takes on a busy machine


@pytest.fixture(scope="module")
def screening(tmp_path_factory):
    """Silicon, magnesium oxide under a name that would be markup, and one that could not be computed."""
    folder = tmp_path_factory.mktemp("screened")
    job = Job.of("phonons", {"supercell": [2, 2, 2], "mesh_length": 15.0})
    crystals = {
        "Si": bulk("Si"),
        "<img src=x onerror=alert(1)>": bulk("MgO", "rocksalt", a=4.25),
        "Xe": bulk("Xe", "fcc", a=6.2),
    }
    with open_store(folder, {"study": "phonons"}) as store:
        for place, (name, atoms) in enumerate(crystals.items()):
            store.add(key_of(atoms, job, "model"), place, name, computed(atoms, PhonaxCalculator(), job))
    return folder


class Served:
    """The application in a process of its own, and requests to it."""

    def __init__(self, folder: Path, *options: str):
        command = [sys.executable, "-m", "ase_phonax", "serve", "--port", "0", "--folder", str(folder / "runs")]
        self.process = subprocess.Popen(
            [*command, "--longest", str(LONGEST), *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.url = self.process.stdout.readline().strip()
        assert self.url, self.process.stderr.read()
        self.port, self.secret = re.search(r":(\d+)/([\w-]+)/$", self.url).groups()

    def ask(self, method, path, body=None, *, secret=None, **headers):
        """Status, headers and body of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", int(self.port), timeout=30)
        kind = {"Content-Type": "application/json"} if body is not None else {}
        begin = f"/{self.secret}" if secret is None else secret
        try:
            connection.request(method, begin + path, body, {**kind, **headers})
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def run(self, **asked):
        """Status and content of what comes of asking for a run."""
        asked = {"command": "phonons", "name": "Si.cif", "text": SILICON, "model": "", "options": {}} | asked
        status, _, body = self.ask("POST", "/api/runs", json.dumps(asked))
        return status, json.loads(body)

    def over(self, key):
        """A run, once it is over."""
        for _ in range(10 * LONGEST):
            runs = json.loads(self.ask("GET", "/api/runs")[2])
            found = next(own for own in runs if own["key"] == key)
            if found["state"] not in ("waiting", "running"):
                return found
            time.sleep(0.1)
        raise AssertionError("it goes on and on")


@pytest.fixture(scope="module")
def served(screening, tmp_path_factory):
    found = Served(tmp_path_factory.mktemp("serve"), "--screening", str(screening))
    yield found
    found.process.send_signal(signal.SIGINT)
    assert found.process.communicate(timeout=30)[1] == ""
    assert found.process.returncode == 0


# ---- who may ask ----


def test_only_those_who_know_the_address_are_let_in(served):
    for secret in ("", "/wrong", f"/{served.secret[:-1]}", f"/{served.secret}x", "/" + "x" * 5000, "//", "/%ff%00"):
        for path in ("/", "/api/runs", "/static/serve.js", "/api/screening"):
            status, headers, body = served.ask("GET", path, secret=secret)
            assert (status, b"printed" in body) == (403, True)
    status, headers, _ = served.ask("GET", "/api/runs")
    assert status == 200
    assert "set-cookie" not in headers  # cookies go to every port of this machine


def test_other_hosts_and_origins_are_refused_even_with_the_address(served):
    """A name of somebody else that leads here, and a page of somebody else that asks."""
    for host in ("evil.example", f"evil.example:{served.port}", f"127.0.0.1.evil.example:{served.port}", ""):
        assert served.ask("GET", "/api/runs", Host=host)[0] == 403
    for origin in ("http://evil.example", "null", f"https://127.0.0.1:{served.port}", f"127.0.0.1:{served.port}"):
        assert served.ask("GET", "/api/runs", Origin=origin)[0] == 403
    assert served.ask("GET", "/api/runs", Origin=f"http://localhost:{served.port}")[0] == 200


def test_browsers_are_told_of_a_file_and_not_of_the_address(tmp_path, capsys, monkeypatch):
    """Their command lines are seen by all users of a machine."""
    import webbrowser

    from ase_phonax.cli.serve import _told

    opened = []
    monkeypatch.setattr(webbrowser, "open", lambda url: opened.append(url) or True)
    _told("http://127.0.0.1:1/secret/", True, tmp_path)
    assert "secret" in capsys.readouterr().out
    assert "secret" not in opened[0]
    entrance = Path(opened[0].removeprefix("file://"))
    assert "http://127.0.0.1:1/secret/" in entrance.read_text()
    assert entrance.stat().st_mode & 0o077 == 0


def test_it_answers_on_this_machine_alone(served):
    """On the loopback, and with what keeps browsers from handing pages on."""
    text = Path("/proc/net/tcp").read_text() if Path("/proc/net/tcp").exists() else ""
    if text:
        assert f"0100007F:{int(served.port):04X}" in text
        assert f"00000000:{int(served.port):04X}" not in text
    _, headers, _ = served.ask("GET", "/")
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


# ---- what is sent ----


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"text": ""}, "empty"),
        ({"text": "a\0b"}, "not a text"),
        ({"name": "x.py", "text": "import os"}, "no format that is taken"),
        ({"name": "x.pkl", "text": "cos\nsystem\n"}, "no format that is taken"),
        ({"name": "/etc/passwd", "text": "root"}, "no format that is taken"),
        ({"name": "", "text": "hello"}, "neither CIF nor POSCAR nor xyz"),
        ({"command": "train"}, "no command"),
        ({"model": "/etc/passwd"}, "no model of the list"),
        ({"options": {"born": "/etc/passwd"}}, "unknown key"),
        ({"options": {"output": "/tmp"}}, "unknown key"),
        ({"options": {"path": "--output=/tmp/x"}}, "like an option"),
        ({"options": {"supercell": "a"}}, "supercell: 'a' is not an integer"),
        ({"options": {"supercell": "2 2 2", "min_length": "10"}}, "given together"),
        ({"options": {"exact": "yes"}}, "ticked or not"),
        ({"options": {"supercell": "2 2"}}, "has 2 entries"),
        ({"options": {"path": "G" * 2000}}, "2000 letters"),
        ({"options": {"path": "\ud800"}}, "not JSON"),
        ({"text": SILICON + "\ud800"}, "not JSON"),
        ({"name": "x.cif", "text": "$coord\n0 0 0 si\n$end\n"}, "begins like a file of another format, turbomole"),
        ({"name": "x.gen", "text": "lock species \ninclude_file : /etc/passwd\n"}, "another format"),
        ({"name": "", "text": "x" + 60_000 * "\n" + "y"}, "neither CIF nor POSCAR nor xyz"),
        ({"options": []}, "command, name, text"),
        ({"text": 5}, "are texts"),
    ],
)
def test_what_cannot_be_run_is_refused_in_words(served, asked, says):
    begin = time.monotonic()
    status, content = served.run(**asked)
    assert status == 400
    assert says in content["error"]
    assert time.monotonic() - begin < 10  # nothing that is sent keeps it busy
    assert served.ask("GET", "/api/runs")[0] == 200


def test_other_requests_are_refused_in_words(served):
    assert served.ask("POST", "/api/runs", "{", **{"Content-Type": "text/plain"})[0] == 415
    assert b"not JSON" in served.ask("POST", "/api/runs", "{")[2]
    assert b"not JSON" in served.ask("POST", "/api/runs", "[" * 100_000)[2]
    assert b"not JSON" in served.ask("POST", "/api/runs", b"\xff\xfe")[2]
    assert served.ask("DELETE", "/api/runs/none")[0] == 404
    for path in ("/runs/x/../../etc/passwd", "/runs/..%2f..%2fetc/passwd", "/static/..%2fpage.py", "/static/page.py"):
        assert served.ask("GET", path)[0] == 404


def test_a_gigabyte_is_not_taken(served):
    """Neither one that is announced, nor one that just comes."""
    status, _, body = served.ask("POST", "/api/runs", b"", **{"Content-Length": str(10**9)})
    assert (status, b"more than 20 MB" in body) == (413, True)
    sent = 0

    def endless():
        nonlocal sent
        for _ in range(1000):
            sent += 1_000_000
            yield b"x" * 1_000_000

    with suppress(ConnectionError):  # its answer may be lost with the connection
        assert served.ask("POST", "/api/runs", endless())[0] == 413
    assert sent < 300_000_000
    assert served.ask("GET", "/api/runs")[0] == 200


def test_names_say_the_format_and_nothing_else():
    assert kept_name("../../<b>My crystal<b>.CIF", SILICON) == "b_My_crystal_b.cif"
    assert kept_name("C:\\Users\\me\\quartz.cif", SILICON) == "quartz.cif"
    assert kept_name("-rf.vasp", "x") == "rf.vasp"
    assert kept_name("...xyz", "x") == "structure.xyz"
    assert kept_name("POSCAR_of_MgO", "x") == "POSCAR_of_MgO.vasp"
    assert kept_name("", SILICON) == "pasted.cif"
    assert kept_name("", "2\n\nO 0 0 0\nH 0 0 1\n") == "pasted.extxyz"
    assert kept_name("", "Si\n1.0\n1 0 0\n0 1 0\n0 0 1\nSi\n1\nDirect\n0 0 0\n") == "pasted.vasp"
    assert len(kept_name("a" * 500 + ".cif", SILICON)) < 80
    with pytest.raises(StructureError, match="empty"):
        kept_name("a.cif", " \n")


# ---- options ----


def test_every_option_of_a_command_is_a_field_but_those_that_name_files():
    from dataclasses import fields

    from ase_phonax import PhononSettings

    form = _offers()[0].form()
    names = {field["name"] for field in form["fields"]}
    assert {field.name for field in fields(PhononSettings)} - names == {"born"}
    # Kills: a page on which a Python name can be typed that is then called.
    assert not names & {"calculator", "calculator_arguments", "model", "config"}
    with pytest.raises(InputError, match="calculator"):
        _offers()[0].configuration({"calculator": "os:system"})
    tolerance = next(field for field in form["fields"] if field["name"] == "tolerance")
    assert "(default: 0.05)" in tolerance["help"]
    assert tolerance["hint"] == "THz"
    assert all("%(" not in field["help"] and "{" not in field["help"] for field in form["fields"])


def test_what_is_typed_is_what_the_command_line_would_be_told():
    phonons = _offers()[0]
    typed = {"supercell": " 2 2 2 ", "no_relax": True, "exact": False, "unit": "cm-1", "path": "", "mass": "Si=28"}
    assert phonons.configuration(typed) == {
        "supercell": ["2", "2", "2"],
        "no_relax": True,
        "unit": "cm-1",
        "mass": ["Si=28"],
    }
    repeated = phonons.configuration({"irreps_q": "0 0 0; 1/2 0 1/2"})
    assert repeated == {"irreps_q": [["0", "0", "0"], ["1/2", "0", "1/2"]]}
    volumes = next(offer for offer in _offers() if offer.name == "qha")
    assert volumes.configuration({"range": "-4 8"}) == {"range": ["-4", "8"]}
    with pytest.raises(InputError, match=r"tolerance: '-1' is not a positive number"):
        phonons.configuration({"tolerance": "-1"})


# ---- runs ----


def program(text: str):
    """A stand-in for the command line."""
    return (sys.executable, "-c", text)


def settled(runs: Runs, key: str, *states: str):
    for _ in range(600):
        if runs.get(key).state in states:
            return runs.get(key)
        time.sleep(0.05)
    raise AssertionError(runs.get(key))


def test_a_run_that_takes_too_long_is_stopped_and_the_next_one_begins(tmp_path):
    first = "import sys, time; time.sleep(60 if 'slow.cif' in sys.argv else 0)"
    runs = Runs(tmp_path, longest=1.5, most_waiting=5, program=program(first))
    slow = runs.add("phonons", "slow.cif", SILICON, "m", {}).key
    quick = runs.add("phonons", "quick.cif", SILICON, "m", {}).key
    assert "longer than 1.5 s" in settled(runs, slow, STOPPED).words
    assert settled(runs, quick, DONE).words == ""
    runs.close()


def test_a_run_can_be_stopped_while_it_waits_and_while_it_computes(tmp_path):
    runs = Runs(tmp_path, longest=60, most_waiting=1, program=program("import time; time.sleep(60)"))
    first = runs.add("phonons", "a.cif", SILICON, "m", {}).key
    settled(runs, first, RUNNING)
    second = runs.add("phonons", "b.cif", SILICON, "m", {}).key
    with pytest.raises(InputError, match="1 runs are waiting"):
        runs.add("phonons", "c.cif", SILICON, "m", {})
    assert runs.get(second).state == WAITING
    runs.stop(second)
    runs.stop(first)
    assert {runs.get(key).state for key in (first, second)} == {STOPPED}
    third = runs.add("phonons", "d.cif", SILICON, "m", {}).key
    settled(runs, third, RUNNING)
    begin = time.monotonic()
    runs.close()
    assert time.monotonic() - begin < 10
    assert runs.get(third).words == "the application was ended"
    again = Runs(tmp_path, longest=60, most_waiting=1)  # shows those of before
    assert [own["structure"] for own in again.all()] == ["d.cif", "b.cif", "a.cif"]
    again.stop(first)
    assert again.get(first) is None
    assert not (tmp_path / first).exists()
    again.close()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import sys; sys.exit('error: no such thing\\n  what to do: x')", "no such thing\n  what to do: x"),
        ("import os; os.kill(os.getpid(), 9)", "SIGKILL; the memory"),
        ("1 / 0", "ZeroDivisionError"),
        ("import sys; sys.exit(7)", "code 7"),
    ],
)
def test_a_run_that_fails_says_why(tmp_path, text, says):
    runs = Runs(tmp_path, longest=60, most_waiting=5, program=program(text))
    run = settled(runs, runs.add("phonons", "a.cif", SILICON, "m", {}).key, FAILED)
    assert says in run.words
    runs.close()


def test_a_run_ends_with_its_application_however_that_ends(tmp_path):
    """Killed, it can stop nobody any more."""
    script = f"""
import sys
from pathlib import Path
from ase_phonax.web.serving.runs import PROGRAM, Runs
runs = Runs(Path({str(tmp_path)!r}), longest=600, most_waiting=5)
key = runs.add("phonons", "a.cif", {SILICON!r}, "phonax-small", {{"exact": True, "mesh": ["200", "200", "200"]}}).key
while runs._process is None:
    pass
print(runs._process.pid, flush=True)
sys.stdin.read()
"""
    first = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    child = int(first.stdout.readline())
    time.sleep(2)
    first.kill()
    first.communicate()
    for _ in range(200):
        if not Path(f"/proc/{child}").exists():
            break
        time.sleep(0.1)
    assert not Path(f"/proc/{child}").exists()
    again = Runs(tmp_path, longest=60, most_waiting=5)
    assert again.all()[0]["state"] == STOPPED
    again.close()


def test_records_of_somebody_else_are_left_alone(tmp_path):
    away = {"key": "e", "command": "phonons", "structure": "a", "model": "m", "options": {}, "begun": "", "state": DONE}
    away["files"] = ["../../secret"]
    texts = {"a": "{}", "b": "[", "c": '{"key": "d"}', "d": "null", "e": json.dumps(away)}
    for name, text in texts.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text(text)
    runs = Runs(tmp_path, longest=60, most_waiting=5)
    assert runs.all() == []
    runs.close()
    assert len(list(tmp_path.glob("*/run.json"))) == 5


def test_its_results_are_those_of_the_command(served, tmp_path, monkeypatch):
    status, content = served.run(options={"supercell": "2 2 2", "mesh": "4 4 4"})
    assert status == 201
    run = served.over(content["key"])
    assert (run["state"], run["words"]) == ("done", "")
    _, headers, body = served.ask("GET", f"/runs/{run['key']}.zip")
    assert headers["content-disposition"] == 'attachment; filename="Si-phonons.zip"'
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        names, bands = archive.namelist(), archive.read("band.yaml")
    assert set(run["files"]) == set(names) > {"summary.json", "report.html", "bands.png"}
    monkeypatch.chdir(tmp_path)
    Path("Si.cif").write_text(SILICON)
    assert main(["phonons", "Si.cif", "--supercell", "2", "2", "2", "--mesh", "4", "4", "4", "--quiet"]) == 0
    assert Path("Si-phonons/band.yaml").read_bytes() == bands
    status, headers, _ = served.ask("GET", f"/runs/{run['key']}/report.html")
    assert (status, "sandbox" in headers["content-security-policy"]) == (200, True)
    assert "attachment" in served.ask("GET", f"/runs/{run['key']}/summary.json")[1]["content-disposition"]
    for name in ("run.json", "..%2frun.json", "Si.cif", "nothing"):
        assert served.ask("GET", f"/runs/{run['key']}/{name}")[0] == 404


# ---- in the browser ----


@pytest.fixture(scope="module")
def browser(served):
    with started("window-size=1200,1400") as found:
        found.get(served.url)
        yield found


def wait_for(browser, text: str, seconds: float = LONGEST):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := browser.execute_script(f"return {text}"):
            return value
        time.sleep(0.05)
    raise AssertionError(text)


@needs_browser
def test_upload_compute_look_move_and_save(browser, served, tmp_path):
    """What a person does, by what a person sees."""
    wait_for(browser, "document.getElementById('model').value")
    assert browser.current_url == served.url
    (tmp_path / "Si.cif").write_text(SILICON)
    browser.find_element("id", "file").send_keys(str(tmp_path / "Si.cif"))
    browser.find_element("css selector", "#options summary").click()
    browser.find_element("id", "field-supercell").send_keys("2 2 2")
    browser.find_element("id", "start").click()
    wait_for(browser, "!document.getElementById('result').hidden")
    assert "done" in browser.find_element("id", "runs").text
    browser.switch_to.frame("report")
    try:
        wait_for(browser, "document.querySelectorAll('#plot .scatterlayer .trace').length >= 7")
        assert browser.execute_script("return document.querySelectorAll('#viewer canvas').length") >= 1
        play = browser.find_element("id", "play")
        browser.execute_script("arguments[0].scrollIntoView()", play)
        play.click()
        assert browser.find_element("id", "moving").text.startswith("Mode 1 at q")
        links = browser.execute_script("return [...document.querySelectorAll('#files a')].map((a) => a.download)")
        assert "bands.csv" in links
        with pytest.raises(Exception, match=r"SecurityError|Blocked|cross-origin|sandbox"):
            browser.execute_script("return window.parent.document.title")
    finally:
        browser.switch_to.default_content()
    files = [own.get_attribute("href") for own in browser.find_elements("css selector", "#files a")]
    assert any(name.endswith("/bands.png") for name in files)
    assert [entry["message"] for entry in browser.get_log("browser")] == []


@needs_browser
def test_a_bad_file_says_what_is_wrong_with_it(browser):
    text = browser.find_element("id", "text")
    browser.execute_script("document.getElementById('file').value = ''")
    text.clear()
    text.send_keys(SILICON.replace("5.43", "0.1"))
    browser.find_element("id", "start").click()
    words = wait_for(browser, "document.querySelector('#runs .failed')?.textContent", 60)
    assert "Å" in words
    assert "what to do" in words
    text.clear()
    browser.find_element("id", "start").click()
    assert "no structure is given" in wait_for(browser, "document.getElementById('refused').textContent", 10)


@needs_browser
@needs_browser
def test_a_click_reaches_its_button_while_a_run_goes_on(browser):
    """What is listed stays where it is, whatever a run has to tell meanwhile."""
    browser.execute_script(
        "items.get(runs[0].key).dataset.mine = 'yes'; runs[0].state = 'running'; runs[0].seconds = 1e3; listRuns()"
    )
    assert browser.execute_script("return items.get(runs[0].key).dataset.mine") == "yes"
    assert "1000.0 s" in browser.find_element("id", "runs").text


@needs_browser
def test_the_table_of_a_screening_is_sorted_and_selected(browser):
    from selenium.webdriver.common.keys import Keys

    def column(name):
        return browser.execute_script(
            "const k = columns.indexOf(arguments[0]);"
            "return [...document.querySelectorAll('#rows tr')].slice(1).map((r) => r.children[k].textContent)",
            name,
        )

    wait_for(browser, "!document.getElementById('screening').hidden", 10)
    assert column("formula") == ["Si2", "MgO", "Xe"]
    browser.find_element("id", "sort-max_frequency_thz").send_keys(Keys.ENTER)
    values = column("max_frequency_thz")
    assert values[-1] == ""  # what is missing comes last, in either order
    assert list(map(float, values[:-1])) == sorted(map(float, values[:-1]))
    browser.find_element("id", "sort-max_frequency_thz").click()
    assert float(column("max_frequency_thz")[0]) == max(map(float, values[:-1]))
    filtered = browser.find_element("id", "filter")
    for words, found in {"failed=1": ["Xe"], "onerror": ["MgO"], "n_atoms>1, max_frequency_thz<16": ["Si2"]}.items():
        filtered.clear()
        filtered.send_keys(words)
        assert column("formula") == found
    filtered.clear()
    filtered.send_keys("no_such=1")
    assert "no column no_such" in browser.find_element("id", "count").text
    filtered.clear()
    filtered.send_keys("MgO")
    browser.find_element("css selector", "#rows td button").click()
    browser.switch_to.frame("report")
    try:
        wait_for(browser, "document.querySelectorAll('#plot .scatterlayer .trace').length >= 7", 20)
        assert "onerror" in browser.find_element("id", "title").text  # a text, and no picture
        assert browser.execute_script("return document.querySelectorAll('#title img').length") == 0
        ticks = browser.execute_script("return document.getElementById('plot').layout.xaxis.ticktext")
        assert ticks[0] == "Γ"
        assert not browser.find_element("id", "motion").is_displayed()  # no modes are known
        assert len(ticks) == len(browser.execute_script("return data.bands.ticks"))
    finally:
        browser.switch_to.default_content()


@needs_browser
def test_it_is_readable_on_a_narrow_screen_and_its_parts_have_names(browser):
    screen = {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    try:
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 400
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    unnamed = browser.execute_script(
        "return [...document.querySelectorAll('input, select, textarea')]"
        ".filter((own) => !own.labels.length && !own.ariaLabel).map((own) => own.id)"
    )
    assert unnamed == []


# ---- the command ----


def test_a_port_that_is_taken_and_a_folder_without_a_screening_are_refused(served, tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["serve", "--port", str(served.port)]) == 2
    assert f"port {served.port}" in (words := capfd.readouterr().err)
    assert "--port" in words
    assert main(["serve", "--screening", str(tmp_path)]) == 2
    assert "holds no screening" in capfd.readouterr().err
    assert main(["serve", "--port", "70000"]) == 2
    assert main(["serve", "--model", "nothing.h5"]) == 3


def test_a_table_is_read_again_when_its_database_has_changed(tmp_path):
    job = Job.of("elastic", {})
    atoms = bulk("MgO", "rocksalt", a=4.25)
    outcome = computed(atoms, PhonaxCalculator(), job)
    with open_store(tmp_path, {"study": "elastic"}) as store:
        store.add("1", 0, "one", outcome)
        table = Screened(tmp_path)
        assert len(table.table()["rows"]) == 1
        before = table.table()["version"]
        store.add("2", 1, "two", outcome)
        assert len(table.table()["rows"]) == 2
    assert table.table()["version"] != before
    page = table.page("k1")
    assert "one" in page
    assert table.page("k3") is None
    (tmp_path / "screening.db").unlink()
    with pytest.raises(InputError, match="is gone"):
        table.table()
