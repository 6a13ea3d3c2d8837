"""Spectra in files: JCAMP-DX in all its forms, tables, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest

from ase_phonax import read_spectrum, write_spectrum
from ase_phonax.base.errors import InputError, UnstableWarning
from ase_phonax.molecules.jcamp import jcamp_text, parse_jcamp
from ase_phonax.molecules.spectra import Spectrum

HEAD = """\
##TITLE= example $$ with a comment
##JCAMP-DX= 4.24
##DATA TYPE= INFRARED SPECTRUM
##X UNITS= 1/CM
##yunits= ABSORBANCE
##XFACTOR= 1
##YFACTOR= 0.5
##FIRSTX= {first}
##LASTX= {last}
##NPOINTS= {n}
##XYDATA= (X++(Y..Y))
"""


def jcamp(tmp_path, *lines, first=400, last=409, n=10, **changes):
    """A file of these lines of data, with labels changed or, by None, left out."""
    text = HEAD.format(first=first, last=last, n=n) + "\n".join(lines) + "\n##END=\n"
    for label, value in changes.items():
        old = next(line for line in text.splitlines(True) if line.lower().startswith(f"##{label.lower()}="))
        text = text.replace(old, "" if value is None else f"##{label}= {value}\n")
    path = tmp_path / "spectrum.jdx"
    path.write_text(text)
    return path


# The table of the standard: McDonald and Wilks (1988), "1 2 3 3 2 1 0 -1 -2 -3" in all forms.
@pytest.mark.parametrize(
    "line",
    ["400 1 2 3 3 2 1 0 -1 -2 -3", "400+1+2+3+3+2+1+0-1-2-3", "400ABCCBA@abc", "400AJJ%jjjjjj", "400AJT%jX",
     "400 1.0 2 3. 3 2 1.0E+00 0 -1 -2 -3", "400ABCTBA@abc", "400 A J J % j j j j j j $$ blanks"],
)  # fmt: skip
def test_all_forms_of_numbers_mean_the_same(tmp_path, line):
    spectrum = read_spectrum(jcamp(tmp_path, line))
    np.testing.assert_array_equal(spectrum.values, 0.5 * np.array([1, 2, 3, 3, 2, 1, 0, -1, -2, -3]))
    np.testing.assert_allclose(spectrum.wavenumbers, np.arange(400, 410))
    assert (spectrum.kind, spectrum.quantity) == ("infrared", "absorbance")


def test_the_example_of_the_standard_is_read():
    """DIF and DUP over two lines, the second of them the check of the last value."""
    text = HEAD.format(first=4, last=56, n=53).replace("0.5", "1")
    text += "4@VKT%TLkj%J%KLJ%njKjL%kL%jJULJ%kLK1%lLMNPNPRLJ0QTOJ1P\n56A28\n##END=\n"
    _, _, _, points = parse_jcamp(text)
    known = (
        "0 0 0 0 2 4 4 4 7 5 4 4 5 5 7 10 11 11 6 5 7 6 9 9 7 10 10 9 10 11 12 15 16 16 14 17 38 38 35 38 42 47 54 59"
    )
    np.testing.assert_array_equal(points[:, 1], [*map(float, known.split()), 66, 75, 78, 88, 96, 104, 110, 121, 128])


def test_differences_go_on_across_lines_and_their_checks_are_looked_at(tmp_path):
    path = jcamp(tmp_path, "400A0J1J2", "402C3J3K0", n=5, last=404)
    np.testing.assert_array_equal(2 * read_spectrum(path).values, [10, 21, 33, 46, 66])
    with pytest.raises(InputError, match="line 13 begins with 34, and the line before ended with 33"):
        read_spectrum(jcamp(tmp_path, "400A0J1J2", "402C4J3K0", n=5, last=404))


def test_a_falling_axis_is_turned_and_values_that_are_missing_are_gaps(tmp_path):
    spectrum = read_spectrum(jcamp(tmp_path, "409 1 2 ? 4 5 6 7 8 9 10", first=409, last=400))
    np.testing.assert_allclose(spectrum.wavenumbers, np.arange(400, 410))
    assert np.flatnonzero(np.isnan(spectrum.values)).tolist() == [7]
    assert spectrum.values[-1] == 0.5


def test_pairs_are_read_with_their_factors(tmp_path):
    for label in ("XYDATA", "XYPOINTS"):
        path = jcamp(tmp_path, "1000, 1.0; 1010, 2.0;", "1030.5, 3e0", n=3)
        path.write_text(path.read_text().replace("XYDATA= (X++(Y..Y))", f"{label}= (XY..XY)"))
        spectrum = read_spectrum(path)
        np.testing.assert_allclose(spectrum.wavenumbers, [1000, 1010, 1030.5])
        np.testing.assert_allclose(spectrum.values, [0.5, 1.0, 1.5])


@pytest.mark.parametrize(("unit", "percent"), [("TRANSMITTANCE", 1), ("% Transmittance", 100), ("TRANSMITTANCE", 100)])
def test_transmittance_becomes_absorbance_and_says_so(tmp_path, unit, percent):
    path = jcamp(tmp_path, f"400 {percent} {0.1 * percent} {0.01 * percent}", n=3, last=402, yunits=unit, YFACTOR="1")
    spectrum = read_spectrum(path, "infrared")
    np.testing.assert_allclose(spectrum.values, [0, 1, 2], atol=1e-12)
    assert spectrum.quantity == f"absorbance, from {'% ' if percent == 100 else ''}transmittance"


def test_no_light_is_no_absorbance(tmp_path):
    path = jcamp(tmp_path, "400 1 0 -0.01 0.1", n=4, last=403, yunits="TRANSMITTANCE", YFACTOR="1")
    with pytest.warns(UnstableWarning, match="2 of 4 points .* transmittance of zero or less"):
        spectrum = read_spectrum(path)
    np.testing.assert_allclose(spectrum.values, [0, np.nan, np.nan, 1], atol=1e-12)


PLAIN = "400 1 2 3 3 2 1 0 1 2 3"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"X UNITS": "MICROMETERS"}, "its axis is in MICROMETERS, and only wavenumbers"),
        ({"X UNITS": "NANOMETERS"}, "its axis is in NANOMETERS, and only wavenumbers"),
        ({"X UNITS": None}, "there is no ##XUNITS="),
        ({"yunits": "REFLECTANCE"}, "what is reflected is not what is absorbed"),
        ({"yunits": "TRANSMITTANCE", "YFACTOR": "3"}, "neither fractions"),
        ({"DATA TYPE": "MASS SPECTRUM"}, "neither infrared nor Raman"),
        ({"DATA TYPE": "RAMAN SPECTRUM"}, "of the kind Raman, where a spectrum of the kind infrared"),
        ({"NPOINTS": "11"}, "it has 10 points, and ##NPOINTS announces 11"),
        ({"NPOINTS": "9"}, "more points than the 9"),
        ({"NPOINTS": "1e12"}, "a curve has 2 to 5000000"),
        ({"NPOINTS": "ten"}, "is 'ten', and no number"),
        ({"FIRSTX": None}, "it has no ##FIRSTX="),
        ({"LASTX": "400"}, "all points lie in one place"),
        ({"FIRSTX": "390"}, "line 12 begins at 400, where point 1 is at 390"),
        ({"XYDATA": "(R++(A..A))"}, r"the form of its data is '\(R\+\+"),
        ({"XYDATA": None, "JCAMP-DX": "4.24\n##PEAK TABLE= (XY..XY)\n1,2"}, "a table of peaks, and no curve"),
        ({"JCAMP-DX": "5.01\n##NTUPLES= NMR FID"}, "several tables"),
        ({"JCAMP-DX": "4.24\n##TITLE= another"}, "several spectra"),
        ({"YFACTOR": "0"}, "all of them are zero"),
    ],
)  # fmt: skip
def test_what_is_no_infrared_spectrum_over_wavenumbers_is_refused(tmp_path, changes, words):
    with pytest.raises(InputError, match=words) as error:
        read_spectrum(jcamp(tmp_path, PLAIN, **changes), "infrared")
    assert error.value.remedy


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["400 1 2 3 x 2 1 0 1 2 3"], "line 12 holds something that is no number: 'x 2 1"),
        (["400J1"], "a difference from nothing"),
        (["400T1"], "repeats nothing"),
        (["400AZ99999999999999999999"], "more points than"),
        (["here 1 2"], "begins with no number"),
        (["400 1 2 3", "406 3 2 1 0"], "line 13 begins at 406, where point 4 is at 403: lines are missing"),
        (["400 1 2 3"], "it has 3 points"),
    ],
)
def test_damaged_numbers_are_named_by_their_line(tmp_path, lines, words):
    with pytest.raises(InputError, match=words):
        read_spectrum(jcamp(tmp_path, *lines))


@pytest.mark.parametrize(
    "text",
    ["400,0.5\n500,1.0\n450,2.0\n", "# from the lab\nwavenumber;absorbance\n400;0.5\n500;1.0\n450;2.0\n",
     "400\t0.5\n500\t1.0\n450\t2.0\n", '"cm-1" "A"\n400 0.5\n500   1.0\n\n450 2.0\n',
     "\ufeff400,5e-1\r\n500,1\r\n450,2\r\n"],
)  # fmt: skip
def test_tables_of_two_columns_are_read_whatever_divides_them(tmp_path, text):
    (tmp_path / "table.csv").write_text(text, encoding="utf-8")
    spectrum = read_spectrum(tmp_path / "table.csv", "Raman")
    np.testing.assert_array_equal(spectrum.wavenumbers, [400, 450, 500])
    np.testing.assert_array_equal(spectrum.values, [0.5, 2.0, 1.0])
    assert spectrum.kind == "Raman"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("wavelength (nm),T\n2500,1\n3000,2\n", "its axis is in nm, and only wavenumbers"),
        ("2.5,1\n25,2\n", "from 2.5 to 25, which are no wavenumbers"),
        ("2500,1\n25000,2\n", "from 2500 to 25000, which are no wavenumbers"),
        ("400,0,5\n500,1,0\n", "has 3 columns where there are two"),
        ("400;0,5\n500;1,0\n", "line 1 holds something else than two numbers"),
        ("400,1\nwhat,is this\n", "line 2 holds something else"),
        ("400,1\n", "has two wavenumbers at least"),
        ("400,nan\n500,nan\n", "not finite, or all of them are zero"),
        ("400,inf\n500,1\n", "not finite"),
        ("nothing\n", "has two wavenumbers at least"),
        ("", "is empty"),
        ("##TITLE= nothing\n##END=\n", "no ##XYDATA="),
    ],
)
def test_tables_that_mean_something_else_are_refused(tmp_path, text, words):
    (tmp_path / "table.csv").write_text(text)
    with pytest.raises(InputError, match=words):
        read_spectrum(tmp_path / "table.csv")


def test_what_is_written_is_ascii_of_short_lines_and_read_as_it_was():
    x = 0.05 * np.arange(3000)
    values = np.exp(-(((x - 60) / 7) ** 2)) - 0.1
    spectrum = Spectrum("Raman", x, values, "Raman cross section", "1e-30 cm²/sr per 1/cm")
    text = jcamp_text(spectrum, "naphthalene, λ = 532 nm\nsecond line", "C10H8", ["lines of 1 cm⁻¹", "a " * 60])
    assert text.isascii()
    assert max(map(len, text.splitlines())) <= 80
    assert "##TITLE= naphthalene, ? = 532 nm second line" in text
    assert "##MOLFORM= C10 H8" in text
    kind, x_unit, y_unit, points = parse_jcamp(text)
    assert (kind, x_unit, y_unit) == ("Raman", "1/CM", "ARBITRARY UNITS")
    np.testing.assert_allclose(points[:, 0], x, atol=1e-9)
    np.testing.assert_allclose(points[:, 1], values, atol=1e-9)


def test_uneven_points_gaps_and_measured_spectra_are_written_as_they_are(tmp_path):
    """Kills: points of an uneven curve put at even distances; absorbance that is made molar once more."""
    x = np.array([400.0, 410.0, 411.5, 480.0])
    uneven = Spectrum("infrared", x, np.array([0.1, 0.7, np.nan, 0.2]), "absorbance", "ABSORBANCE")
    write_spectrum(uneven, tmp_path / "uneven.jdx", "gas")
    back = read_spectrum(tmp_path / "uneven.jdx")
    np.testing.assert_allclose(back.wavenumbers, x[[0, 1, 3]])
    np.testing.assert_allclose(back.values, [0.1, 0.7, 0.2])
    assert back.quantity == "absorbance"
    evenly = replace(uneven, wavenumbers=np.arange(400.0, 404.0), kind="Raman", quantity="counts", unit="COUNTS")
    write_spectrum(evenly, tmp_path / "even.dx", "liquid")
    np.testing.assert_allclose(read_spectrum(tmp_path / "even.dx", "Raman").values, evenly.values, rtol=1e-8)
    with pytest.raises(InputError, match="whether it is infrared or Raman"):
        write_spectrum(replace(uneven, kind=""), tmp_path / "no.jdx", "gas")
    assert not (tmp_path / "no.jdx").exists()


@pytest.mark.parametrize("unit", ["TRANSMITTANCE", "% TRANSMITTANCE", "ABSORBANCE"])
def test_a_measured_spectrum_that_is_written_is_read_as_it_was_and_converted_once(tmp_path, unit):
    """Kills: a heading that names what absorbance was made from, so that it is made once more."""
    factor = "50" if "%" in unit else "0.5"
    gas = read_spectrum(jcamp(tmp_path, "400 1 2 1 0.5 1", n=5, last=404, yunits=unit, YFACTOR=factor), "infrared")
    assert gas.unit == "absorbance"
    for end in ("csv", "jdx"):
        write_spectrum(gas, tmp_path / f"again.{end}", "gas")
        again = read_spectrum(tmp_path / f"again.{end}", "infrared")
        np.testing.assert_allclose(again.values, gas.values, atol=1e-9)
        assert (again.quantity, again.unit) == ("absorbance", "absorbance")
    assert (tmp_path / "again.csv").read_text().startswith("wavenumber (1/cm),absorbance\n")
    # As files of earlier versions are headed.
    rows = (tmp_path / "again.csv").read_text().partition("\n")[2]
    (tmp_path / "old.csv").write_text(f"wavenumber (1/cm),absorbance, from transmittance ({unit})\n{rows}")
    np.testing.assert_allclose(read_spectrum(tmp_path / "old.csv").values, gas.values, atol=1e-9)


def test_headings_with_commas_are_quoted(tmp_path):
    liquid = Spectrum("Raman", np.array([400.0, 500.0]), np.array([1.0, 2.0]), "counts, 10 s", "")
    write_spectrum(liquid, tmp_path / "liquid.csv", "liquid")
    assert (tmp_path / "liquid.csv").read_text().splitlines()[0] == 'wavenumber (1/cm),"counts, 10 s"'
    assert read_spectrum(tmp_path / "liquid.csv").quantity == "counts, 10 s"


def table(tmp_path, heading, values, start=400):
    (tmp_path / "table.csv").write_text(heading + "".join(f"{start + k},{value}\n" for k, value in enumerate(values)))
    return tmp_path / "table.csv"


@pytest.mark.parametrize(
    "heading",
    ["T%", "T (%)", "T [%]", "%T", "% T", "percent T", "Trans.", "T", "Transmission [%]", "I,T / %"],
)  # fmt: skip
def test_transmittance_is_known_by_all_its_headings(tmp_path, heading):
    lines = "made by a spectrometer,I\ncm-1,T / %\n" if heading == "I,T / %" else f"cm-1,{heading}\n"
    spectrum = read_spectrum(table(tmp_path, lines, [100, 10, 1]))
    np.testing.assert_allclose(spectrum.values, [0, 1, 2], atol=1e-12)
    assert (spectrum.quantity, spectrum.unit) == ("absorbance, from % transmittance", "absorbance")


def test_what_looks_like_transmittance_and_has_no_heading_gives_a_warning(tmp_path):
    values = [0.95] * 20 + [0.2]
    for heading in ("", "cm-1,I/I0\n"):
        with pytest.warns(UnstableWarning, match='looks like transmittance.*"%T"'):
            assert read_spectrum(table(tmp_path, heading, values)).values.max() == 0.95
    assert read_spectrum(table(tmp_path, "cm-1,absorbance\n", values)).values.max() == 0.95
    assert read_spectrum(table(tmp_path, "", values), "Raman").values.max() == 0.95
    assert read_spectrum(table(tmp_path, "", [0.05] * 20 + [0.9])).values.max() == 0.9


def test_percentages_that_are_fractions_are_refused(tmp_path):
    path = jcamp(tmp_path, "400 1 0.5 0.9", n=3, last=402, yunits="% TRANSMITTANCE", YFACTOR="1")
    with pytest.raises(InputError, match="its largest value 1, which is that of a fraction"):
        read_spectrum(path)


@pytest.mark.parametrize(("kind", "known"), [("raman", "Raman"), ("RAMAN", "Raman"), ("Infrared", "infrared")])
def test_kinds_are_known_in_any_case(tmp_path, kind, known):
    assert read_spectrum(table(tmp_path, "", [1, 2]), kind).kind == known
    with pytest.raises(InputError, match="the kind of the spectrum is 'nonsense'"):
        read_spectrum(table(tmp_path, "", [1, 2]), "nonsense")


def test_values_that_were_not_measured_are_gaps_and_other_words_are_named(tmp_path):
    values = read_spectrum(table(tmp_path, "", [1, "", "nan", 2])).values
    np.testing.assert_array_equal(values, [1, np.nan, np.nan, 2])
    with pytest.raises(InputError, match=r"line 2 .*: '401,n/a'; .* leave the value empty, or write nan"):
        read_spectrum(table(tmp_path, "", [1, "n/a", 2]))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"400,0;0,02752\n401,0;0,03\n", "line 1 .*: '400,0;0,02752'; decimal commas are not read"),
        ("cm-1,A\n400,1\n500,2\n".encode("utf-16"), "it is not a text file in UTF-8 but in UTF-16"),
        (bytes(range(256)) * 4, "it is not a text file, but a binary one"),
        (b"2500,1\n16667,2\n", "from 2500 to 16667, which are no wavenumbers"),
        (b"a,b\n" * 9, "line 6 holds something else"),
    ],
)
def test_files_of_another_make_are_refused_by_name(tmp_path, data, words):
    (tmp_path / "table.csv").write_bytes(data)
    with pytest.raises(InputError, match=words):
        read_spectrum(tmp_path / "table.csv")


def test_another_axis_is_named_before_its_uneven_points(tmp_path):
    path = jcamp(tmp_path, "543.6 1 2 3", "560.1 4 5 6", first=543.6, last=600, n=6, **{"X UNITS": "NANOMETERS"})
    with pytest.raises(InputError, match="its axis is in NANOMETERS"):
        read_spectrum(path)
