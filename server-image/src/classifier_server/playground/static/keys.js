// The API key: kept for this tab and this path only, and asked for when the server wants one.

import { byId } from "./dom.js";

// Two deployments may share a host, each under a path of its own.
const STORED = `api-key:${new URL(".", document.baseURI).pathname}`;

let asking = null;
let refused = false;
const listeners = [];

export const keys = {
  get current() {
    return sessionStorage.getItem(STORED);
  },

  /** Whether calls need a key, as far as is known. */
  get needed() {
    return refused || keys.current !== null;
  },

  /** The server asked for a key. */
  refused(reason) {
    if (!refused) {
      refused = true;
      told();
    }
    return keys.ask(reason);
  },

  /** Asks the person once, however many requests need it; answers whether there is a new key. */
  ask(reason) {
    asking ??= dialog(reason).finally(() => (asking = null));
    return asking;
  },

  forget() {
    sessionStorage.removeItem(STORED);
    told();
  },

  onChange(listener) {
    listeners.push(listener);
  },
};

function told() {
  for (const listener of listeners) listener();
}

function dialog(reason) {
  const box = byId("key-dialog");
  const field = byId("key-field");
  byId("key-reason").textContent = reason;
  byId("key-forget").hidden = keys.current === null;
  field.value = "";
  box.returnValue = "";
  box.showModal();
  return new Promise((resolve) => {
    box.addEventListener(
      "close",
      () => {
        const key = field.value.trim();
        field.value = "";
        if (box.returnValue === "forget") keys.forget();
        const entered = box.returnValue === "use" && key !== "";
        if (entered) {
          sessionStorage.setItem(STORED, key);
          told();
        }
        resolve(entered);
      },
      { once: true },
    );
  });
}

export function setUpKeys() {
  const box = byId("key-dialog");
  box.querySelector("form").addEventListener("submit", (event) => {
    event.preventDefault();
    box.close(event.submitter?.value ?? "use");
  });
}
