// Calls of the public APIs, in the name of the tenant that is picked.

import { load } from "./store.js";

export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export function tenant() {
  return load("tenant", "");
}

export function headers() {
  const t = tenant();
  return t ? { "X-Scope-OrgID": t } : {};
}

export function url(path, params) {
  const search = new URLSearchParams();
  for (const [k, v] of Object.entries(params ?? {}))
    for (const one of Array.isArray(v) ? v : [v])
      if (one !== undefined && one !== null && one !== "") search.append(k, one);
  const text = search.toString();
  return text ? `${path}?${text}` : path;
}

// Prometheus' and Loki's errors are JSON, Tempo's are text.
function reason(status, text) {
  try {
    const body = JSON.parse(text);
    return body.error ?? body.message ?? (typeof body === "string" ? body : text);
  } catch {
    return text.trim() || `HTTP status ${status}`;
  }
}

async function call(path, { method = "GET", params, body, signal, accept = "application/json", more } = {}) {
  let answer;
  try {
    answer = await fetch(url(path, params), {
      method, signal, body,
      headers: { Accept: accept, ...headers(), ...more, ...(body ? { "Content-Type": "application/json" } : {}) },
    });
  } catch (e) {
    if (e.name === "AbortError") throw e;
    throw new ApiError(0, `${path}: no answer (${e.message})`);
  }
  const text = await answer.text();
  if (!answer.ok) throw new ApiError(answer.status, `${path}: ${reason(answer.status, text)}`);
  return text;
}

export async function getText(path, params, signal) {
  return call(path, { params, signal, accept: "*/*" });
}

export async function getJson(path, params, signal, more) {
  return JSON.parse(await call(path, { params, signal, more }));
}

export async function send(method, path, value, signal) {
  const text = await call(path, { method, body: value === undefined ? undefined : JSON.stringify(value), signal });
  return text ? JSON.parse(text) : null;
}

// The frame of Prometheus' and Loki's APIs: {data, warnings}. more: further headers.
export async function ask(path, params, signal, more) {
  const body = await getJson(path, params, signal, more);
  return { data: body.data, warnings: [...(body.warnings ?? []), ...(body.infos ?? [])] };
}

export function isAborted(e) {
  return e?.name === "AbortError";
}
