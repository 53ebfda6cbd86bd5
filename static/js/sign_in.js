// Asks before the form is sent whether a puzzle has to be solved for the address, and solves it: the password is typed
// once. Where anything of it fails the form is sent as it is, and the page that answers says what is missing.

import { solve } from "./proof.js";

const form = document.getElementById("sign_in");
const status = document.getElementById("proof_status");
const button = form.querySelector("button[type=submit]");
let sending = false;

// Not <noscript>: scripts may also be blocked, or not arrive.
document.getElementById("without_scripts")?.remove();

async function puzzleFor(email) {
  const body = new FormData();
  body.set("csrfmiddlewaretoken", form.elements.csrfmiddlewaretoken.value);
  body.set("email", email);
  const answer = await fetch(form.dataset.puzzleAt, { method: "POST", body });
  return answer.ok ? (await answer.json()).puzzle : null;
}

async function prove() {
  const puzzle = await puzzleFor(form.elements.email.value);
  if (!puzzle) return;
  status.hidden = false;
  form.elements.proof.value = await solve(puzzle);
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (sending) return;
  sending = true;
  button.disabled = true;
  try {
    await prove();
  } catch {
    // The network is away, or the answer is none of ours: sending shows it.
  }
  form.submit();
});

// Coming back to a page that the browser had kept, the form may be sent anew.
addEventListener("pageshow", () => {
  sending = false;
  button.disabled = false;
  status.hidden = true;
});
