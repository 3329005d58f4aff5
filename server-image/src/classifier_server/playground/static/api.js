// All talk with the server: keys, errors and clocks.

import { keys } from "./keys.js";

const NO_KEY = "This deployment answers only callers that have an API key.";
const UNKNOWN_KEY = "The deployment does not know the key that was used.";

/** A request that failed. `status` is 0 where no answer came; `retryAfter` is in seconds, or null. */
export class ApiError extends Error {
  constructor(status, message, { field = null, retryAfter = null } = {}) {
    super(message);
    this.status = status;
    this.field = field;
    this.retryAfter = retryAfter;
  }
}

/** Paths are relative to the page, which may stand behind a prefix. */
export const address = (path) => new URL(path, document.baseURI).href;

/**
 * Sends a request and reads a JSON answer; after a 401 it asks for a key and sends it again.
 * Answers {body, headers, milliseconds}; throws ApiError, or an AbortError when `signal` says so.
 */
export async function call(path, { body, signal } = {}) {
  for (;;) {
    const key = keys.current;
    const headers = { accept: "application/json" };
    if (key !== null) headers["x-api-key"] = key;
    if (body !== undefined) headers["content-type"] = "application/json";
    const begun = performance.now();
    const { response, answer } = await exchange(address(path), {
      method: body === undefined ? "GET" : "POST",
      body: body === undefined ? undefined : JSON.stringify(body),
      headers,
      cache: "no-store",
      signal,
    });
    if (response.ok) {
      if (answer === undefined) throw new ApiError(0, "The answer is not JSON: does this address lead to the server?");
      return { body: answer, headers: response.headers, milliseconds: performance.now() - begun };
    }
    const error = refusal(response, answer);
    if (response.status !== 401) throw error;
    // Another request may have been given a new key meanwhile.
    if (keys.current === key && !(await keys.refused(key === null ? NO_KEY : UNKNOWN_KEY))) throw error;
    signal?.throwIfAborted();
  }
}

async function exchange(url, options) {
  try {
    const response = await fetch(url, options);
    const text = await response.text();
    return { response, answer: parsed(text) };
  } catch (error) {
    if (options.signal?.aborted) throw options.signal.reason;
    throw new ApiError(0, "The server cannot be reached.", { cause: error });
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function refusal(response, answer) {
  const detail = answer?.error ?? {};
  const message = detail.message ?? (typeof detail === "string" ? detail : `The server answered ${response.status}.`);
  return new ApiError(response.status, message, {
    field: detail.param ?? null,
    retryAfter: seconds(response.headers.get("retry-after")),
  });
}

/** Retry-After is a number of seconds or a date. */
export function seconds(value, now = Date.now()) {
  if (value === null) return null;
  if (/^\d+$/.test(value)) return Number(value);
  const date = Date.parse(value);
  return Number.isNaN(date) ? null : Math.max(0, (date - now) / 1000);
}

/** The stages of Server-Timing, in milliseconds by name. */
export function stages(header) {
  const found = {};
  for (const entry of (header ?? "").split(",")) {
    const match = /^\s*([\w-]+)\s*;.*?\bdur=([\d.]+)/.exec(entry);
    if (match) found[match[1]] = Number(match[2]);
  }
  return found;
}

const READINESS_MS = 10_000;

/** What the server says of itself without a key; null where it does not answer in time. */
export async function readiness() {
  try {
    const response = await fetch(address("ready"), { cache: "no-store", signal: AbortSignal.timeout(READINESS_MS) });
    return { ready: response.ok, ...(await response.json()) };
  } catch {
    return null;
  }
}
