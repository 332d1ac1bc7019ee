"""The filter of keys never calls a key new that it has, however it came in, and seldom calls a new one known."""

from __future__ import annotations

import numpy as np
import pytest

from analytics.keys import _BITS, _HASHES, KeyFilter, _begun, _next


def hashes(count: int, seed: int) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    return np.random.default_rng(seed).integers(0, 2**64, count, dtype=np.uint64)


def test_the_bits_of_a_key_are_those_of_the_formula():
    keys = hashes(1_000, 1)
    place, step = _begun(keys)
    for number in range(_HASHES):
        expected = [((int(k) % 2**32) + number * ((int(k) >> 32) | 1)) % _BITS for k in keys]
        assert place.tolist() == expected
        place = _next(place, step)


@pytest.mark.parametrize("at_once", [700, 30_000], ids=["batches", "all at a start"])
def test_what_came_in_is_known_and_what_did_not_is_new(at_once):
    known, others = hashes(30_000, 2), hashes(30_000, 3)
    keys = KeyFilter()
    for begin in range(0, len(known), at_once):
        keys.add(known[begin : begin + at_once], begin, begin + at_once)
    ((positions, first_us, last_us),) = keys.perhaps(known)
    assert positions.tolist() == list(range(30_000))
    assert (first_us, last_us >= 30_000) == (0, True)
    assert keys.perhaps(others) == []
