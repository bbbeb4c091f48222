// A text area whose colours lie beneath it, with proposals, history, and errors marked in place.
//
//   const ed = editor({lang, value, onRun});  ed.node, ed.value(), ed.fail(message), ed.ok()
//
// Enter runs, shift+enter is a new line; ctrl+space proposes; alt+up and alt+down go through what was asked before.

import { el, fill } from "./dom.js";
import { proposals } from "./complete.js";
import { errorAt, LANGS, tokens } from "./lang.js";
import { remembered } from "./store.js";

let ids = 0;

export function editor({ lang, value, onRun, label }) {
  const id = `ed${++ids}`;
  const area = el("textarea", {
    rows: 1, spellcheck: "false", autocapitalize: "off", autocomplete: "off", value: value ?? "", placeholder: LANGS[lang].example,
    "aria-label": label ?? `${LANGS[lang].name} query`, role: "combobox", "aria-expanded": "false", "aria-controls": `${id}l`, "aria-autocomplete": "list",
  });
  const under = el("pre", { "aria-hidden": "true" });
  const list = el("ul", { class: "proposals", role: "listbox", id: `${id}l`, "aria-label": "Proposals", hidden: true });
  const error = el("div", { class: "trouble", role: "alert", hidden: true });
  const node = el("div", { class: "editor" }, el("div", { class: "layers" }, under, area, list), error);
  let failedAt = -1, open = null, chosen = 0, isPicked = false, asked = 0, past = -1;

  function paint() {
    const text = area.value;
    let at = 0;
    const spans = tokens(lang, text).map((t) => {
      const from = at;
      at += t.text.length;
      const isHere = failedAt >= from && failedAt < at;
      return el("span", { class: `t-${t.kind}${isHere ? " wrong" : ""}` }, t.text);
    });
    if (failedAt >= text.length) spans.push(el("span", { class: "wrong" }, " "));
    fill(under, spans, "\n");
    area.style.setProperty("height", "auto");
    area.style.setProperty("height", `${area.scrollHeight}px`);
  }

  function close() {
    open = null;
    list.hidden = true;
    area.setAttribute("aria-expanded", "false");
    area.removeAttribute("aria-activedescendant");
  }

  function take(i) {
    const one = open.list[i], at = area.selectionStart;
    area.setRangeText(one.insert, at - open.replace, at, "end");
    close();
    changed();
  }

  function draw() {
    fill(list, open.list.map((p, i) => el("li", {
      role: "option", id: `${id}o${i}`, "aria-selected": String(i === chosen), class: `p-${p.kind}`,
      onpointerdown: (e) => { e.preventDefault(); take(i); },
    }, p.text, el("span", { class: "dim" }, ` ${p.kind}`))));
    list.hidden = false;
    area.setAttribute("aria-expanded", "true");
    area.setAttribute("aria-activedescendant", `${id}o${chosen}`);
    list.children[chosen]?.scrollIntoView({ block: "nearest" });
  }

  async function propose() {
    const mine = ++asked;
    const found = await proposals(lang, area.value.slice(0, area.selectionStart));
    if (mine !== asked || document.activeElement !== area) return;
    if (!found.list.length) return close();
    open = found;
    chosen = 0;
    isPicked = false;
    draw();
  }

  function changed() {
    failedAt = -1;
    error.hidden = true;
    paint();
  }

  function fromHistory(by) {
    const list = remembered(lang);
    if (!list.length) return;
    past = Math.max(-1, Math.min(list.length - 1, past + by));
    area.value = past < 0 ? "" : list[past];
    changed();
  }

  area.addEventListener("input", () => { changed(); propose(); });
  area.addEventListener("blur", () => { asked++; close(); });
  area.addEventListener("keydown", (e) => {
    if (e.altKey && (e.key === "ArrowUp" || e.key === "ArrowDown")) {
      fromHistory(e.key === "ArrowUp" ? 1 : -1);
      e.preventDefault();
    } else if (open && (e.key === "ArrowDown" || e.key === "ArrowUp")) {
      chosen = (chosen + (e.key === "ArrowDown" ? 1 : open.list.length - 1)) % open.list.length;
      isPicked = true;
      draw();
      e.preventDefault();
    } else if (open && (e.key === "Tab" || (e.key === "Enter" && isPicked))) { // Enter runs, unless one was gone to
      take(chosen);
      e.preventDefault();
    } else if (open && e.key === "Escape") {
      asked++;
      close();
      e.stopPropagation();
    } else if (e.key === "Enter" && !e.shiftKey) {
      asked++;
      close();
      onRun();
      e.preventDefault();
    } else if (e.key === " " && e.ctrlKey) {
      propose();
      e.preventDefault();
    }
  });
  new ResizeObserver(paint).observe(area.parentNode);
  paint();

  return {
    node,
    value: () => area.value.trim(),
    set(text) { area.value = text; changed(); },
    focus: () => area.focus(),
    fail(message) {
      failedAt = errorAt(message, area.value);
      error.textContent = message;
      error.hidden = false;
      paint();
    },
    ok() { changed(); },
  };
}
