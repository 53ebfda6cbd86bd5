// "What the model saw": fetched when it is opened for the first time.
import { fetchFragment } from "./request.js";

/** @param {Event} event */
async function fill(event) {
  const fold = event.target;
  if (!(fold instanceof HTMLDetailsElement) || !fold.open || !fold.dataset.url) return;
  const { url } = fold.dataset;
  const body = fold.querySelector(".saw-body");
  delete fold.dataset.url;
  try {
    body.replaceChildren(await fetchFragment(url));
  } catch {
    fold.dataset.url = url;
    body.textContent = "It could not be loaded. Close and open it to try again.";
  }
}

export function startShowingPrompts() {
  // `toggle` does not bubble.
  document.addEventListener("toggle", fill, true);
}
