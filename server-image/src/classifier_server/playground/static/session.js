// What the page knows of the model, and who wants to know when that changes.

import { call } from "./api.js";

export const session = {
  /** The deployment's name, once the server told it. */
  name: null,
  /** The model card, once the model is loaded and the key, if any, is right. */
  card: null,
};

const listeners = [];

export function onSession(listener) {
  listeners.push(listener);
}

export function update(changes) {
  Object.assign(session, changes);
  for (const listener of listeners) listener();
}

let loading = null;

/** Fetches the card, once however many want it. Throws ApiError. */
export function loadCard() {
  loading ??= call("model-card.json")
    .then(({ body }) => update({ card: body, name: body.name }))
    .finally(() => (loading = null));
  return loading;
}

/** The probability from which a label counts; null where the most probable one does, or nothing is known yet. */
export function thresholdOf(label) {
  const { card } = session;
  if (!card || card.task === "Multiclass") return null;
  return Object.hasOwn(card.thresholds, label) ? card.thresholds[label] : 0.5;
}
