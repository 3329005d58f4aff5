// Sends the rows of a file: 32 at a time, patiently, and apart from each other where they fail together.

import { ApiError } from "./api.js";
import { passes, patiently } from "./patience.js";

export const BATCH_ROWS = 32;
// A request may have 4 MiB, and a character takes at most three bytes, escaped ones six.
const BATCH_CHARACTERS = 500_000;
const HOPELESS_ROWS = 64;

/**
 * Classifies what has neither `result` nor `fault` of `items`, each {text}: gives every item one of them, in order.
 *
 * `send(texts, signal)` answers a result for each text or throws ApiError. `progress()` is told after each answer,
 * `waiting(seconds, error)` before each pause. Throws what ends it: an error that concerns the deployment and not a
 * text, or the reason of the signal; what was done until then stays.
 */
export async function classifyAll(items, { send, signal, progress, waiting, sleep }) {
  const run = { send, signal, progress, waiting, sleep, failed: 0 };
  for (const batch of batches(items.filter((item) => !item.result && !item.fault))) {
    await classify(batch, run);
  }
}

/** Runs of at most 32 items and about a megabyte. */
export function* batches(items) {
  let batch = [];
  let characters = 0;
  for (const item of items) {
    if (batch.length === BATCH_ROWS || (batch.length && characters + item.text.length > BATCH_CHARACTERS)) {
      yield batch;
      [batch, characters] = [[], 0];
    }
    batch.push(item);
    characters += item.text.length;
  }
  if (batch.length) yield batch;
}

async function classify(batch, run) {
  run.signal.throwIfAborted();
  try {
    const texts = batch.map((item) => item.text);
    const results = await patiently(() => run.send(texts, run.signal), run);
    batch.forEach((item, index) => (item.result = results[index]));
    run.failed = 0;
    run.progress();
  } catch (error) {
    if (!concernsTexts(error)) throw error;
    const place = /^input\[(\d+)\]/.exec(error.field ?? "");
    const culprit = batch.length === 1 ? 0 : place && Number(place[1]) < batch.length ? Number(place[1]) : null;
    if (culprit !== null) {
      fail(batch[culprit], error, run);
      const rest = batch.filter((_, index) => index !== culprit);
      if (rest.length) await classify(rest, run);
    } else {
      const middle = batch.length >> 1;
      await classify(batch.slice(0, middle), run);
      await classify(batch.slice(middle), run);
    }
  }
}

/** Whether a smaller batch may do better. */
function concernsTexts(error) {
  return error instanceof ApiError && !passes(error) && [400, 413, 422, 500].includes(error.status);
}

function fail(item, error, run) {
  run.failed += 1;
  // A server that fails at each text is broken; no need to ask it of every row.
  if (run.failed === HOPELESS_ROWS) throw error;
  item.fault = error.message.replace(/^input(\[\d+\])? /, "");
  run.progress();
}
