// The fields that the lines of a query have, by a look at some of them; the values of one that is opened; a press narrows the query.

import { add, button, el, empty, fill, trouble } from "./dom.js";
import { getJson, isAborted } from "./http.js";
import { inNanos } from "./time.js";

const LIMIT = 100, VALUES = 30;

async function showValues(box, field, query, range, signal, narrow) {
  const body = await getJson(`/loki/api/v1/detected_field/${encodeURIComponent(field.label)}/values`, { query, start: inNanos(range.from), end: inNanos(range.to), limit: VALUES }, signal);
  const values = (body.values ?? []).slice(0, VALUES), parser = field.parsers?.[0] ?? null;
  fill(box, values.length ? values.map((v) => button(v, () => narrow(parser ? "field" : "meta", field.label, v, "=", parser), { class: "quiet code", title: "Only these lines" })) : empty("no values"));
}

// A box of them, closed at first; it asks when it is opened.
export function fieldsBox(query, range, signal, narrow) {
  const list = el("div");
  const box = el("details", { class: "fields" }, el("summary", null, "Fields"), list);
  const guard = (where) => (e) => { if (!isAborted(e)) fill(where, trouble(e)); };
  const one = (f) => {
    const values = el("div", { class: "row" });
    const d = el("details", null, el("summary", null, el("span", { class: "code" }, f.label), el("span", { class: "dim" }, ` ${f.type}, about ${f.cardinality} values`)), values);
    d.addEventListener("toggle", () => { if (d.open && !values.firstChild) showValues(values, f, query, range, signal, narrow).catch(guard(values)); });
    return d;
  };
  box.addEventListener("toggle", () => {
    if (!box.open || list.firstChild) return;
    add(list, empty("Asking…"));
    getJson("/loki/api/v1/detected_fields", { query, start: inNanos(range.from), end: inNanos(range.to), limit: LIMIT }, signal)
      .then((body) => fill(list, body.fields?.length ? [...body.fields].sort((a, b) => (a.label < b.label ? -1 : 1)).map(one) : empty("These lines have no fields.")))
      .catch(guard(list));
  });
  return box;
}
