"""Whether JSON is what a Swagger 2.0 document says an answer is.

    spec = openapi.Spec(path)
    spec.check("/silences", "get", 200, reply.json)

A property that the document does not name is a failure too (Alertmanager's own clients ignore them, but
a word of ours in somebody else's answer should be meant): extra=... lists those that are.
"""
import datetime
import re

import yaml

TYPES = {"string": str, "array": list, "object": dict, "boolean": bool, "integer": int, "number": (int, float)}


class Spec:
    def __init__(self, path, extra=()):
        with open(path, encoding="utf-8") as f:
            self.doc = yaml.safe_load(f)
        self.extra = set(extra)

    def _follow(self, schema):
        while "$ref" in schema:
            node = self.doc
            for part in schema["$ref"].removeprefix("#/").split("/"):
                node = node[part]
            schema = node
        return schema

    def _whole(self, schema):
        """properties, required, additionalProperties of a schema and all that it is allOf."""
        schema = self._follow(schema)
        props, required, more = dict(schema.get("properties", {})), set(schema.get("required", [])), schema.get(
            "additionalProperties")
        for part in schema.get("allOf", []):
            p, r, m = self._whole(part)
            props.update(p)
            required |= r
            more = more or m
        return props, required, more

    def _object(self, schema, value, at):
        props, required, more = self._whole(schema)
        for key in required - set(value):
            yield f"{at}: {key} is missing"
        for key, v in value.items():
            if key in props:
                yield from self.findings(props[key], v, f"{at}.{key}")
            elif more:
                yield from self.findings(more, v, f"{at}.{key}")
            elif props and key not in self.extra:
                yield f"{at}: {key} is not in the document"

    def findings(self, schema, value, at="$"):
        schema = self._follow(schema)
        kind = schema.get("type", "object" if "allOf" in schema or "properties" in schema else None)
        if kind and (not isinstance(value, TYPES[kind]) or (kind != "boolean" and isinstance(value, bool))):
            yield f"{at}: {kind} is wanted, not {value!r}"
            return
        if "enum" in schema and value not in schema["enum"]:
            yield f"{at}: {value!r} is none of {schema['enum']}"
        if schema.get("format") == "date-time":
            if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", value):
                yield f"{at}: {value!r} is no time"
            else:
                datetime.datetime.fromisoformat(value[:19])
        if kind == "array":
            if len(value) < schema.get("minItems", 0):
                yield f"{at}: {len(value)} items"
            for i, v in enumerate(value):
                yield from self.findings(schema["items"], v, f"{at}[{i}]")
        if kind == "object":
            yield from self._object(schema, value, at)

    def check(self, path, method, status, value):
        """A list of what is wrong."""
        responses = self.doc["paths"][path][method]["responses"]
        if str(status) not in responses:
            return [f"{method} {path}: status {status} is none of {sorted(responses)}"]
        response = self._follow(responses[str(status)])
        return list(self.findings(response["schema"], value)) if "schema" in response else []
