"""Operators one by one, on blobs of the current workspace."""

from __future__ import annotations

from typing import Any

from caffe2op import core, workspace


def run(type_: str, inputs: Any, outputs: Any, **args: Any) -> bool:
    return workspace.RunOperatorOnce(core.CreateOperator(type_, inputs, outputs, **args))


def feed(**blobs: Any) -> None:
    for name, value in blobs.items():
        workspace.FeedBlob(name, value)


def fetch(name: str) -> Any:
    return workspace.FetchBlob(name)
