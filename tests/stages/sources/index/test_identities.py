import hashlib
import random

import numpy as np
import pyarrow as pa
import pytest

from stages.sources.index.identities import IdentitySet, key_identities

HEX = "0123456789abcdef" * 2


def came_before(words: list[tuple[int, int]], seen: set[tuple[int, int]]) -> list[bool]:
    found = []
    for each in words:
        found.append(each in seen)
        seen.add(each)
    return found


@pytest.mark.parametrize("largest", [5, 300, 2**63])
def test_the_set_is_a_set_whatever_the_batches(largest: int) -> None:
    rng = np.random.default_rng(1)
    identities, seen = IdentitySet(fewest_slots=64), set[tuple[int, int]]()
    for size in rng.integers(0, 400, 80):
        batch = rng.integers(1, largest, (size, 2), dtype=np.uint64)
        expected = came_before([(int(high), int(low)) for high, low in batch], seen)
        assert identities.add(batch).tolist() == expected


def test_identities_that_share_a_word_are_told_apart() -> None:
    same_low = np.array([[1, 9], [2, 9], [1, 9], [0, 9]], np.uint64)
    same_high = np.array([[7, 1], [7, 2], [7, 1], [7, 2**64 - 1]], np.uint64)
    assert IdentitySet().add(same_low).tolist() == [False, False, True, False]
    assert IdentitySet().add(same_high).tolist() == [False, False, True, False]


def test_identities_whose_bits_are_not_a_number_are_kept_as_they_are() -> None:
    nan = np.array([[0x7FF0000000000001, 0xFFF8000000000002], [0x7FF8000000000001, 0xFFF0000000000002]], np.uint64)
    identities = IdentitySet()
    assert identities.add(nan).tolist() == [False, False]
    assert identities.add(nan).tolist() == [True, True]


def test_keys_are_equal_if_and_only_if_their_identities_are() -> None:
    rng = random.Random(3)
    alphabets = ["0123456789abcdef", "ab", "ABCDEF0123", "é雪x"]
    keys = ["", "0", "00", HEX[:19], HEX[:20], HEX[:21], HEX[:20].upper(), HEX[:19] + "g", "\x01" * 15, "\x01" * 16]
    keys += ["".join(rng.choices(rng.choice(alphabets), k=rng.randint(0, 24))) for _ in range(5000)]
    keys += [hashlib.sha256(str(number).encode()).hexdigest()[:20] for number in range(500)] * 2
    found: dict[tuple[int, ...], str] = {}
    for key, identity in zip(keys, key_identities(pa.array(keys)).tolist(), strict=True):
        assert found.setdefault(tuple(identity), key) == key
    assert len(found) == len(set(keys))


def test_a_slice_of_an_array_has_the_identities_of_its_rows() -> None:
    keys = pa.array([f"{number:0{digits}d}" for number in range(50) for digits in (3, 12, 20, 40)])
    assert key_identities(keys.slice(33, 90)).tolist() == key_identities(keys).tolist()[33:123]
