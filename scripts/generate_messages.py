"""Write js/src/messages.ts, the page's half of the messages that pages send or get.

PYTHONPATH=src python scripts/generate_messages.py            write the file
PYTHONPATH=src python scripts/generate_messages.py --check    exit with 1 when it is out of date
"""

from __future__ import annotations

import ast
import inspect
import json
import sys
import textwrap
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from generated import write_or_compare
from msgspec import Struct

from gpuview.protocol import carrier_messages as carrier_packets
from gpuview.protocol import interaction_messages as interaction
from gpuview.protocol import page_messages as messages

TARGET = Path(__file__).resolve().parent.parent / "js" / "src" / "messages.ts"
SOURCES = "page_, carrier_ and interaction_messages.py in src/gpuview/protocol"
HEADER = f"// Generated from {SOURCES}\n// by scripts/generate_messages.py. Do not edit.\n"
BOTH_WAYS = (messages.Candidates,)
FROM_PAGE = (
    messages.Offer,
    messages.GetPeerConfig,
    messages.Ack,
    messages.Bye,
    messages.KeepsViews,
    messages.Record,
    messages.Room,
    messages.PageLog,
)
FROM_KERNEL = (messages.Answer, messages.Refusal, messages.PeerConfig, messages.Status)
WITH_MEDIA = (messages.Ping, messages.Pong)
CARRIED = (
    carrier_packets.Watch,
    carrier_packets.Received,
    carrier_packets.RequestKeyframe,
    carrier_packets.WantTier,
)
TO_GRID = (carrier_packets.Tiles,)
TUNNEL_FROM_PAGE = (
    carrier_packets.CarrierOpen,
    carrier_packets.CarrierText,
    carrier_packets.CarrierClose,
)
TUNNEL_FROM_KERNEL = (carrier_packets.CarrierData, carrier_packets.CarrierClosed)
FOR_ALL = (interaction.Interaction,)
PARTS = (
    messages.IceServer,
    messages.ColourBar,
    messages.LegendEntry,
    messages.LinkFigures,
    messages.Problem,
    carrier_packets.Tile,
)
INTERACTION_PARTS = tuple(
    kind
    for kind in vars(interaction).values()
    if isinstance(kind, type)
    and issubclass(kind, Struct)
    and not issubclass(kind, messages.Message)
    and kind.__module__ == interaction.__name__
)
MAX_COLUMNS = 100  # as prettier has it
PLAIN = {str: "string", int: "number", float: "number", bool: "boolean"}


def typescript() -> str:
    """Return the whole text of messages.ts."""
    tunnel = (*TUNNEL_FROM_PAGE, *TUNNEL_FROM_KERNEL)
    about_picture = (*INTERACTION_PARTS, *interaction.FROM_VIEW, *FOR_ALL, *interaction.TO_VIEW)
    plain = (*FROM_PAGE, *PARTS, *BOTH_WAYS, *FROM_KERNEL, *WITH_MEDIA, *CARRIED, *TO_GRID)
    kinds = (*plain, *tunnel, *about_picture)
    parts = [HEADER, *("\n".join(_interface(kind)) for kind in kinds)]
    from_page = (*FROM_PAGE, *BOTH_WAYS, *TUNNEL_FROM_PAGE, *interaction.FROM_VIEW)
    from_kernel = (*FROM_KERNEL, *BOTH_WAYS, *TUNNEL_FROM_KERNEL, *FOR_ALL, *interaction.TO_VIEW)
    parts.append(_union("PageMessage", "What a page sends to the kernel.", from_page))
    parts.append(_union("KernelMessage", "What the kernel sends to a page.", from_kernel))
    parts.append(_union("FromView", "What a view says.", interaction.FROM_VIEW))
    parts.append(_union("ToView", "What one view is told.", interaction.TO_VIEW))
    quoted = [f'"{each}"' for each in interaction.EVENT_TYPES]
    parts.append(
        "/** The events of a view. */\nexport type EventType ="
        + "".join(f"\n  | {each}" for each in quoted)
        + ";\n"
    )
    label = interaction.INTERACTION_CHANNEL
    parts.append(f'export const INTERACTION_CHANNEL = "{label}";\n')
    return "\n".join(parts)


def _union(name: str, doc: str, kinds: tuple[type, ...]) -> str:
    members = [kind.__name__ for kind in kinds] or ["never"]
    # As prettier breaks it: in one line, in two, or with a line for each member.
    layouts = (" " + " | ".join(members), "\n  " + " | ".join(members))
    for layout in layouts:
        text = f"export type {name} ={layout};"
        if max(map(len, text.splitlines())) <= MAX_COLUMNS:
            break
    else:
        text = "\n  | ".join((f"export type {name} =", *members)) + ";"
    return f"/** {doc} */\n{text}\n"


def _interface(kind: type[Struct]) -> Iterator[str]:
    yield from _comment(inspect.getdoc(kind) or "", indent="")
    yield f"export interface {kind.__name__} {{"
    if issubclass(kind, messages.Message):
        yield f'  readonly type: "{kind.__name__}";'
    hints, docs = typing.get_type_hints(kind), _field_docs(kind)
    for name in kind.__struct_fields__:
        yield from _comment(docs.get(name, ""), indent="  ")
        hint, is_optional = _without_none(hints[name])
        yield f"  readonly {name}{'?' if is_optional else ''}: {_type(hint)};"
    yield "}\n"


def _without_none(hint: Any) -> tuple[Any, bool]:
    """Split ``X | None`` into X and True: what is None is left out of the JSON object."""
    # Of an annotated type, X | None is a typing.Union.
    is_union = typing.get_origin(hint) in (types.UnionType, typing.Union)
    if not is_union or type(None) not in typing.get_args(hint):
        return hint, False
    (only,) = (part for part in typing.get_args(hint) if part is not type(None))
    return only, True


def _type(hint: Any) -> str:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint == interaction.EventType:
        return "EventType"
    if origin is Literal:
        return " | ".join(json.dumps(value) for value in arguments)
    if origin in (types.UnionType, typing.Union):
        return " | ".join(dict.fromkeys(_type(each) for each in arguments))
    if origin is Annotated:
        return _type(arguments[0])
    if origin is list:
        item = _type(arguments[0])
        return f"({item})[]" if " | " in item else f"{item}[]"
    return PLAIN[hint] if hint in PLAIN else str(hint.__name__)


def _field_docs(kind: type) -> dict[str, str]:
    """Return the string that stands below each field, by the field's name."""
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(node, ast.ClassDef)
    docs = {}
    for field, below in zip(node.body, node.body[1:], strict=False):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(ast.Constant(value=str(doc))):
                docs[name] = inspect.cleandoc(doc)
    return docs


def _comment(doc: str, indent: str) -> Iterator[str]:
    lines = doc.replace("``", "`").splitlines()
    if len(lines) == 1:
        yield f"{indent}/** {lines[0]} */"
    elif lines:
        yield f"{indent}/**"
        yield from (f"{indent} * {line}".rstrip() for line in lines)
        yield f"{indent} */"


if __name__ == "__main__":
    sys.exit(write_or_compare(TARGET, typescript(), __doc__))
