"""The examples with other libraries run, and show what they promise."""

from __future__ import annotations

import importlib
import re

import pytest


def run(name: str, library: str, *arguments: str, capsys: pytest.CaptureFixture[str]) -> str:
    pytest.importorskip(library)
    pytest.importorskip("sklearn")
    main = importlib.import_module(f"caffe2op.examples.{name}").main
    assert main(arguments) == 0
    return capsys.readouterr().out


def test_torch_hogwild_loses_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    out = run("torch_hogwild", "torch", "--steps", "3", "--rounds", "2", capsys=capsys)
    ours = out.splitlines()[-2].split()
    assert ours[0] == "caffe2op.interop"
    assert ours[-3] == ours[-2]
    assert ours[-1] == "0"


def test_torch_branches_give_the_same_scores(capsys: pytest.CaptureFixture[str]) -> None:
    out = run("torch_branches", "torch", "--repeats", "2", "--batch", "2", capsys=capsys)
    assert "the same scores: True" in out


def test_tensorflow_loses_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    out = run("tensorflow_async_sgd", "tensorflow", "--steps", "5", capsys=capsys)
    found = re.search(r"([0-9,]+) of ([0-9,]+) updates", out)
    assert found is not None
    assert found[1] == found[2] == f"{2 * 5 * (65 * 64 + 65 * 64 + 65 * 10):,}"
