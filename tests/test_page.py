"""The page of a result, in a real browser without a network: what it shows, and that it moves."""

import base64
import json
import re
import time
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.io import write

from ase_phonax import PhonaxCalculator, PhononSettings, elastic_study, phonon_study
from ase_phonax.cli import main
from ase_phonax.web import data, page, write_page

from .browsers import needs_browser, started

CALC = PhonaxCalculator()


@pytest.fixture(scope="module")
def study():
    settings = PhononSettings(supercell=(2, 2, 2), mesh_length=15.0)
    return phonon_study(bulk("MgO", "rocksalt", a=4.25), CALC, settings)


@pytest.fixture(scope="module")
def opened(study, tmp_path_factory):
    """A browser with the page, 1200 pixels wide, and nobody to ask on the network."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_page(study, path, CALC)
    with started("window-size=1200,1000", "host-resolver-rules=MAP * ~NOTFOUND") as browser:
        browser.get(path.as_uri())
        yield browser


def script(browser, text: str):
    return browser.execute_script(f"return {text}")


@needs_browser
def test_it_opens_without_a_network_and_without_an_error(opened, study):
    assert [entry["message"] for entry in opened.get_log("browser")] == []
    assert script(opened, "document.title").split() == study.report().title.split()
    assert "heat capacity" in script(opened, "document.getElementById('table').innerText")
    n_lines = script(opened, "document.querySelectorAll('#plot .scatterlayer .trace').length")
    assert n_lines >= 6 + 1
    assert script(opened, "document.querySelectorAll('#viewer canvas').length") >= 1


@needs_browser
def test_hovering_shows_one_frequency_in_bands_and_density(opened):
    from selenium.webdriver.common.action_chains import ActionChains

    plot = opened.find_element("id", "plot")
    before = script(opened, "document.getElementById('plot').layout.shapes.length")
    for height in range(-120, 120, 6):  # until a band lies under the pointer
        ActionChains(opened).move_to_element_with_offset(plot, -60, height).perform()
        if script(opened, "document.getElementById('plot').layout.shapes.length") > before:
            break
    assert script(opened, "document.getElementById('plot').layout.shapes.length") == before + 1
    line = script(opened, "document.getElementById('plot').layout.shapes.at(-1)")
    assert (line["x0"], line["x1"], line["xref"], line["line"]["dash"]) == (0, 1, "paper", "dot")


@needs_browser
def test_a_click_on_a_band_makes_its_mode_move(opened, study):
    """What is drawn at two moments differs, and the words say which mode it is."""
    script(
        opened,
        "document.getElementById('plot').emit('plotly_click', {points: [{curveNumber: 4, customdata: 0, y: 0}]})",
    )
    words = opened.find_element("id", "moving").text
    frequency = study.sampling.bands.frequencies[0][0][4]
    assert words.startswith(f"Mode 5 at q = (0, 0, 0): {frequency:.3f} THz")
    assert opened.find_element("id", "play").get_attribute("aria-pressed") == "true"
    places = script(opened, "viewer.getModel().selectedAtoms({}).map((a) => a.x)")
    moved = False
    for _ in range(40):
        time.sleep(0.05)
        moved = moved or script(opened, "viewer.getModel().selectedAtoms({}).map((a) => a.x)") != places
    assert moved
    opened.find_element("id", "play").click()
    assert opened.find_element("id", "play").get_attribute("aria-pressed") == "false"


@needs_browser
def test_keys_alone_choose_and_move_a_mode(opened):
    from selenium.webdriver.common.keys import Keys

    modes = opened.find_element("id", "mode")
    modes.send_keys(Keys.END)
    assert opened.find_element("id", "moving").text.startswith("Mode 6 at q")
    play = opened.find_element("id", "play")
    play.send_keys(Keys.SPACE)
    assert play.get_attribute("aria-pressed") == "false"
    for label in ("viewer", "plot"):
        assert opened.find_element("id", label).get_attribute("aria-label")


@needs_browser
def test_files_hold_what_is_shown(opened, study):
    names = script(opened, "[...document.querySelectorAll('#files a')].map((a) => a.download)")
    assert names == ["summary.json", "bands.csv", "density.csv", "crystal.extxyz"]
    contents = opened.execute_async_script(
        "const done = arguments[0];"
        "Promise.all([...document.querySelectorAll('#files a')].map((a) => fetch(a.href).then((r) => r.text())))"
        ".then(done)"
    )
    assert json.loads(contents[0])["formula"] == "MgO"
    rows = contents[1].splitlines()
    assert rows[0].startswith("segment,distance,band_1_THz")
    assert len(rows) - 1 == sum(len(own) for own in study.sampling.bands.distances)


@needs_browser
def test_it_is_readable_on_a_narrow_screen(opened, tmp_path):
    screen = {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    opened.refresh()
    try:
        assert script(opened, "document.documentElement.scrollWidth") <= 400
        assert (
            script(opened, "getComputedStyle(document.querySelector('dl')).gridTemplateColumns.split(' ').length") == 1
        )
        opened.save_screenshot(str(tmp_path / "narrow.png"))
    finally:
        opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        opened.refresh()


def test_text_of_a_structure_is_never_markup(study):
    content = data.page_data(study)
    content["title"] = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
    text = page.page(content)
    assert "<script>alert(1)" not in text
    assert "<img src=x" not in text
    assert text.count('id="data">') == 1
    embedded = re.search(r'id="data">(.*?)</script>', text, re.DOTALL)
    assert json.loads(embedded.group(1))["title"] == content["title"]


def test_it_needs_no_network_and_has_its_size(study, tmp_path):
    write_page(study, tmp_path / "report.html")
    size = (tmp_path / "report.html").stat().st_size
    assert 3e5 < size < 3e6
    own = [(Path(page.__file__).parent / "static" / name).read_text() for name in ("page.html", "page.js", "page.css")]
    assert not any("http://" in text or "https://" in text or "@import" in text for text in own)


def test_numbers_that_are_none_do_not_stop_the_page(study):
    content = data.page_data(study)
    content["summary"]["broken"] = [float("nan"), {"deep": float("inf")}]
    embedded = re.search(r'id="data">(.*?)</script>', page.page(content), re.DOTALL).group(1)
    assert json.loads(embedded, parse_constant=pytest.fail)["summary"]["broken"] == [None, {"deep": None}]


def test_molecules_and_layers_are_drawn_as_they_are():
    water = molecule("H2O")
    found = data.structure(water)
    assert np.array(found["positions"]) == pytest.approx(water.positions, abs=1e-6)
    assert found["repeats"] == [1, 1, 1]
    sheet = Atoms("C", cell=[2.46, 2.46, 15], pbc=(True, True, False))
    assert data.structure(sheet)["repeats"] == [3, 3, 1]


def test_modes_that_are_drawn_are_those_of_the_bands(study):
    """Of exact bands, too: without the calculator nothing moves."""
    assert study.sampling.bands_exact
    assert data.page_data(study)["motions"] is None
    content = data.page_data(study, CALC)
    motions = content["motions"]
    assert np.abs(np.diff(motions["qpoints"], axis=0)).max(axis=1).min() > 1e-4  # none twice in a row
    flat = np.concatenate([np.asarray(own) for own in content["bands"]["distances"]])
    named = [place for place in motions["points"] if np.abs(flat[place] - content["bands"]["ticks"]).min() < 2e-5]
    assert len(named) >= 6
    # LO lies above TO at Gamma, and moves along the way that the path leaves it.
    frequencies = np.concatenate([np.asarray(own) for own in study.sampling.bands.frequencies])
    k = motions["qpoints"].index([0, 0, 0])
    place = motions["points"][k]
    assert frequencies[place, 5] > frequencies[place, 4] + 1
    moves = np.frombuffer(base64.b64decode(motions["displacements"]), "<i2").reshape(-1, 6, 2, 3, 2)[k, 5, 0]
    qpoints = np.concatenate([np.asarray(own) for own in study.sampling.bands.qpoints])
    neighbour = qpoints[place + 1] if place == 0 else qpoints[place - 1]
    along = np.linalg.inv(study.phonopy.primitive.cell) @ neighbour
    direction = moves[:, 0] / np.linalg.norm(moves)
    phase = moves[:, 1] / np.linalg.norm(moves)
    assert np.hypot(direction @ along, phase @ along) / np.linalg.norm(along) == pytest.approx(1, abs=1e-3)


def test_motions_are_eigenvectors_over_roots_of_masses(study):
    """The optical mode of magnesium oxide at Gamma: opposite, as the masses are inverse; acoustic ones together."""
    found = data.page_data(study, CALC)["motions"]
    n = len(found["points"])
    moves = np.frombuffer(base64.b64decode(found["displacements"]), "<i2").reshape(n, 6, 2, 3, 2) / 32767
    gamma = found["qpoints"].index([0, 0, 0])
    masses = study.phonopy.primitive.masses
    optical = moves[gamma, 5, :, :, 0] + 1j * moves[gamma, 5, :, :, 1]
    assert np.abs(masses @ optical).max() < 1e-3 * masses.max()
    assert np.abs(moves).max(axis=(2, 3, 4)) == pytest.approx(1)
    acoustic = moves[gamma, 0]
    assert acoustic[0] == pytest.approx(acoustic[1], abs=1e-3)


def test_every_study_has_a_page_and_the_command_writes_it(tmp_path, monkeypatch):
    study = elastic_study(bulk("MgO", "rocksalt", a=4.25), CALC)
    content = data.page_data(study)
    assert "bands" not in content
    assert content["structure"]["symbols"] == ["Mg", "O"]
    monkeypatch.chdir(tmp_path)
    write("MgO.extxyz", bulk("MgO", "rocksalt", a=4.25))
    ask = ["elastic", "MgO.extxyz", "--page", "--quiet"]
    assert main(ask) == 0
    assert "bulk modulus" in Path("MgO-elastic/report.html").read_text()
    assert main([*ask[:2], "--overwrite", "--quiet"]) == 0  # a page is a result of ours
    assert not Path("MgO-elastic/report.html").exists()
