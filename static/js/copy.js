// Copy buttons: of code frames, of whole answers (their Markdown), of any `data-copy-text`,
// and of the list that `data-copy-from` names, a line each.
import { announce } from "./announce.js";
import { showToast } from "./toast.js";

const THANKS_MS = 1600;

export function startCopying() {
  document.addEventListener("click", (event) => {
    const button = /** @type {Element} */ (event.target).closest(
      ".code-copy, [data-action=copy-answer], [data-copy-text], [data-copy-from]",
    );
    if (button instanceof HTMLElement) copy(button);
  });
}

/** @param {HTMLElement} button */
async function copy(button) {
  try {
    await navigator.clipboard.writeText(textFor(button));
    thank(button);
    announce("Copied");
  } catch {
    showToast({ text: "This browser did not allow copying. Select the text instead.", failed: true });
  }
}

/** @param {HTMLElement} button */
function textFor(button) {
  if (button.dataset.copyText) return button.dataset.copyText;
  if (button.dataset.copyFrom) return lines(document.getElementById(button.dataset.copyFrom));
  if (button.classList.contains("code-copy")) return button.closest(".code").querySelector("code").textContent;
  return button.closest(".lane").querySelector("template[data-part=raw]").content.textContent;
}

/** @param {HTMLElement} list */
function lines(list) {
  return Array.from(list.querySelectorAll("code"), (code) => code.textContent).join("\n");
}

/** @param {HTMLElement} button */
function thank(button) {
  const words = button.querySelector("span");
  const use = button.querySelector("use");
  if (words) words.textContent = "Copied";
  use?.setAttribute("href", "#i-check");
  setTimeout(() => {
    if (words) words.textContent = "Copy";
    use?.setAttribute("href", "#i-copy");
  }, THANKS_MS);
}
