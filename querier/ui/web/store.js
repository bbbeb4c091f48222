// What a browser keeps for its user. A browser that refuses storage works, and forgets.

const PREFIX = "orrery.";
const HISTORY_MAX = 100;
const memory = new Map();

export function load(name, otherwise) {
  try {
    const text = localStorage.getItem(PREFIX + name);
    return text === null ? otherwise : JSON.parse(text);
  } catch {
    return memory.has(name) ? memory.get(name) : otherwise;
  }
}

export function save(name, value) {
  memory.set(name, value);
  try {
    localStorage.setItem(PREFIX + name, JSON.stringify(value));
  } catch { /* it is in memory */ }
}

export function remember(lang, query) {
  if (!query.trim()) return;
  const list = load(`history.${lang}`, []).filter((q) => q !== query);
  save(`history.${lang}`, [query, ...list].slice(0, HISTORY_MAX));
}

export function remembered(lang) {
  return load(`history.${lang}`, []);
}
