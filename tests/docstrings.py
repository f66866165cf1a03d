"""What is written from docstrings: the API reference, and the modules on the page about architecture.

The source is read, not imported: a field's docstring and the default that stands for it are nowhere else.
`python -m tests.reference` writes both again.
"""

from __future__ import annotations

import ast
import itertools
import re
import textwrap
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).parent.parent
REFERENCE = ROOT / "docs" / "reference.md"
ARCHITECTURE = ROOT / "docs" / "architecture.md"
PUBLIC = {
    "mollm": ("MoLLM", "create_graph", "load_config"),
    "mollm.options": None,
    "mollm.types": None,
    "mollm.events": None,
    "mollm.plain": None,
    "mollm.errors": None,
    "mollm.extending": None,
    "mollm.sandbox": None,
    "mollm.server": ("create_app",),
}
"""Module to the names that are described there, in this order; None: all that it lists or defines."""
HEAD = """# API reference

This page is written from the docstrings by `uv run python -m tests.reference`.
[python.md](python.md) introduces the same names with programs that run.
[extending.md](extending.md) shows how to implement the protocols.
"""
WIDTH = 112
GIVEN = ("Calls",)
"""Classes whose objects a caller is given; how they are made is nobody's business."""

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
Definition: TypeAlias = ast.ClassDef | Function | ast.AnnAssign | ast.Assign


class Field(NamedTuple):
    """A field of a class, or a property."""

    name: str
    kind: str
    default: str
    note: str


@dataclass(frozen=True)
class Module:
    """A module as its source says."""

    name: str
    docstring: str
    definitions: dict[str, Definition]
    notes: dict[str, str]
    """Docstrings of what is assigned."""
    imported: dict[str, str]
    """Name to the module it comes from."""


def reference_text() -> str:
    """The API reference."""
    rows = [f"| [`{name}`](#module-{name.replace('.', '')}) | {', '.join(_index(name))} |\n" for name in PUBLIC]
    contents = "| module | names |\n|---|---|\n" + "".join(rows)
    sections = [_section(name, names) for name, names in PUBLIC.items()]
    return "\n".join([HEAD, contents, *sections]).rstrip() + "\n"


def tree_text() -> str:
    """Every module of the package with the first line of its docstring."""
    return "mollm/\n" + "".join(_branch(ROOT / "mollm", FLAT, ROOMS, "  "))


def layers_text() -> str:
    """The layers that import-linter enforces, uppermost first."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    return "".join(f"{layer}\n" for layer in layers)


def architecture_text(page: str) -> str:
    """The page with its layers and its tree as they should be."""
    page = re.sub(r"^__main__\n(?:[^`\n]+\n)*", lambda _: layers_text(), page, flags=re.MULTILINE)
    return re.sub(r"^mollm/\n(?:  .*\n)+", lambda _: tree_text(), page, flags=re.MULTILINE)


# The tree


FLAT = (
    *("flow", "run", "limits", "mixture", "workers", "answering"),
    *("graph", "api", "catalog", "pool", "prompts", "messages", "conversion"),
    *("types", "options", "errors", "extending", "loops"),
)
ROOMS = ("routing", "aggregation", "calling", "llms", "final", "observing", "config", "server", "cli")
FIRST = ("base", "app", "main", "load")


def _branch(folder: Path, files: Iterable[str], rooms: Iterable[str], indent: str) -> Iterator[str]:
    modules = {path.stem: path for path in folder.glob("*.py") if not path.stem.startswith("__")}
    for name in _ordered(modules, files):
        yield _line(f"{indent}{name}.py", _read(modules[name]).docstring)
    folders = {path.parent.name: path.parent for path in folder.glob("*/__init__.py")}
    for name in _ordered(folders, rooms):
        yield _line(f"{indent}{name}/", _read(folders[name] / "__init__.py").docstring)
        yield from _branch(folders[name], FIRST, (), f"{indent}  ")


def _ordered(found: Iterable[str], first: Iterable[str]) -> list[str]:
    known = [name for name in first if name in found]
    return known + sorted(set(found) - set(known))


def _line(name: str, docstring: str) -> str:
    text = docstring.partition("\n")[0].rstrip(".")
    wrapped = textwrap.wrap(text, WIDTH - 28, break_on_hyphens=False) or [""]
    return "".join(f"{name if not index else '':<28}{line}".rstrip() + "\n" for index, line in enumerate(wrapped))


# The reference


def _index(module: str) -> Iterator[str]:
    names = [name for name in _listed(_module(module)) if name[0] != "_" and not _is_tabled(name, module)]
    yield from dict.fromkeys(_link(name, module) for name in names)


def _section(module: str, names: tuple[str, ...] | None) -> str:
    found = _module(module)
    home = {name: _resolve(module, name) for name in names or _listed(found)}
    here = {name: origin for name, origin in home.items() if _shown_in(name, origin) == module}
    parts = [f"## Module `{module}`\n", _markdown(found.docstring.partition("\n\n")[0])]
    kinds = [(name, origin, origin.definitions[name]) for name, origin in here.items()]
    classes = [(name, origin, node) for name, origin, node in kinds if isinstance(node, ast.ClassDef)]
    errors = [entry for entry in classes if _is_error(entry[2], entry[1])]
    parts += [_class(name, node) for name, origin, node in classes if (name, origin, node) not in errors]
    parts += [_errors(errors)] if errors else []
    parts += [_function(node, name, "###") for name, _, node in kinds if isinstance(node, Function)]
    values = [(name, origin, node) for name, origin, node in kinds if isinstance(node, ast.Assign | ast.AnnAssign)]
    return "\n".join([*parts, _values(values)] if values else parts)


def _class(name: str, node: ast.ClassDef) -> str:
    bases = [_code(base) for base in node.bases if _code(base) not in ("Protocol", "TypedDict")]
    made = next((item for item in node.body if isinstance(item, Function) and item.name == "__init__"), None)
    parts = [f"### `{name}`\n"]
    if "Protocol" in map(_code, node.bases):
        parts.append("A protocol: whatever has these members satisfies it.\n")
    if bases:
        parts.append(f"Extends {', '.join(f'`{base}`' for base in bases)}.\n")
    if made and name not in GIVEN:
        parts.append(_signature(made, name))
    parts.append(_markdown(ast.get_docstring(node) or ""))
    if made and name not in GIVEN:
        parts.append(_markdown((ast.get_docstring(made) or "").partition("\n\n")[2]))
    parts.append(_table([*_fields(node), *_properties(node)]))
    parts += [_function(method, f"{name}.{method.name}", "####") for method in _methods(node)]
    return "\n".join(part for part in parts if part)


def _fields(node: ast.ClassDef) -> Iterator[Field]:
    notes = _notes(node.body)
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name) and item.target.id[0] != "_":
            name, default = item.target.id, f"`{_default(item.value)}`" if item.value else ""
            yield Field(name, _code(item.annotation), default, " ".join(notes.get(name, "").split()))


def _properties(node: ast.ClassDef) -> Iterator[Field]:
    for item in node.body:
        if isinstance(item, Function) and _is_property(item) and item.name[0] != "_":
            yield Field(item.name, _code(item.returns), "property", " ".join((ast.get_docstring(item) or "").split()))


def _table(fields: list[Field]) -> str:
    if not any(field.default or field.note for field in fields):
        listed = ", ".join(f"`{field.name}: {field.kind}`" for field in fields)
        return f"Fields: {listed}.\n" if fields else ""
    rows = [
        f"| `{name}` | `{kind}` | {default} | {note} |\n"
        for name, kind, default, note in (tuple(part.replace("|", "\\|") for part in field) for field in fields)
    ]
    return "| field | type | default | |\n|---|---|---|---|\n" + "".join(rows)


def _methods(node: ast.ClassDef) -> Iterator[Function]:
    for item in node.body:
        if isinstance(item, Function) and item.name[0] != "_" and not _is_property(item):
            yield item


def _is_property(function: Function) -> bool:
    return any(_code(decorator) in ("property", "cached_property") for decorator in function.decorator_list)


def _function(node: Function, name: str, level: str) -> str:
    parts = [f"{level} `{name}()`\n", _signature(node, node.name), _markdown(ast.get_docstring(node) or "")]
    return "\n".join(parts)


def _signature(node: Function, name: str) -> str:
    given = list(_parameters(node))
    is_class = node.name == "__init__"
    start = "" if is_class else "async def " if isinstance(node, ast.AsyncFunctionDef) else "def "
    end = f" -> {_code(node.returns)}" if node.returns and not is_class else ""
    text = f"{start}{name}({', '.join(given)}){end}"
    if len(text) > WIDTH:
        text = f"{start}{name}(\n" + "".join(f"    {one},\n" for one in given) + f"){end}"
    return f"```py\n{text}\n```\n"


def _parameters(node: Function) -> Iterator[str]:
    arguments = node.args
    plain = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(plain) - len(arguments.defaults)) + arguments.defaults
    for argument, default in zip(plain, defaults, strict=True):
        if argument.arg not in ("self", "cls"):
            yield _parameter(argument, default)
    if arguments.vararg or arguments.kwonlyargs:
        yield f"*{_parameter(arguments.vararg, None)}" if arguments.vararg else "*"
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield _parameter(argument, default)
    if arguments.kwarg:
        yield f"**{_parameter(arguments.kwarg, None)}"


def _parameter(argument: ast.arg, default: ast.expr | None) -> str:
    kind = f": {_code(argument.annotation)}" if argument.annotation else ""
    return f"{argument.arg}{kind}" + (f" = {_code(default)}" if default else "")


def _errors(found: list[tuple[str, Module, ast.ClassDef]]) -> str:
    rows = [
        f"| `{name}` | {', '.join(f'`{_code(base)}`' for base in node.bases)} "
        f"| {' '.join((ast.get_docstring(node) or '').partition(chr(10) * 2)[0].split())} |\n"
        for name, _, node in found
    ]
    detailed = [_class(name, node) for name, _, node in found if [*_fields(node)] and _has_notes(node)]
    return "\n".join(["| error | extends | |\n|---|---|---|\n" + "".join(rows), *detailed])


def _has_notes(node: ast.ClassDef) -> bool:
    return bool(_notes(node.body))


def _is_error(node: ast.ClassDef, module: Module) -> bool:
    bases = [_code(base) for base in node.bases]
    return "Exception" in bases or any(
        isinstance(base := module.definitions.get(name), ast.ClassDef) and _is_error(base, module) for name in bases
    )


def _values(found: list[tuple[str, Module, ast.Assign | ast.AnnAssign]]) -> str:
    rows = []
    for name, module, node in found:
        value = _default(node.value) if node.value else ""
        escaped = re.sub(r"\s+", " ", value).replace("|", "\\|")
        rows.append(f"| `{name}` | `{escaped}` | {' '.join(module.notes.get(name, '').split())} |\n")
    return "| name | stands for | |\n|---|---|---|\n" + "".join(rows)


# Docstrings


LABELS = {"Args": "Arguments", "Attributes": "Attributes", "Raises": "Raises", "Returns": "Returns"}
SECTION = re.compile(rf"^({'|'.join(LABELS)}):\n((?:(?: {{4}}.*)?\n?)+)", re.MULTILINE)
ITEM = re.compile(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", re.MULTILINE)


def _markdown(docstring: str) -> str:
    """A docstring with its sections as lists; what was wrapped for the source is one line."""
    text, parts, at = docstring.strip(), [], 0
    for section in SECTION.finditer(f"{text}\n"):
        parts += [*_paragraphs(text[at : section.start()])]
        at = section.end()
        items = ITEM.findall(section[2])
        listed = [f"- `{name}`: {' '.join(what.split())}\n" for name, what in items]
        label = LABELS[section[1]]
        parts.append(f"{label}:\n\n{''.join(listed)}" if items else f"{label}: {' '.join(section[2].split())}\n")
    return "\n".join([*parts, *_paragraphs(text[at:])])


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in filter(None, map(str.strip, text.split("\n\n"))):
        is_laid_out = re.search(r"^(?:- |\| )", paragraph, re.MULTILINE)
        yield f"{paragraph}\n" if is_laid_out else f"{' '.join(paragraph.split())}\n"


# Sources


@cache
def _module(name: str) -> Module:
    path = ROOT.joinpath(*name.split("."))
    return _read(path / "__init__.py" if path.is_dir() else path.with_suffix(".py"))


@cache
def _read(path: Path) -> Module:
    tree = ast.parse(path.read_text("utf-8"))
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    definitions: dict[str, Definition] = {}
    imported: dict[str, str] = {}
    for node in _flat(tree.body):
        match node:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                definitions[node.name] = node
            case ast.AnnAssign(target=ast.Name(id=target)) | ast.Assign(targets=[ast.Name(id=target)]):
                definitions[target] = node
            case ast.ImportFrom(module=str(source), names=aliases):
                imported |= {alias.asname or alias.name: source for alias in aliases}
    return Module(name, ast.get_docstring(tree) or "", definitions, _notes(tree.body), imported)


def _flat(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        yield node
        if isinstance(node, ast.If):
            yield from node.body


def _notes(body: list[ast.stmt]) -> dict[str, str]:
    """What stands below an assignment: its docstring."""
    notes = {}
    for before, node in itertools.pairwise(body):
        match before, node:
            case (
                ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                notes[name] = text.strip()
    return notes


def _resolve(module: str, name: str) -> Module:
    found = _module(module)
    return found if name in found.definitions else _resolve(found.imported[name], name)


def _all(module: Module) -> list[str]:
    listed = module.definitions.get("__all__")
    return ast.literal_eval(listed.value) if isinstance(listed, ast.Assign) else []


def _listed(module: Module) -> list[str]:
    return _all(module) or [name for name in module.definitions if name[0] != "_"]


def _shown_in(name: str, origin: Module) -> str:
    """The module of the page under which a name is described."""
    if origin.name in PUBLIC:
        return origin.name
    return next(module for module, names in PUBLIC.items() if name in (names or _all(_module(module))))


def _link(name: str, module: str) -> str:
    origin = _resolve(module, name)
    node = origin.definitions[name]
    if isinstance(node, ast.ClassDef) and _is_error(node, origin):
        label = "every exception" if module == origin.name else f"`{name}`"
        return f"[{label}](#module-mollmerrors)"
    call = "()" if isinstance(node, Function) else ""
    return f"[`{name}{call}`](#{name.lower()})"


def _is_tabled(name: str, module: str) -> bool:
    return isinstance(_resolve(module, name).definitions[name], ast.Assign | ast.AnnAssign)


def _code(node: ast.expr | None) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
        return node.value
    text = ast.unparse(node) if node else ""
    return text if '"' in text else text.replace("'", '"')


def _default(node: ast.expr) -> str:
    if isinstance(node, ast.Call) and _code(node.func) == "field":
        made = next(word.value for word in node.keywords if word.arg in ("default", "default_factory"))
        return {"dict": "{}", "list": "[]", "tuple": "()"}.get(_code(made), _code(made))
    return _code(node)
