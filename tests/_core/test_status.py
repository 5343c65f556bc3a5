"""Every status of C has one exception."""

import pytest

from caffe2op._core import OwnerDiedError, ffi, lib, status


def test_every_status_of_the_abi_is_known() -> None:
    codes = ffi.typeof("enum c2_status").elements
    for code, name in codes.items():
        if name != "C2_OK":
            assert "unknown status" not in str(status.error(code)), name


@pytest.mark.parametrize(
    ("name", "exception"),
    [
        ("C2_TIMEOUT", TimeoutError),
        ("C2_OWNER_DIED", OwnerDiedError),
        ("C2_NOT_OWNER", RuntimeError),
        ("C2_INDEX", IndexError),
        ("C2_VALUE", ValueError),
        ("C2_TYPE", TypeError),
        ("C2_OVERFLOW", OverflowError),
        ("C2_NO_MEMORY", MemoryError),
        ("C2_ALIGNMENT", ValueError),
        ("C2_SYSTEM", OSError),
    ],
)
def test_exceptions(name: str, exception: type[Exception]) -> None:
    with pytest.raises(exception, match="what was given"):
        status.check(getattr(lib, name), "what was given")


def test_ok_raises_nothing_and_the_unknown_is_an_error() -> None:
    status.check(lib.C2_OK, "not shown")
    with pytest.raises(RuntimeError, match="unknown status 12345"):
        status.check(12345)
