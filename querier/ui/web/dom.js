// Elements by one call. The page's policy forbids inline styles and handlers in markup, so nothing here goes
// through innerHTML: what users' systems say is text, never markup.

const SVG = "http://www.w3.org/2000/svg";

function put(node, props) {
  for (const [key, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (key === "class") node.setAttribute("class", value);
    else if (key === "style") for (const [k, v] of Object.entries(value)) node.style.setProperty(k, v);
    else if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (key === "value" || key === "checked" || key === "selected") node[key] = value;
    else node.setAttribute(key, value === true ? "" : value);
  }
}

// Children: nodes, texts, lists of them; null and false are left out.
export function add(node, ...children) {
  for (const c of children.flat(Infinity))
    if (c !== null && c !== undefined && c !== false) node.append(c);
  return node;
}

export function el(name, props, ...children) {
  const node = document.createElement(name);
  put(node, props);
  return add(node, ...children);
}

export function svg(name, props, ...children) {
  const node = document.createElementNS(SVG, name);
  put(node, props);
  return add(node, ...children);
}

export function fill(node, ...children) {
  node.replaceChildren();
  return add(node, ...children);
}

export function button(text, onclick, props) {
  return el("button", { type: "button", onclick, ...props }, text);
}

// What went wrong, where it happened, in words.
export function trouble(error) {
  return el("div", { class: "trouble", role: "alert" }, error?.message ?? String(error));
}

export function empty(text) {
  return el("p", { class: "empty" }, text);
}

// Told to screen readers, and shown for a while.
let timer;
export function say(text) {
  const node = document.getElementById("say");
  node.textContent = text;
  clearTimeout(timer);
  timer = setTimeout(() => { node.textContent = ""; }, 4000);
}

// A table whose headers sort it. columns: {title, value(row), show(row)?, class?}; value is what it is sorted by.
export function table(columns, rows, { caption, sort = null, max = 1000, row: rowProps } = {}) {
  let by = sort, down = true;
  const head = el("tr"), body = el("tbody");
  const draw = () => {
    const sorted = by === null ? rows : [...rows].sort((a, b) => {
      const x = columns[by].value(a), y = columns[by].value(b);
      const order = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y));
      return down ? -order : order;
    });
    fill(head, columns.map((c, i) => el("th", {
      scope: "col", class: c.class, "aria-sort": i === by ? (down ? "descending" : "ascending") : "none",
    }, button(c.title, () => { down = by === i ? !down : true; by = i; draw(); }, { class: "sort" }))));
    fill(body, sorted.slice(0, max).map((r) => el("tr", rowProps?.(r), columns.map((c) =>
      el("td", { class: c.class }, c.show ? c.show(r) : String(c.value(r) ?? ""))))));
    if (sorted.length > max)
      add(body, el("tr", null, el("td", { colspan: columns.length, class: "empty" },
        `${sorted.length - max} more rows are not shown: ask for less`)));
  };
  draw();
  return el("div", { class: "tablebox" }, el("table", null, caption && el("caption", null, caption), el("thead", null, head), body));
}
