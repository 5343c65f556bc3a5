"""Operators on rows that an index list selects. A row is what one index of the first dimension
selects; INDICES are int32 or int64, not negative.

Indices and lengths are checked before the first write, and an index that another thread changes
meanwhile is never followed out of the tensor: the operator then fails after a part of its work.
None of these blocks.

ScatterWeightedSum is the one for blobs that several threads share: each element changes in one
atomic operation (relaxed: it does not order other memory), and no update is lost. The others use
plain vector loads and stores: of a row that changes meanwhile they see, or leave, a mixture of
old and new elements.

Shapes must be exact, where Caffe2 compares sizes only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from caffe2op.operators.schema import Schema, register

if TYPE_CHECKING:
    from caffe2op.core.defs import OperatorDef

MAX_TERMS = 16  # of ScatterWeightedSum; as in csrc/kernels_scatter.c

register(
    Schema(
        "Gather",
        (2, 2),
        (1, 1),
        input_names=("DATA", "INDICES"),
        output_names=("OUTPUT",),
        doc="Rows of DATA (any dtype, one dimension or more), in the order of INDICES (any shape). "
        "OUTPUT has the shape of INDICES, then that of a row.",
    )
)
register(
    Schema(
        "SparseLengthsSum",
        (3, 3),
        (1, 1),
        input_names=("DATA", "INDICES", "LENGTHS"),
        output_names=("OUTPUT",),
        doc="Sums of rows of DATA (float32 or float64): row s of OUTPUT adds up the next "
        "LENGTHS[s] rows that INDICES (one dimension) select. LENGTHS is int32, one dimension, "
        "none negative, and adds up to the number of indices. The sum of no rows is 0.",
    )
)
register(
    Schema(
        "SparseLengthsWeightedSum",
        (4, 4),
        (1, 1),
        input_names=("DATA", "WEIGHTS", "INDICES", "LENGTHS"),
        output_names=("OUTPUT",),
        doc="SparseLengthsSum, each row multiplied by its weight first. WEIGHTS has DATA's dtype, "
        "and one element for each index.",
    )
)
register(
    Schema(
        "ScatterAssign",
        (3, 3),
        (1, 1),
        input_names=("DATA", "INDICES", "SLICES"),
        output_names=("DATA",),
        enforce_in_place=((0, 0),),
        doc="DATA[INDICES[k]] = SLICES[k], in place; any dtype. Where an index comes twice, the "
        "later row stays. SLICES has the shape of INDICES, then that of a row.",
    )
)


def _check_terms(op: OperatorDef) -> str | None:
    if len(op.input) % 2 == 0:
        return (
            "inputs must be X_0, weight_0, INDICES and then pairs (X_i, weight_i), "
            f"got {len(op.input)}"
        )
    return None


register(
    Schema(
        "ScatterWeightedSum",
        (5, 3 + 2 * MAX_TERMS),
        (1, 1),
        input_names=("X_0", "weight_0", "INDICES", "X_1", "weight_1"),
        output_names=("X_0",),
        enforce_in_place=((0, 0),),
        check=_check_terms,
        doc="X_0[INDICES[k]] = X_0[INDICES[k]] * weight_0 + the sum of weight_i * X_i[k], in place "
        "and atomic for each element: an atomic add when weight_0 is 1, else a compare-exchange "
        "loop. All but INDICES are float32, or all float64; weights have one element; each X_i has "
        "the shape of INDICES, then that of a row. An index that comes twice is applied twice; "
        "where rows have one element and weight_0 is 1, its values may be summed first.",
    )
)
