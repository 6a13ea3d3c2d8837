"""Damage done to valid inputs: of bytes, of lines, of settings, of HDF5 files. All of it follows from a seed."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

# What is written in place of a number, or given as the value of an option.
ABSURD = (
    *("nan", "inf", "-inf", "1e300", "-1e300", "1e-300", "-1", "0", "-0.0", "1e9", "1000000000", "2147483648"),
    *("9" * 40, "9" * 400, "", "x", "0x10", "0x_", "1_000", "1e", "½", "٣", "1/0", "1/3", "true", "null", "[1]", "1,5"),
)
# What YAML makes of a value that somebody mistyped.
ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, -1, 0, 1e300, 1e-300, -1e9, 10**9, 10**30, float("nan"), float("inf"), "", " ", "x", "auto"),
    *([], {}, [1], ["a"], [[1]], {"a": 1}, [None], "0x0e", "4x0e + 4x0e", "99999x0e", "1x99e", "a\0b", "é\udcff", 0.5),
)
ODD_YAML = (
    *(
        "2024-02-30",
        "0x_",
        "9" * 5000,
        "[" * 2000,
        "{a: " * 500,
        "&a [*a]",
        "*b",
        "!!python/object:os.system x",
        "!x y",
    ),
    *(
        "'",
        '"',
        "- -",
        "? ",
        "1:2:3",
        "<<: 1",
        "%YAML 9",
        "\t",
        "---\n---",
        "!!binary x",
        "!!timestamp 1",
        "1_0",
        ".nan",
    ),
)
PAGE = 4096
MARK, BLOCK = b"ase-phonax sha256 ", 512  # how a seal begins, and the block that it fills


def damage_bytes(data: bytes, rng: Random) -> tuple[bytes, str]:
    """A file as a disk, a network or an editor may leave it."""
    size, place = len(data), rng.randrange(max(1, len(data)))
    page = rng.randrange(size // PAGE + 1) * PAGE

    def replaced(start: int, stop: int, new: bytes) -> bytes:
        return data[:start] + new + data[stop:]

    ways: dict[str, Callable[[], bytes]] = {
        f"cut at {place}": lambda: data[:place],
        "empty": lambda: b"",
        f"bit {place % 8} of byte {place}": lambda: replaced(place, place + 1, bytes([data[place] ^ 1 << place % 8])),
        "twenty bits": lambda: _flipped(data, rng, 20),
        f"page at {page} zeroed": lambda: replaced(page, page + PAGE, bytes(len(data[page : page + PAGE]))),
        f"64 bytes at {place} zeroed": lambda: replaced(place, place + 64, bytes(len(data[place : place + 64]))),
        f"64 random bytes at {place}": lambda: replaced(place, place + 64, rng.randbytes(64)),
        f"512 bytes at {place} doubled": lambda: replaced(place, place, data[place : place + 512]),
        f"512 bytes at {place} lost": lambda: replaced(place, place + 512, b""),
        "bytes appended": lambda: data + rng.randbytes(100),
        "first bytes random": lambda: rng.randbytes(8) + data[8:],
        "pages exchanged": lambda: data[page : page + PAGE] + data[PAGE:page] + data[:PAGE] + data[page + PAGE :],
    }
    name = rng.choice(list(ways)[:1] if not data else list(ways))
    return ways[name](), name


def _flipped(data: bytes, rng: Random, count: int) -> bytes:
    changed = bytearray(data)
    for _ in range(count):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _seal(data: bytes) -> bytes:
    digest = hashlib.sha256(data[BLOCK:]).hexdigest().encode()
    return (MARK + digest + b"\n").ljust(BLOCK, b" ")


def has_sound_seal(path: Path) -> bool:
    """Whether a file has a seal that fits what is in it."""
    data = path.read_bytes()
    return data[:BLOCK] == _seal(data)


def seal_again(path: Path) -> bool:
    """Make the seal of a file fit what is in it now, as somebody would who knows how; False if it has none."""
    data = path.read_bytes()
    if not data.startswith(MARK):
        return False
    path.write_bytes(_seal(data) + data[BLOCK:])
    return True


def damage_text(text: str, rng: Random) -> tuple[bytes, str]:
    """A text file with lines, numbers, words or its encoding spoilt."""
    lines = text.splitlines(keepends=True) or [""]
    k, j = rng.randrange(len(lines)), rng.randrange(len(lines))
    odd, place = rng.choice(ABSURD), rng.randrange(len(text) + 1)

    def joined(*parts: list[str]) -> str:
        return "".join("".join(part) for part in parts)

    def exchanged() -> str:
        lines[k], lines[j] = lines[j], lines[k]
        return joined(lines)

    ways: dict[str, Callable[[], str | bytes]] = {
        f"cut at character {place}": lambda: text[:place],
        f"cut before line {k + 1}": lambda: joined(lines[:k]),
        f"line {k + 1} lost": lambda: joined(lines[:k], lines[k + 1 :]),
        f"line {k + 1} twice": lambda: joined(lines[: k + 1], lines[k:]),
        f"lines {k + 1} and {j + 1} exchanged": exchanged,
        f"blank line before {k + 1}": lambda: joined(lines[:k], ["\n"], lines[k:]),
        f"line {k + 1} of a million characters": lambda: joined(lines[:k], ["x " * 500_000 + "\n"], lines[k + 1 :]),
        "a word lost": lambda: _words(text, rng, lambda w: True, ""),
        f"a word is {odd[:12]!r}": lambda: _words(text, rng, lambda w: True, odd),
        f"a number is {odd[:12]!r}": lambda: _words(text, rng, _is_number, odd),
        f"a number is again {odd[:12]!r}": lambda: _words(text, rng, _is_number, odd),
        "a number shifted": lambda: _words(text, rng, _is_number, str(rng.choice([1e8, 1e12, -7, 0.3333, 1e-9]))),
        "NUL": lambda: text[:place] + "\0" + text[place:],
        "byte order mark": lambda: b"\xef\xbb\xbf" + text.encode(),
        "Windows": lambda: text.replace("\n", "\r\n").encode(),
        "old Macintosh": lambda: text.replace("\n", "\r").encode(),
        "Latin-1": lambda: (text[:place] + "é" + text[place:]).encode("latin-1", "replace"),
        "UTF-16": lambda: text.encode("utf-16"),
        "German commas": lambda: text.replace(".", ","),
        "twice": lambda: text + text,
        "empty": lambda: "",
        "blank": lambda: "\n \n",
    }
    name = rng.choice(list(ways))
    changed = ways[name]()
    return changed if isinstance(changed, bytes) else changed.encode("utf-8", "surrogateescape"), name


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _words(text: str, rng: Random, wanted: Callable[[str], bool], new: str) -> str:
    import re

    spans = [m.span() for m in re.finditer(r"[^\s,:\[\]{}\"'=]+", text) if wanted(m.group())]
    if not spans:
        return text
    start, stop = rng.choice(spans)
    return text[:start] + new + text[stop:]


def damage_settings(values: dict[str, Any], rng: Random) -> tuple[bytes, str]:
    """A YAML file of settings, one of which is none: renamed, lost, of another kind, or YAML that breaks its reader."""
    import yaml

    values = json.loads(json.dumps(values))
    places = list(_places(values))
    holder, key = rng.choice(places)
    odd, strange = rng.choice(ODD_VALUES), rng.choice(ODD_YAML)
    way = rng.choice(["odd", "odd", "odd", "renamed", "lost", "added", "yaml", "twice", "text"])
    name = f"{key}: {way}"
    if way == "odd":
        holder[key], name = odd, f"{key} is {odd!r}"
    elif way == "renamed" and isinstance(holder, dict):
        holder[f"{key}s"] = holder.pop(key)
    elif way == "lost" and isinstance(holder, dict):
        del holder[key]
    elif way == "added" and isinstance(holder, dict):
        holder[rng.choice(["x", 1, None, "", "é"])] = odd
    text = yaml.safe_dump(values, allow_unicode=True, sort_keys=False)
    if way == "yaml":
        holder[key] = "PLACE"
        text, name = yaml.safe_dump(values).replace("PLACE", strange), f"{key} is written {strange[:20]!r}"
    elif way == "twice":
        text = text + text
    elif way == "text":
        return damage_text(text, rng)
    return text.encode("utf-8", "surrogateescape"), name


def _places(values: Any):
    entries = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    for key, value in list(entries):
        yield values, key
        yield from _places(value)


def damage_hdf5(path: Path, rng: Random) -> str:
    """Change an HDF5 file by HDF5's own means, so that nothing but a seal or a comparison can tell."""
    import h5py
    import numpy as np

    with h5py.File(path, "r+") as file:
        names: list[str] = []
        file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        name = rng.choice(names)
        array = file[name][()]
        numeric = isinstance(array, np.ndarray) and array.dtype.kind in "fiuc" and array.size > 0
        file.attrs["of the attack"] = 1  # room for what is deleted below
        ways: dict[str, Callable[[], Any]] = {
            "lost": lambda: None,
            "an empty group": lambda: file.create_group(name),
            "a text": lambda: file.create_dataset(name, data="text"),
            "a link to itself": lambda: _link(file, name, h5py.SoftLink(f"/{name}")),
            "a link to another file": lambda: _link(file, name, h5py.ExternalLink("/etc/hostname", "/x")),
            "of no element": lambda: file.create_dataset(name, shape=(0,), dtype="f4"),
            "a terabyte": lambda: file.create_dataset(name, shape=(2**37,), dtype="f8", chunks=(2**16,)),
            "stored elsewhere": lambda: file.create_dataset(
                name, shape=(16,), dtype="u1", external=[("/etc/passwd", 0, 16)]
            ),
            "lost with its group": lambda: file.pop(name.split("/")[0], None),
        }
        if numeric:
            bad, same = rng.choice([np.nan, np.inf, 1e300, -1.0, 0.0]), array.astype(float, copy=True)
            flat = same.reshape(-1)
            spot = rng.randrange(flat.size)
            ways |= {
                f"{bad} in one place": lambda: _put(file, name, flat, spot, bad, same),
                "a thousandth more": lambda: file.create_dataset(name, data=array * 1.001),
                "another precision": lambda: file.create_dataset(name, data=array.astype(np.float16)),
                "complex": lambda: file.create_dataset(name, data=array.astype(complex)),
                "whole numbers": lambda: file.create_dataset(name, data=np.nan_to_num(same).astype(np.int8)),
                "another axis": lambda: file.create_dataset(name, data=array[None]),
                "flat": lambda: file.create_dataset(name, data=array.reshape(-1)),
                "one row more": lambda: file.create_dataset(name, data=np.concatenate([array, array[:1]])),
            }
        way = rng.choice(list(ways))
        del file[name]
        ways[way]()
    return f"{name}: {way}"


def _link(file: Any, name: str, link: Any) -> None:
    file[name] = link


def _put(file: Any, name: str, flat: Any, spot: int, bad: float, whole: Any) -> None:
    flat[spot] = bad
    file.create_dataset(name, data=whole)
