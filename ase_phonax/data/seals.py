"""A checksum in front of an HDF5 file, looked at before HDF5 looks at the file.

HDF5 trusts what it reads: one flipped bit in a file can make its library loop without end, or end the process.
Its format leaves a block at the start of a file to whoever writes it; the checksum of all the rest lies there.
"""

import hashlib
import os
from pathlib import Path

BLOCK = 512  # bytes; pass it to h5py.File as userblock_size
_MARK = b"ase-phonax sha256 "


def seal(path: str | os.PathLike) -> None:
    """Write the checksum of a closed file, made with a user block of `BLOCK` bytes, and force it to the disk."""
    with open(path, "r+b") as file:
        digest = _digest(file)
        file.seek(0)
        file.write((_MARK + digest + b"\n").ljust(BLOCK, b" "))
        file.flush()
        os.fsync(file.fileno())


def check_seal(path: str | os.PathLike) -> None:
    """Compare a file with its checksum.

    Raises:
        ValueError: it has none, or another.
        OSError: it cannot be read.
    """
    with Path(path).open("rb") as file:
        start = file.read(BLOCK)
        if not start.startswith(_MARK):
            raise ValueError("it does not begin with the checksum that ase-phonax writes")
        if start.rstrip(b" ") != _MARK + _digest(file) + b"\n":
            raise ValueError("its contents do not match its checksum")


def _digest(file) -> bytes:
    file.seek(BLOCK)
    return hashlib.file_digest(file, "sha256").hexdigest().encode()
