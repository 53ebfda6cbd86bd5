// A lane's state in one word and one small sign: in its head, its tab and above a single answer.
import { icon } from "./icons.js";

/** @typedef {"waiting"|"thinking"|"streaming"|"stopping"|"done"|"failed"|"stopped"|"partial"|"absent"} LaneState */

/** @type {Record<string, string>} */
const WORDS = {
  waiting: "Waiting",
  thinking: "Thinking",
  streaming: "Answering",
  stopping: "Stopping",
  done: "Done",
  failed: "Failed",
  stopped: "Stopped",
  partial: "Broke off",
  absent: "",
};
const SIGNS = { done: "check", failed: "alert", stopped: "stop", partial: "alert" };

/**
 * @param {Element|null} place @param {LaneState} state
 * @param {{seconds?: string, brief?: boolean}} [options] `brief` leaves the words to screen readers
 */
export function showStatus(place, state, { seconds = "", brief = false } = {}) {
  if (!place || place.dataset.shown === state + seconds) return;
  place.dataset.shown = state + seconds;
  place.dataset.state = state;
  place.replaceChildren();
  if (state === "absent") return;
  const words = document.createElement("span");
  words.textContent = state === "done" && seconds ? seconds : WORDS[state];
  if (brief) words.className = "sr";
  place.append(sign(state), words);
}

/** @param {LaneState} state */
function sign(state) {
  if (state in SIGNS) return icon(SIGNS[state]);
  const spin = document.createElement("span");
  spin.className = "spin";
  spin.setAttribute("aria-hidden", "true");
  return spin;
}
