"""Checks what was built: one sdist with everything a build needs, one wheel with the package only.

    python .ci/check_wheel.py TREE DIST

TREE is the source tree, DIST the folder that holds the sdist and the wheel made from it.
"""

import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path, PurePosixPath


def only(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        sys.exit(f"{folder} should hold one {pattern}, and holds {[p.name for p in found]}")
    return found[0]


def tracked(tree: Path, folder: str, suffixes: tuple[str, ...]) -> set[str]:
    """Paths of the sources below `folder`, as the tree has them."""
    paths = (path.relative_to(tree) for path in (tree / folder).rglob("*"))
    return {
        path.as_posix()
        for path in paths
        if path.suffix in suffixes and not any(part.startswith("build") for part in path.parts)
    }


def check_sdist(tree: Path, sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {str(PurePosixPath(*PurePosixPath(n).parts[1:])) for n in archive.getnames()}
    needed = tracked(tree, "csrc", (".c", ".h", ".txt", ".py", ".sh", ".pml", ".md"))
    needed |= tracked(tree, "python", (".py", ".pyi", ".typed"))
    needed |= tracked(tree, "tests", (".py",)) | tracked(tree, "bench", (".py", ".json"))
    needed |= tracked(tree, "docs", (".md", ".py", ".svg"))
    needed |= tracked(tree, ".ci", ("", ".py", ".supp"))
    needed |= {path.name for path in tree.glob("*.md")} | {"LICENSE", "pyproject.toml", "setup.py"}
    if missing := sorted(needed - names):
        sys.exit(f"{sdist.name} lacks {missing}")
    if built := sorted(n for n in names if n.endswith((".so", ".o", ".pyc"))):
        sys.exit(f"{sdist.name} carries built files: {built}")


def check_wheel(tree: Path, wheel: Path) -> None:
    free_threaded = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    abi3 = "-cp311-abi3-" in wheel.name
    if abi3 == free_threaded:
        sys.exit(f"{wheel.name}: abi3 belongs to the interpreters with a GIL, and only to them")
    names = set(zipfile.ZipFile(wheel).namelist())
    package = {n for n in names if not n.split("/")[0].endswith(".dist-info")}
    wanted = {n.removeprefix("python/") for n in tracked(tree, "python", (".py", ".pyi", ".typed"))}
    extensions = {n for n in package if n.endswith(".so")}
    if len(extensions) != 1:
        sys.exit(f"{wheel.name} should carry one extension, and carries {sorted(extensions)}")
    if abi3 and not next(iter(extensions)).endswith(".abi3.so"):
        sys.exit(f"{wheel.name} is tagged abi3, its extension {sorted(extensions)} is not")
    if package - extensions != wanted:
        sys.exit(
            f"{wheel.name} lacks {sorted(wanted - package)} "
            f"and carries {sorted(package - extensions - wanted)} besides the package"
        )
    if not any(n.endswith("/licenses/LICENSE") for n in names):
        sys.exit(f"{wheel.name} carries no licence")


def main() -> None:
    tree, dist = Path(sys.argv[1]), Path(sys.argv[2])
    sdist, wheel = only(dist, "*.tar.gz"), only(dist, "*.whl")
    check_sdist(tree, sdist)
    check_wheel(tree, wheel)
    size = wheel.stat().st_size // 1024
    print(f"{sdist.name} and {wheel.name} ({size} KiB) hold what they should")


if __name__ == "__main__":
    main()
