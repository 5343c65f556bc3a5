"""Hand-overs of a mutex: nobody is left out, and what is measured is a hand-over."""

from __future__ import annotations

import sys

import pytest

if not sys.platform.startswith("linux"):
    pytest.skip("fleets are killed by prctl", allow_module_level=True)

import latency


@pytest.mark.parametrize(("kind", "workers"), [("threads", 8), ("processes", 2), ("processes", 8)])
def test_nobody_starves(kind: str, workers: int) -> None:
    found = latency.measure(kind, workers, 0.7)
    assert found.hand_overs >= latency.EACH * workers
    assert found.least_share >= latency.SHARE, found
    p50, p99, longest = found.microseconds
    assert 0 < p50 <= p99 <= longest
