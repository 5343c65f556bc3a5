"""What is public is the same everywhere: in `__all__`, dir(), the reference, the README's table."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from types import ModuleType

import pytest

import caffe2op

ROOT = Path(__file__).resolve().parents[1]
MODULES = [f"caffe2op.{name}" for name in caffe2op.__all__ if name != "__version__"]
LIBRARIES = ["caffe2op.interop.jax", "caffe2op.interop.tensorflow", "caffe2op.interop.torch"]


def load(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as missing:
        if str(missing.name).startswith("caffe2op"):
            raise
        pytest.skip(f"{name} needs {missing.name}")


def parts_without_docstring(cls: type) -> list[str]:
    """Methods and properties of a class, but for the fields of a record."""
    return [
        part
        for part, found in vars(cls).items()
        if not part.startswith("_") and not inspect.ismemberdescriptor(found)
        if callable(found) or isinstance(found, property | classmethod | staticmethod)
        if not inspect.getdoc(getattr(cls, part))
    ]


@pytest.mark.parametrize("name", ["caffe2op", *MODULES, *LIBRARIES])
def test_dir_shows_what_is_public(name: str) -> None:
    module = load(name)
    assert list(module.__all__) == sorted(module.__all__)
    modules = {m.rpartition(".")[2] for m in LIBRARIES} if name == "caffe2op.interop" else set()
    assert set(dir(module)) == {*module.__all__, *modules}


@pytest.mark.parametrize("name", [*MODULES, *LIBRARIES])
def test_each_public_name_is_there_and_says_what_it_is(name: str) -> None:
    module = load(name)
    assert inspect.getdoc(module)
    for public in module.__all__:
        try:
            thing = getattr(module, public)
        except ImportError as missing:  # an estimator, without scikit-learn
            if "pip install" not in str(missing):
                raise
            continue
        if inspect.isclass(thing) or inspect.isroutine(thing):
            assert inspect.getdoc(thing), f"{name}.{public} has no docstring"
            assert not public.startswith("_")
        if inspect.isclass(thing):
            assert [f"{public}.{part}" for part in parts_without_docstring(thing)] == []


def test_the_reference_has_every_public_module() -> None:
    """And of each what its `__all__` says: Sphinx's automodule goes by that."""
    text = (ROOT / "docs" / "reference.md").read_text()
    assert sorted(re.findall(r"automodule:: (\S+)", text)) == sorted([*MODULES, *LIBRARIES])


def test_the_readme_names_every_public_module() -> None:
    table = (ROOT / "README.md").read_text().partition("## What is in it")[2].partition("\n## ")[0]
    first_cells = " ".join(line.split("|")[1] for line in table.splitlines() if "|" in line)
    assert sorted(re.findall(r"`(caffe2op\.\w+)`", first_cells)) == sorted(MODULES)
