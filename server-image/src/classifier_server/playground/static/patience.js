// Waiting for a server that is busy, loading or asleep.

import { ApiError } from "./api.js";

const MOST_SECONDS = 60;
const TRIES = 12;
// 0: no answer came; the rest say that another time may do.
const PASSING = new Set([0, 408, 429, 502, 503, 504]);

export function passes(error) {
  return error instanceof ApiError && PASSING.has(error.status);
}

/** Seconds until the next try: as the server says, else twice as long each time; a little at random on top. */
export function pause(error, tries, random = Math.random()) {
  const told = error.retryAfter ?? Math.min(MOST_SECONDS, 2 ** tries / 2);
  return Math.min(MOST_SECONDS, told) * (1 + random / 4);
}

/**
 * What `send()` answers, tried again while its errors may pass. `waiting(seconds, error)` is told before each pause.
 * Throws the last error after twelve tries, and the signal's reason when it is aborted.
 */
export async function patiently(send, { signal, waiting, sleep = sleeping }) {
  for (let tries = 1; ; tries += 1) {
    try {
      return await send();
    } catch (error) {
      if (!passes(error) || tries === TRIES) throw error;
      const seconds = pause(error, tries);
      waiting(seconds, error);
      await sleep(seconds, signal);
    }
  }
}

export function sleeping(seconds, signal) {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, 1000 * seconds);
    signal.addEventListener("abort", stop, { once: true });
  });
}
