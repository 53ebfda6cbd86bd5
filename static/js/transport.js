// Sends questions and follows answers, over the tab's WebSocket or, where none opens, over HTTP and EventSource.
import { followByEventSource } from "./event_source.js";
import { post, Refused } from "./request.js";
import { ChatSocket } from "./socket.js";

const ATTEMPTS_BEFORE_HTTP = 2;
const ACCEPT_MS = 20_000;
const LARGEST_FRAME_CHARS = 250_000;
const ORPHANS = 4000;
const MOST_RESUBSCRIPTIONS = 5;

/** @typedef {{generation_id: string, message_id: string, lane: number, model: string, model_name?: string, hue?: number}} AcceptedLane */
/** @typedef {{client_id: string, conversation_id: string, turn_id: string, title?: string, created: boolean, generations: AcceptedLane[]}} Accepted */
/** @typedef {{client_id: string, conversation_id: string|null, message: string, models: string[]}} Question */
/** @typedef {{readonly lastId: string|null, readonly isLive: boolean, deliver: (event: any) => void, abandon: (reason: string) => void}} Follower */
/** @typedef {{onHint: (hint: any) => void, onReady: (again: boolean) => void, onDown: () => void, onSignedOut: () => void}} TransportWatcher */

export class Transport {
  /** @param {string} tenantId @param {TransportWatcher} watcher */
  constructor(tenantId, watcher) {
    this.tenantId = tenantId;
    this.watcher = watcher;
    /** @type {Map<string, Follower>} */
    this.followers = new Map();
    /** @type {Map<string, () => void>} */
    this.sources = new Map();
    /** @type {Map<string, {question: Question, resolve: (accepted: Accepted) => void, reject: (error: Error) => void, timer: number, isPosted: boolean}>} */
    this.pending = new Map();
    /** Events of generations that nobody follows yet. @type {any[]} */
    this.orphans = [];
    /** How often each stream broke off. @type {Map<string, number>} */
    this.broken = new Map();
    this.usesHttp = false;
    this.wasReady = false;
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    this.socket = new ChatSocket(`${scheme}//${location.host}/ws/chat/`, {
      onReady: () => this.#ready(),
      onFrame: (frame) => this.#frame(frame),
      onDown: (reason) => this.#down(reason),
      onSignedOut: () => watcher.onSignedOut(),
    });
  }

  start() {
    this.socket.start();
  }

  /**
   * Ask. The client id is the idempotency key: the question may be sent twice and is asked once.
   * @param {Question} question @returns {Promise<Accepted>} rejects with `Refused` or a plain Error
   */
  ask(question) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#giveUp(question.client_id), ACCEPT_MS);
      this.pending.set(question.client_id, { question, resolve, reject, timer, isPosted: false });
      this.#sendPending(question.client_id);
    });
  }

  /**
   * @param {string} stream generation id @param {Follower} follower
   * @param {{isSubscribed?: boolean}} [options] the server subscribes this tab to what it asked itself
   */
  follow(stream, follower, { isSubscribed = false } = {}) {
    this.followers.set(stream, follower);
    const early = this.orphans.filter((event) => event.generation_id === stream);
    this.orphans = this.orphans.filter((event) => event.generation_id !== stream);
    early.forEach((event) => follower.deliver(event));
    if (!isSubscribed || !this.socket.isReady) this.resubscribe(stream);
  }

  /** Ask again for everything after what was applied. @param {string} stream */
  resubscribe(stream) {
    const follower = this.followers.get(stream);
    if (!follower?.isLive) return;
    if (this.usesHttp && !this.socket.isReady) {
      this.sources.get(stream)?.();
      this.sources.set(stream, followByEventSource(stream, follower.lastId, (event) => this.#event(event)));
    } else {
      this.socket.send({ type: "subscribe", stream, after: follower.lastId, render: "html" });
    }
  }

  /** @param {string} stream */
  unfollow(stream) {
    this.followers.delete(stream);
    this.sources.get(stream)?.();
    this.sources.delete(stream);
    this.socket.send({ type: "unsubscribe", stream });
  }

  /** @param {string} generationId */
  async cancel(generationId) {
    if (this.socket.send({ type: "generation.cancel", generation_id: generationId })) return;
    await post(`/v1/chat/generations/${generationId}/cancel`);
  }

  #ready() {
    this.usesHttp = false;
    for (const close of this.sources.values()) close();
    this.sources.clear();
    for (const stream of this.followers.keys()) this.resubscribe(stream);
    for (const clientId of this.pending.keys()) this.#sendPending(clientId);
    this.watcher.onReady(this.wasReady);
    this.wasReady = true;
  }

  #down({ attempts }) {
    if (attempts >= ATTEMPTS_BEFORE_HTTP && !this.usesHttp) {
      this.usesHttp = true;
      for (const stream of this.followers.keys()) this.resubscribe(stream);
      for (const clientId of this.pending.keys()) this.#sendPending(clientId);
    }
    this.watcher.onDown();
  }

  #frame(frame) {
    if (frame.type === "message.accepted") return this.#settle(frame.client_id, (entry) => entry.resolve(frame));
    if (frame.type === "conversation.changed") return this.watcher.onHint(frame);
    if (frame.type === "error") return this.#refused(frame);
    if (frame.generation_id && frame.id) this.#event(frame);
  }

  #event(event) {
    const follower = this.followers.get(event.generation_id);
    if (!follower) {
      if (this.orphans.length < ORPHANS) this.orphans.push(event);
      return;
    }
    follower.deliver(event);
    if (!follower.isLive) this.followers.delete(event.generation_id);
  }

  #refused(frame) {
    if (frame.client_id) this.#settle(frame.client_id, (entry) => entry.reject(refusal(frame)));
    else if (frame.stream) this.#brokenOff(frame);
  }

  /** A subscription ended on the server's side: ask again from where this tab stands, a few times. */
  #brokenOff({ stream, status, message }) {
    const follower = this.followers.get(stream);
    if (!follower) return;
    const tries = (this.broken.get(stream) ?? 0) + 1;
    this.broken.set(stream, tries);
    if (status === 404 || tries > MOST_RESUBSCRIPTIONS) {
      this.followers.delete(stream);
      follower.abandon(message);
      return;
    }
    setTimeout(() => this.resubscribe(stream), 1000 * tries * (0.5 + Math.random()));
  }

  /** @param {string} clientId */
  #sendPending(clientId) {
    const entry = this.pending.get(clientId);
    const { question } = entry;
    const frame = { type: "message.send", tenant_id: this.tenantId, render: "html", ...question };
    // A frame beyond the server's limit would end the socket, and be sent again by the next one.
    const isLarge = question.message.length > LARGEST_FRAME_CHARS;
    if (!isLarge && this.socket.send(frame)) return;
    if ((this.usesHttp || isLarge) && !entry.isPosted) {
      entry.isPosted = true;
      this.#post(question);
    }
  }

  /** @param {Question} question */
  async #post(question) {
    const { client_id: clientId, conversation_id: conversationId, message, models, instructions } = question;
    const body = { message, models, instructions, ...(conversationId ? { conversation_id: conversationId } : {}) };
    try {
      const headers = { "Idempotency-Key": clientId, Prefer: "respond-async" };
      const answer = await post("/v1/chat/messages", body, headers);
      this.#settle(clientId, (entry) => entry.resolve({ ...answer, client_id: clientId, created: !conversationId }));
    } catch (error) {
      this.#settle(clientId, (entry) => entry.reject(error));
    }
  }

  /** @param {string} clientId @param {(entry: any) => void} act */
  #settle(clientId, act) {
    const entry = this.pending.get(clientId);
    if (!entry) return;
    clearTimeout(entry.timer);
    this.pending.delete(clientId);
    act(entry);
  }

  /** @param {string} clientId */
  #giveUp(clientId) {
    this.#settle(clientId, (entry) => entry.reject(new Error("The server could not be reached.")));
  }
}

/** @param {{status?: number, code?: string, message?: string, retryable?: boolean}} frame */
function refusal({ status = 0, code, message, retryable }) {
  return new Refused(status, { code, detail: message, retryable });
}
