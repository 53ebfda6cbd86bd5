// Short notices at the corner, with one thing to do at most. `toastLater` survives the next page load.
import { icon } from "./icons.js";

const SHOWN_MS = 8000;
const LATER = "switchboard:toast";

/**
 * @typedef {object} Toast
 * @property {string} text
 * @property {boolean} [failed]
 * @property {string} [action] the button's word
 * @property {() => void} [onAction]
 */

/** @param {Toast} toast @returns {HTMLElement} */
export function showToast({ text, failed = false, action, onAction }) {
  const box = document.createElement("div");
  box.className = "toast";
  box.dataset.state = failed ? "failed" : "done";
  const words = document.createElement("span");
  words.textContent = text;
  box.append(icon(failed ? "alert" : "check"), words);
  if (action) box.append(button(action, () => (box.remove(), onAction?.())));
  document.getElementById("toasts").append(box);
  let timer = setTimeout(() => box.remove(), SHOWN_MS);
  box.addEventListener("pointerenter", () => clearTimeout(timer));
  box.addEventListener("pointerleave", () => (timer = setTimeout(() => box.remove(), SHOWN_MS / 2)));
  return box;
}

/** @param {string} word @param {() => void} onClick */
function button(word, onClick) {
  const element = document.createElement("button");
  element.type = "button";
  element.className = "tool";
  element.textContent = word;
  element.addEventListener("click", onClick);
  return element;
}

/** @param {{text: string, kind: string, id: string}} notice shown after the next page load */
export function toastLater(notice) {
  try {
    sessionStorage.setItem(LATER, JSON.stringify(notice));
  } catch {
    // The page itself shows that the chat is gone.
  }
}

/** @returns {{text: string, kind: string, id: string}|null} what `toastLater` left, once */
export function takeLaterToast() {
  try {
    const notice = JSON.parse(sessionStorage.getItem(LATER) ?? "null");
    sessionStorage.removeItem(LATER);
    return notice;
  } catch {
    return null;
  }
}
