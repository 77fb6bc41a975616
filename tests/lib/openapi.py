# SPDX-License-Identifier: ISC
"""openapi.py: is a reply what the API's description says of it? Of JSON Schema only what common/openapi.c makes; an unknown field is a
finding, though a reader would pass over it: then the description lacks it."""


def check(spec, schema, value, where="reply"):
    """A list of findings."""
    if "$ref" in schema:
        return check(spec, spec["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]], value, where)
    for key in ("anyOf", "allOf"):
        if key in schema:
            found = [check(spec, one, value, where) for one in schema[key]]
            return [] if [] in found else found[0]
    types = schema.get("type", [])
    types = types if isinstance(types, list) else [types]
    if types and kind(value) not in types and not (kind(value) == "integer" and "number" in types):
        return [f"{where}: {kind(value)}, not {types}: {value!r}"]
    if "enum" in schema and value not in schema["enum"]:
        return [f"{where}: {value!r} is none of {schema['enum']}"]
    if isinstance(value, list):
        return [f for i, v in enumerate(value) for f in check(spec, schema.get("items", {}), v, f"{where}[{i}]")]
    if isinstance(value, dict) and "properties" in schema:
        return check_fields(spec, schema, value, where)
    return []


def check_fields(spec, schema, value, where):
    found = [f"{where}.{k} is absent" for k in schema.get("required", []) if k not in value]
    found += [f"{where}.{k} is not described" for k in value if k not in schema["properties"]]
    for k, v in value.items():
        found += check(spec, schema["properties"].get(k, {}), v, f"{where}.{k}")
    return found


def kind(value):
    return {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object",
            type(None): "null"}[type(value)]


def reply(spec, method, path):
    """What the route answers with: the schema of its first answer."""
    answer = next(iter(spec["paths"][path][method.lower()]["responses"].values()))
    return answer["content"]["application/json"]["schema"]
