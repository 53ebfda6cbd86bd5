// The chat page: puts composer, timeline, transport, scroller and sidebar together.
import { startAppearance } from "./appearance.js";
import { Composer } from "./composer.js";
import { startCopying } from "./copy.js";
import { firstInstructions, startInstructions } from "./instructions.js";
import { fetchFragment, post, Refused } from "./request.js";
import { startShowingPrompts } from "./saw.js";
import { Scroller } from "./scroll.js";
import { showTitle, Sidebar } from "./sidebar.js";
import { forgetOnLeaving } from "./storage.js";
import { Timeline } from "./timeline.js";
import { showToast } from "./toast.js";
import { Transport } from "./transport.js";

const LOST_MS = 1500;
const { chatUrl, loginUrl, tenantId } = document.body.dataset;
const stage = document.getElementById("stage");
const linkLost = document.getElementById("link-lost");
let lostTimer = 0;

const openId = () => stage.dataset.conversationId || null;
const transport = new Transport(tenantId, { onHint, onReady, onDown, onSignedOut });
const composer = new Composer(openId(), { onSend, onStop: () => timeline.stop() });
const timeline = new Timeline(transport, (isStreaming) => composer.setStreaming(isStreaming));
const scroller = new Scroller(timeline.view, timeline.turns, document.getElementById("jump"));
const sidebar = new Sidebar(openId);

/** @param {import("./composer.js").Draft} draft */
async function onSend(draft) {
  const turn = timeline.addQuestion(draft.message, composer.lineup.chosen);
  scroller.toEnd();
  try {
    const { message, models, clientId } = draft;
    const instructions = openId() === null ? firstInstructions() : undefined;
    const question = { client_id: clientId, conversation_id: openId(), message, models, instructions };
    accepted(turn, await transport.ask(question));
  } catch (error) {
    timeline.withdraw(turn);
    // 400: something about the question itself, which no repetition mends.
    composer.failed(draft, reasonOf(error), !(error instanceof Refused && error.status === 400));
  }
}

/** @param {HTMLElement} turn @param {import("./transport.js").Accepted} answer */
function accepted(turn, answer) {
  const isNew = openId() === null;
  if (isNew) {
    stage.dataset.conversationId = answer.conversation_id;
    history.replaceState(null, "", `${chatUrl}${answer.conversation_id}/`);
    showTitle(answer.title || turn.querySelector("[data-part=question]").textContent.slice(0, 60));
  }
  composer.settled(answer.conversation_id);
  timeline.confirm(turn, answer);
  sidebar.refresh();
}

/** @param {unknown} error */
function reasonOf(error) {
  if (error instanceof Refused && error.code === "still_answering") return "another window of this chat is still being answered.";
  if (error instanceof TypeError) return "the connection dropped.";
  const words = error instanceof Error ? error.message : "something went wrong.";
  return words.charAt(0).toLowerCase() + words.slice(1);
}

/** Something happened to a chat, here or on another device. @param {{conversation_id: string, what: string, turn_id?: string}} hint */
function onHint(hint) {
  sidebar.refresh();
  if (hint.conversation_id !== openId()) return;
  if (hint.what === "message") catchUp(hint.turn_id);
  if (hint.what === "deleted") showToast({ text: "This chat was deleted in another window.", failed: true });
}

/** Draw turns that this page lacks. @param {string} [turnId] */
async function catchUp(turnId) {
  // One's own question is on its way: its acceptance draws it, and the hint says nothing new.
  if (openId() === null || timeline.pendingTurns > 0) return;
  const base = `${chatUrl}${openId()}/turns`;
  const after = timeline.lastTurnId;
  try {
    await timeline.merge(turnId ? `${base}/${turnId}` : after ? `${base}?from=${after}` : base);
  } catch {
    // The next hint, reconnection or reload shows it.
  }
}

/** @param {boolean} again */
function onReady(again) {
  clearTimeout(lostTimer);
  linkLost.hidden = true;
  if (!again) return;
  // Hints are not kept for those who were away.
  sidebar.refresh();
  catchUp();
}

function onDown() {
  clearTimeout(lostTimer);
  lostTimer = setTimeout(() => (linkLost.hidden = transport.usesHttp), LOST_MS);
}

function onSignedOut() {
  composer.text.dispatchEvent(new Event("input"));
  location.assign(`${loginUrl}?next=${encodeURIComponent(location.pathname)}`);
}

/** @param {HTMLElement} cell */
async function retry(cell, button) {
  button.disabled = true;
  try {
    timeline.restart(cell, await post(`/v1/chat/generations/${cell.dataset.generationId}/retry`));
  } catch (error) {
    button.disabled = false;
    showToast({ text: `Not asked again: ${reasonOf(error)}`, failed: true });
  }
}

/** The server draws the explanation of a finished answer. @param {HTMLElement} cell @param {HTMLElement} button */
async function explain(cell, button) {
  const { generationId } = cell.dataset;
  const id = `why-${generationId}`;
  if (!document.getElementById(id)) {
    const turnId = cell.closest(".turn").dataset.turnId;
    const fragment = await fetchFragment(`${chatUrl}${openId()}/turns/${turnId}`);
    const panel = fragment.getElementById(id);
    if (!panel) return;
    cell.append(panel);
  }
  button.removeAttribute("data-action");
  button.setAttribute("popovertarget", id);
  button.click();
}

/** @param {HTMLElement} button */
function stopLane(button) {
  const { lane } = /** @type {HTMLElement} */ (button.closest(".lane-head")).dataset;
  for (const running of timeline.live.values()) {
    if (running.element.dataset.lane === lane) timeline.stop(running.generationId);
  }
}

document.addEventListener("click", (event) => {
  const button = /** @type {Element} */ (event.target).closest("button[data-action]");
  if (!(button instanceof HTMLButtonElement)) return;
  const cell = /** @type {HTMLElement} */ (button.closest(".lane"));
  const { action } = button.dataset;
  if (action === "stop") stopLane(button);
  if (action === "retry") retry(cell, button);
  if (action === "why") explain(cell, button);
  if (action === "older") timeline.showOlder(button);
  if (action === "starter") composer.fill(button.dataset.prompt, Number(button.dataset.lanes));
});

startAppearance();
startCopying();
startInstructions(openId);
startShowingPrompts();
forgetOnLeaving();
sidebar.start();
timeline.start();
scroller.toEnd();
transport.start();
// A phone would open its keyboard over the answer.
if (matchMedia("(pointer: fine)").matches) composer.text.focus({ preventScroll: true });
