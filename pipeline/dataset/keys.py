"""The key file: where each sample is, by its key, found without reading a record.

    keys.npy    (samples, 2) uint64, sorted: the first 8 bytes of the sha256 of the key, the number of the sample

Hashes are spread evenly, so that a key's place in the file is known to within a few thousand lines: one read of at most
a megabyte finds it among 100 million, locally or in a bucket. Equal hashes are told apart by the record.
"""

import hashlib
import math

import numpy as np
import numpy.typing as npt

from pipeline.dataset.record import ShardRecord
from pipeline.dataset.storage import Directory
from stages.errors import ManifestError

KEYS_FILE = "keys.npy"
LINE_BYTES = 16
STANDARD_DEVIATIONS = 6
"""Of the place of a uniform hash among n sorted ones, sqrt(n) / 2: one key in a billion lies farther away."""
LEAST_LINES = 4096

Lines = npt.NDArray[np.uint64]


def key_hash(key: str) -> int:
    """Return the number that a key is sorted by."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")


class KeyCollector:
    """Collects the keys of a data set's samples, in order; holds 16 bytes of each in memory."""

    def __init__(self) -> None:
        self._hashes = [np.zeros(0, np.uint64)]

    def add(self, record: ShardRecord) -> None:
        """Take the keys of the next shard."""
        hashes = (key_hash(entry.key) for entry in record.samples)
        self._hashes.append(np.fromiter(hashes, np.uint64, len(record.samples)))

    def content(self) -> bytes:
        """Make the key file of what was collected."""
        hashes = np.concatenate(self._hashes)
        order = np.argsort(hashes, kind="stable")
        lines = np.stack([hashes[order], order.astype(np.uint64)], axis=1)
        return _header(len(lines)) + lines.astype("<u8").tobytes()


def find_key(directory: Directory, samples: int, key: str) -> list[int]:
    """Find the numbers of the samples whose keys have this key's hash: in all likelihood one, or none.

    Raises ManifestError if the file is missing or is not one of so many samples.
    """
    wanted = key_hash(key)
    expected = int(wanted / 2**64 * samples)
    reach = max(LEAST_LINES, math.ceil(STANDARD_DEVIATIONS * math.sqrt(samples) / 2))
    first, stop = max(0, expected - reach), min(samples, expected + reach + 1)
    while True:
        lines = _read(directory, samples, first, stop)
        if first > 0 and (not len(lines) or lines[0, 0] >= wanted):
            first = max(0, first - reach)
        elif stop < samples and lines[-1, 0] <= wanted:
            stop = min(samples, stop + reach)
        else:
            break
        reach *= 2
    begin, end = (int(np.searchsorted(lines[:, 0], np.uint64(wanted), side)) for side in ("left", "right"))
    return [int(number) for number in lines[begin:end, 1]]


def _read(directory: Directory, samples: int, first: int, stop: int) -> Lines:
    header = _header(samples)
    try:
        start = directory.read_range(KEYS_FILE, 0, len(header))
        content = directory.read_range(KEYS_FILE, len(header) + first * LINE_BYTES, (stop - first) * LINE_BYTES)
    except FileNotFoundError:
        start = content = b""
    if start != header or len(content) != (stop - first) * LINE_BYTES:
        got = "another file" if start else "none"
        raise ManifestError(
            f"{directory / KEYS_FILE} must list the keys of {samples} samples, got {got}; delete dataset.json and "
            "prepare again: no shard is made anew"
        )
    return np.frombuffer(content, "<u8").reshape(-1, 2)


def _header(samples: int) -> bytes:
    """The beginning of a .npy file of so many lines: 128 bytes (numpy's format, version 1.0)."""
    text = f"{{'descr': '<u8', 'fortran_order': False, 'shape': ({samples}, 2), }}"
    return b"\x93NUMPY\x01\x00\x76\x00" + text.encode().ljust(117) + b"\n"
