"""The two towers: the program as it is run, and its parts."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from caffe2op import core, workspace
from caffe2op.examples import asyncnet


def test_edges() -> None:
    workspace.ResetWorkspace()
    image = np.zeros((1, 64), np.float32)
    image[0, 9] = 1  # row 1, column 1
    workspace.FeedBlob("images", image)
    net = core.Net("edges")
    net.Python(asyncnet.find_edges)(["images"], ["found"])
    workspace.RunNetOnce(net)
    found = workspace.FetchBlob("found")
    right, down = found[0, :56].reshape(8, 7), found[0, 56:].reshape(7, 8)
    assert (right[1, 0], right[1, 1], np.abs(right).sum()) == (1, -1, 2)
    assert (down[0, 1], down[1, 1], np.abs(down).sum()) == (1, -1, 2)


def test_read_out_finds_what_the_features_say() -> None:
    digits = np.arange(200) % 10
    features = np.eye(10, dtype=np.float32)[digits]
    readout = asyncnet.fit(features, digits, ridge=1e-3)
    assert readout.shape == (11, 10)
    assert ((features @ readout[:-1] + readout[-1]).argmax(axis=1) == digits).all()


def test_program(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("sklearn")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "caffe2op.examples.asyncnet",
            "--out",
            str(tmp_path / "new"),
            "--hidden",
            "200",
            "--batch",
            "50",
        ],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    first = done.stdout.splitlines()[0]
    assert first.startswith("599 digits in 12 runs, 4 in flight: ")
    right = float(first.split(" ms, ")[1].split("%")[0])
    assert right > 90
    trace = json.loads((tmp_path / "new" / "trace.json").read_text())
    bars = [e for e in trace["traceEvents"] if e["ph"] == "X"]
    assert len(bars) == 12 * 6
    assert {e["args"]["device"] for e in bars} == {"cpu:0", "cpu:1"}
    assert (tmp_path / "new" / "net.svg").read_text().startswith("<svg")
    assert (tmp_path / "new" / "net.dot").read_text().startswith("digraph")


def test_barrier_holds_and_any_run_gives_the_same() -> None:
    workspace.ResetWorkspace()
    rng = np.random.default_rng(0)
    images = rng.random((30, 64), dtype=np.float32)
    asyncnet.feed_weights(20, 0)
    workspace.FeedBlob("readout", rng.random((41, 10), dtype=np.float32))
    workspace.FeedBlob("images", images)
    net = asyncnet.towers("towers")
    asyncnet.join(net)
    workspace.RunNetOnce(net)
    right = workspace.FetchBlob("digits")
    with asyncnet.AsyncNet(net, devices=asyncnet.DEVICES) as made:
        for result in made.map([{"images": images}] * 10):
            np.testing.assert_array_equal(result["digits"], right)


@pytest.mark.parametrize("option", ["--hidden", "--batch", "--inflight"])
def test_options_are_checked(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        asyncnet.main([option, "0"])
    assert f"{option}: must be a whole number of at least 1, got '0'" in capsys.readouterr().err


def test_a_folder_that_cannot_be(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit) as ended:
        asyncnet.main(["--out", str(tmp_path / "file")])
    assert ended.value.code == 2
    assert "--out: [Errno 17] File exists" in capsys.readouterr().err
