"""Gradients of the operators of math.py: sums, products, copies.

Where an input was broadcast, its gradient is the sum over the elements that it took part in.
"""

from __future__ import annotations

from caffe2op.operators.gradient import GradientRequest, register_gradient
from caffe2op.operators.math import BROADCAST
from caffe2op.operators.schema import Schema, register

for _type in ("Add", "Sub", "Mul"):
    register(
        Schema(
            f"{_type}Gradient",
            (3, 3),
            (1, 2),
            BROADCAST,
            input_names=("dC", "A", "B"),
            output_names=("dA", "dB"),
            doc=f"The gradients of {_type}'s inputs: float32 or float64.",
        )
    )


def _binary(r: GradientRequest) -> None:
    outputs = [r.GI(0)]
    if r.wanted[1]:
        outputs.append(r.GI(1))
    r.add(f"{r.op.type}Gradient", [r.GO(0), r.I(0), r.I(1)], outputs, **r.args)


def _sum(r: GradientRequest) -> None:
    for k, wanted in enumerate(r.wanted):
        if wanted:
            r.add("Copy", [r.GO(0)], [r.GI(k)])


def _scale(r: GradientRequest) -> None:
    r.add("Scale", [r.GO(0)], [r.GI(0)], **r.args)


for _type in ("Add", "Sub", "Mul"):
    register_gradient(_type, _binary)
register_gradient("Sum", _sum)
register_gradient("Copy", _sum)
register_gradient("Scale", _scale)
