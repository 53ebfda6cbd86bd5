// What the models of this chat are told before each question.
import { patch } from "./request.js";
import { showToast } from "./toast.js";

/** @param {() => string|null} openId */
export function startInstructions(openId) {
  const panel = document.getElementById("instructions");
  const form = panel.querySelector("form");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
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

/** A chat that was new has the control from its first question on. @param {boolean} [told] */
export function showInstructions(told = false) {
  const button = document.getElementById("open-instructions");
  button.hidden = false;
  button.toggleAttribute("data-told", told);
}
