// What this browser remembers for one person: drafts and choices. Storage may be forbidden or full.

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
  try {
    const key = `switchboard:${owner()}:${name}`;
    if (value === null) localStorage.removeItem(key);
    else localStorage.setItem(key, JSON.stringify(value));
  } catch {
    // Nothing depends on it within this page.
  }
}
