"""Writes `docs/client/reid_client.py`, the Python client, from the API's own description.

.venv/bin/python scripts/write_client.py [--check]

With `--check` nothing is written; exit code 1 says that the file is not what the API is.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path
from textwrap import fill, indent
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

FILE = ROOT / "docs" / "client" / "reid_client.py"
TEMPLATE = Path(__file__).with_name("client_template.py.txt")
# where a route's own name says too little beside all others
NAMES = {
    "add": "add_queries",
    "export": "export_query_set",
    "give": "give_verdict",
    "images": "collection_images",
    "ingest": "ingest_image",
    "matches": "run_matches",
    "remove": "remove_query_set",
    "run": "run_query_set",
    "withdraw": "withdraw_verdict",
}
JSON, FORM = "application/json", "multipart/form-data"
PLAIN = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}


def document() -> dict[str, Any]:
    from sqlalchemy import create_engine

    from web.app import create_app

    nowhere = create_engine("postgresql+psycopg://nobody@127.0.0.1:1/nothing")
    return create_app(nowhere).openapi()


def type_of(schema: dict[str, Any]) -> str:
    """A schema as an annotation.

    >>> type_of({"anyOf": [{"type": "number"}, {"const": "auto"}, {"type": "null"}]})
    "float | Literal['auto'] | None"
    """
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(type_of(one) for one in schema["anyOf"]))
    values = schema.get("enum") or ([schema["const"]] if "const" in schema else None)
    if values:
        return f"Literal[{', '.join(map(repr, values))}]"
    if schema.get("type") == "array":
        return f"list[{type_of(schema.get('items', {}))}]"
    if schema.get("type") == "object":
        return f"dict[str, {type_of(schema.get('additionalProperties') or {})}]"
    return PLAIN.get(schema.get("type", ""), "Any")


def record(name: str, schema: dict[str, Any]) -> str:
    """What an answer or a body holds, as a TypedDict; `Required` is what a body must hold."""
    needed = set(schema.get("required", ())) if name.endswith("Body") else set()
    fields = {
        field: f"Required[{type_of(kind)}]" if field in needed else type_of(kind)
        for field, kind in schema.get("properties", {}).items()
        if field != "image"  # a file, which is no field
    }
    pairs = ", ".join(f'"{field}": {kind}' for field, kind in fields.items())
    return fill(
        f'{name} = TypedDict("{name}", {{{pairs}}}, total=False)',
        100,
        subsequent_indent="    ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def in_order(schemas: dict[str, Any], wanted: set[str]) -> list[str]:
    """Each after those that it is made of."""
    done: list[str] = []
    while left := sorted(wanted - set(done)):
        done += [name for name in left if named(schemas[name]) <= {name, *done}]
    return done


def named(schema: Any) -> set[str]:
    """Every schema that is referred to."""
    if isinstance(schema, dict):
        own = {schema["$ref"].rpartition("/")[2]} if "$ref" in schema else set()
        return own.union(*(named(value) for value in schema.values()))
    return set().union(*(named(value) for value in schema)) if isinstance(schema, list) else set()


def method(verb: str, path: str, operation: dict[str, Any], schemas: dict[str, Any]) -> str:
    """One operation as a method, and one more where it can answer with a table."""
    name = name_of(operation)
    good = next(r for s, r in operation["responses"].items() if s.startswith("2"))
    content = good.get("content", {})
    answer = type_of(content[JSON]["schema"]) if JSON in content else "bytes" if content else "None"
    arguments, sent = parts_of(operation, schemas)
    step = re.sub(r"{(\w+)}", r"{_step(\1)}", path)
    address = ("f" if "{" in step else "") + repr(step)
    said = " ".join(operation["description"].split("\n\n")[0].split())
    call = ", ".join([repr(verb.upper()), address, *sent])
    text = written(name, arguments, answer, said, call)
    if any("arrow" in kind for kind in content):
        said = "The same as a table: `media_type` is ARROW or PARQUET."
        arguments = ["media_type: str", *arguments]
        text += written(f"{name}_table", arguments, "bytes", said, f"{call}, accept=media_type")
    return text


def name_of(operation: dict[str, Any]) -> str:
    own = re.sub(r"_api_v1_.*", "", operation["operationId"])
    return NAMES.get(own, own)


def parts_of(operation: dict[str, Any], schemas: dict[str, Any]) -> tuple[list[str], list[str]]:
    """(a method's parameters, what it sends). A body that has no name yet is given one."""
    parameters = operation.get("parameters", [])
    arguments = [f"{p['name']}: {type_of(p['schema'])}" for p in parameters if p["in"] == "path"]
    sent = []
    bodies = operation.get("requestBody", {}).get("content", {})
    body = (bodies.get(JSON) or bodies.get(FORM) or {}).get("schema")
    if body:
        name = type_of(body) if "$ref" in body else _camel(name_of(operation)) + "Body"
        schemas.setdefault(name, body)
        needed = schemas[name].get("required")
        arguments.append(f"body: {name}" + ("" if needed else " | None = None"))
        sent.append("body=body" if needed else "body=body or {}")
    if FORM in bodies:
        arguments.append("images: Sequence[tuple[str, bytes]] = ()")
        sent.append("images=images")
    asked = [p for p in parameters if p["in"] == "query"]
    if asked:
        arguments += ["*", *(f"{p['name']}: {optional(p['schema'])} = None" for p in asked)]
        sent.append("query={" + ", ".join(f"{p['name']!r}: {p['name']}" for p in asked) + "}")
    return arguments, sent


def _camel(name: str) -> str:
    return "".join(word.title() for word in name.split("_"))


def optional(schema: dict[str, Any]) -> str:
    kind = type_of(schema)
    return kind if kind.endswith("None") else f"{kind} | None"


def written(name: str, arguments: list[str], answer: str, said: str, call: str) -> str:
    last = f"self._send({call})"
    if answer == "bytes":
        last = f"return {last}"
    elif answer != "None":
        last = f"return self._json({answer}, {call})"
    return (
        f"    def {name}({', '.join(['self', *arguments])}) -> {answer}:\n"
        + indent(fill(f'"""{said}"""', 90), " " * 8)
        + f"\n        {last}\n\n"
    )


def client() -> str:
    described = document()
    schemas = described["components"]["schemas"]
    operations = [
        (verb, path, operation)
        for path, verbs in sorted(described["paths"].items())
        for verb, operation in sorted(verbs.items())
    ]
    methods = "".join(method(*operation, schemas) for operation in operations)
    answers = [r for _, _, op in operations for s, r in op["responses"].items() if s[0] == "2"]
    wanted, more = set[str](), named(answers) | {name for name in schemas if name.endswith("Body")}
    while more - wanted:
        wanted |= more
        more = named([schemas[name] for name in wanted])
    records = [record(name, schemas[name]) for name in in_order(schemas, wanted)]
    text = TEMPLATE.read_text()
    text = text.replace("# RECORDS", "# fmt: off\n" + "\n".join(records) + "\n# fmt: on")
    text = text.replace("    # METHODS", methods.rstrip())
    ruff = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(FILE), "-"]
    return subprocess.run(ruff, input=text, capture_output=True, text=True, check=True).stdout


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    text = client()
    if given.check:
        if FILE.exists() and FILE.read_text() == text:
            return 0
        print(
            "docs/client/reid_client.py is out of date: run scripts/write_client.py",
            file=sys.stderr,
        )
        return 1
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
