// What this browser remembers for one person: drafts and choices. Storage may be forbidden or full.

let isLeaving = false; // from then on nothing is remembered: pages save their drafts while they close

const owner = () => document.body.dataset.userId || "anyone";

/** @param {string} name @returns {any} the stored value, or null */
export function recall(name) {
  try {
    return JSON.parse(localStorage.getItem(`switchboard:${owner()}:${name}`) ?? "null");
  } catch {
    return null;
  }
}

/** @param {string} name @param {any} value null forgets it */
export function remember(name, value) {
  if (isLeaving) return;
  try {
    const key = `switchboard:${owner()}:${name}`;
    if (value === null) localStorage.removeItem(key);
    else localStorage.setItem(key, JSON.stringify(value));
  } catch {
    // Nothing depends on it within this page.
  }
}

/** Forget what is remembered for this person: whoever uses the browser next is somebody else. */
export function forgetAll() {
  isLeaving = true;
  try {
    const own = `switchboard:${owner()}:`;
    for (const key of Object.keys(localStorage)) if (key.startsWith(own)) localStorage.removeItem(key);
    sessionStorage.clear();
  } catch {
    // What may not be written was not kept either.
  }
}

/** Signing out is a form; what this browser holds goes with it, whether the server answers or not. */
export function forgetOnLeaving() {
  for (const form of document.querySelectorAll("form[data-leaves]")) form.addEventListener("submit", forgetAll);
}
