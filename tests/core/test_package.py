"""The package: light to import, its parts found when they are asked for."""

import subprocess
import sys

import pytest

import caffe2op


def test_importing_the_package_imports_nothing_of_it() -> None:
    script = (
        "import sys, caffe2op; assert 'numpy' not in sys.modules; "
        "assert not [m for m in sys.modules if m.startswith('caffe2op.')]; "
        "caffe2op.workspace.FeedBlob; from caffe2op import core, workspace; core.Net"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_attributes() -> None:
    assert {"core", "workspace", "atomics", "__version__"} <= set(dir(caffe2op))
    with pytest.raises(AttributeError, match="has no attribute 'works'"):
        caffe2op.works  # noqa: B018
