"""Where matrix products come from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from caffe2op import core, workspace
from caffe2op._core import _native, blas


def test_a_net_without_any_blas_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas, "_loaded", [])
    monkeypatch.setattr(blas, "_libraries", lambda: iter(()))
    net = core.Net("needs blas")
    net.AddExternalInput("a")
    net.MatMul(["a", "a"], "b")
    workspace.FeedBlob("a", np.zeros((1, 1), np.float32))
    with pytest.raises(ImportError, match=r"pip install 'caffe2op\[nets\]'"):
        workspace.CreateNet(net)


def test_the_library_works_with_one_thread() -> None:
    blas.load()
    (library,) = blas._loaded
    for name in ("scipy_openblas_get_num_threads64_", "openblas_get_num_threads64_"):
        if hasattr(library, name):
            assert library[name]() == 1
            return
    pytest.fail(f"{blas.path()} does not tell its threads")


def test_files_that_are_no_blas(tmp_path: Path) -> None:
    text = tmp_path / "libscipy_openblas64_.so"
    text.write_text("not a library")
    assert blas._take(text) is None
    assert blas._take(Path(_native.__file__)) is None  # a library without CBLAS
