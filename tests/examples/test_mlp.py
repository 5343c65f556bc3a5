"""The MLP example: the ways of training agree where they must, and learn; its command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from caffe2op.examples import mlp, mlp_processes, mlp_training
from caffe2op.examples.datasets import Images
from caffe2op.examples.mlp_training import Curve, Settings

SIZES = (20, 24, 16, 10)


@pytest.fixture(scope="module")
def data() -> Images:
    """Ten noisy patterns of 20 pixels."""
    random = np.random.default_rng(1)
    patterns = random.random((10, 20), np.float32)
    labels = np.arange(1000, dtype=np.int32) % 10
    x = patterns[labels] + random.normal(size=(1000, 20), scale=0.15).astype(np.float32)
    return Images(x[:800], labels[:800], x[800:], labels[800:])


def settings(replicas: int = 1, update: str = "atomic", epochs: int = 3) -> Settings:
    return Settings(SIZES, replicas, 48, epochs, 0.2, 5, update)


@pytest.fixture(scope="module")
def alone(data: Images) -> Curve:
    return mlp_training.train_sync(data, settings())


def test_serial_training_repeats_bit_for_bit(data: Images, alone: Curve) -> None:
    again = mlp_training.train_sync(data, settings())
    for one, other in zip(alone.parameters, again.parameters, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(alone.points[:, 1], again.points[:, 1])


@pytest.mark.parametrize("way", [mlp_training, mlp_processes])
@pytest.mark.parametrize("replicas", [2, 4])
def test_synchronous_replicas_are_one(data: Images, alone: Curve, way: Any, replicas: int) -> None:
    """The same weights for any number of workers, up to rounding. 16 batches in a pass: 2 and 4
    replicas take as many steps as one."""
    run = way.train_sync(data, settings(replicas))
    assert run.steps == alone.steps == 48
    for one, other in zip(alone.parameters, run.parameters, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-3, atol=2e-5)


@pytest.mark.parametrize(
    ("way", "update"),
    [
        (mlp_training, "atomic"),
        (mlp_training, "locked"),
        (mlp_training, "racy"),
        (mlp_processes, "atomic"),
        (mlp_processes, "locked"),
    ],
)
def test_asynchronous_replicas_learn(data: Images, way: Any, update: str) -> None:
    run = way.train_async(data, settings(2, update, epochs=8))
    # The best of the last looks: at this rate single steps still throw the accuracy about.
    assert run.points[-4:, 1].max() > 0.9
    assert run.points[0, 1] < 0.5
    assert run.steps == 128
    assert (np.diff(run.points[:, 0]) > 0).all()


def test_batches_are_passes_over_the_rows(data: Images) -> None:
    lines = mlp_training.batches(data, settings(2), 2)
    assert lines.shape == (3 * 16 * 2, 24)
    for one_pass in lines.reshape(3, -1):
        assert len(set(one_pass)) == 768


def test_numbers_that_cannot_be_divided(data: Images) -> None:
    with pytest.raises(ValueError, match="a batch of 48 cannot be divided among 5"):
        mlp_training.train_sync(data, settings(5))
    few = data._replace(x_train=data.x_train[:90])
    with pytest.raises(ValueError, match="90 rows are no 2 batches of 48"):
        mlp_training.train_async(few, settings(2))


def test_the_command(
    data: Images, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(mlp, "digit_images", lambda seed: data)
    picture = tmp_path / "mlp.png"
    command = ["--epochs", "8", "--repeats", "1", "--replicas", "2", "--plot", str(picture)]
    assert mlp.main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("800 digits to train on, 200 held out; 20 - 256 - 128 - 10")
    assert [line[:12] for line in lines[2:5]] == ["1 replica   ", "synchronous,", "asynchronous"]
    assert picture.stat().st_size > 1000
    with pytest.raises(SystemExit):
        mlp.main([*command, "--batch", "63"])
    assert "a batch of 63 cannot be divided among 2 replicas" in capsys.readouterr().err


@pytest.mark.parametrize("way", [mlp_processes.train_sync, mlp_processes.train_async])
def test_a_process_that_dies_is_an_error_at_once(data: Images, way: Any) -> None:
    with pytest.raises(RuntimeError, match=r"did not come; ended with a status: .*: 1"):
        way(data, settings(2)._replace(lr="none"))


def test_real_digits_reach_97_percent() -> None:
    pytest.importorskip("sklearn")
    from caffe2op.examples.datasets import digit_images

    images = digit_images()
    assert [len(part) for part in images] == [1438, 1438, 359, 359]
    run = mlp_training.train_sync(images, Settings((64, 256, 128, 10), 2, 64, 20, 0.2, 0, "atomic"))
    assert run.accuracy >= 0.97
    assert run.seconds_to(0.97) is not None
