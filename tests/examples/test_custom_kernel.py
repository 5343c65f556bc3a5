"""The example of kernels of one's own: each way gives NumPy's numbers; the table."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from caffe2op import workspace
from caffe2op.examples import custom_kernel


@pytest.mark.parametrize("way", custom_kernel.WAYS)
@pytest.mark.parametrize("size", [0, 1, 1000])
def test_every_way(way: str, size: int, tmp_path: Path) -> None:
    x = np.linspace(-1, 2, size, dtype=np.float32)
    try:
        run = custom_kernel.prepare(way, x, tmp_path)  # compares with NumPy
    except custom_kernel.NotHere as missing:
        pytest.skip(f"needs {missing}")
    gc.collect()  # cffi would now unload a library whose object nobody holds
    workspace.FeedBlob(f"{way} {size}/x", 1 - x)
    run()
    got = workspace.FetchBlob(f"{way} {size}/y")
    np.testing.assert_allclose(got, custom_kernel.smoothstep(1 - x), atol=1e-6)


def test_the_command(capsys: Any) -> None:
    assert custom_kernel.main(["--rounds", "1", "--sizes", "10", "500"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "left out" not in line]
    assert lines[0].split() == ["ns", "per", "element", "10", "500"]
    labels = [line[:16].strip() for line in lines[1:]]
    assert labels[0] == "NumPy alone"
    assert set(labels[1:]) <= set(custom_kernel.WAYS)
    assert labels[-1] == "Python"
    assert all(float(figure) > 0 for line in lines[1:] for figure in line[16:].split())


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(custom_kernel.NotHere, match="a C compiler"):
        custom_kernel.library(tmp_path)
