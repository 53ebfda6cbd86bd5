// What the models of this chat are told before each question.
import { patch } from "./request.js";
import { showToast } from "./toast.js";

let atFirst = "";

/** @param {() => string|null} openId */
export function startInstructions(openId) {
  const panel = document.getElementById("instructions");
  const form = panel.querySelector("form");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (openId() === null) {
      atFirst = form.elements.instructions.value.trim();
      showInstructions(Boolean(atFirst));
      panel.hidePopover();
      return;
    }
    const button = form.querySelector("button[type=submit]");
    button.disabled = true;
    try {
      const { instructions } = await patch(`/api/v1/conversations/${openId()}/`, { instructions: form.elements.instructions.value });
      form.elements.instructions.value = instructions;
      showInstructions(Boolean(instructions));
      panel.hidePopover();
      showToast({ text: instructions ? "Models are told from the next question on." : "Models are told nothing more in this chat." });
    } catch (error) {
      showToast({ text: error instanceof Error ? error.message : "Not saved.", failed: true });
    } finally {
      button.disabled = false;
    }
  });
}

/** What was saved for a chat that is yet to begin goes with its first question. @returns {string|undefined} */
export function firstInstructions() {
  return atFirst || undefined;
}

/** @param {boolean} told */
function showInstructions(told) {
  document.getElementById("open-instructions").toggleAttribute("data-told", told);
}
