"""The directive `operators-table`: every registered operator type, from its schema."""

from __future__ import annotations

from collections.abc import Iterator

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from caffe2op.operators import schema
from caffe2op.operators.schema import Arg, Schema


def count(bounds: tuple[int, int | None], names: tuple[str, ...]) -> str:
    """How many, and their names where the schema has some."""
    least, most = bounds
    if most == 0:
        return "none"
    some = f"{least} or more" if most is None else str(most) if least == most else f"{least}-{most}"
    return f"{some} ({', '.join(names)})" if names else some


def default(arg: Arg) -> str:
    return "required" if arg.default is schema.REQUIRED else f"default {arg.default!r}"


def pairs(one: Schema) -> str:
    """What may or must be in place, in words."""
    for what, word in ((one.enforce_in_place, "must"), (one.in_place, "may")):
        if what == schema.ONE_TO_ONE:
            return f"each output {word} be the input of the same place"
        if what == schema.ANY_PAIR:
            return f"any output {word} be any input"
        if what:
            each = ", ".join(f"output {o} = input {i}" for i, o in what)
            return f"{word} be in place: {each}"
    return ""


def entry(one: Schema) -> Iterator[str]:
    """One operator, as Markdown."""
    yield f"## {one.type}"
    yield ""
    yield " ".join(one.doc.split()) if one.doc else "*No text.*"
    yield ""
    yield f"- Inputs: {count(one.inputs, one.input_names)}"
    yield f"- Outputs: {count(one.outputs, one.output_names)}"
    if placed := pairs(one):
        yield f"- {placed[0].upper()}{placed[1:]}"
    if one.waits:
        yield "- May wait for another operator: a concurrent step that has it gets a thread"
    for arg in one.args:
        text = f": {arg.doc}" if arg.doc else ""
        yield f"- `{arg.name}` ({arg.kind}, {default(arg)}){text}"
    yield ""


class OperatorsTable(SphinxDirective):
    """All operator types in alphabetical order."""

    def run(self) -> list[nodes.Node]:
        lines = [line for name in schema.registered() for line in entry(schema.lookup(name))]
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("operators-table", OperatorsTable)
    return {"parallel_read_safe": True}
