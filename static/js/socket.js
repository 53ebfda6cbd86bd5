// The tab's one WebSocket: opens, pings, and opens again with a growing, jittered pause. It knows frames, not chats.

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 20_000;
const PING_MS = 25_000;
const PONG_MS = 10_000;
const OPEN_MS = 8_000;
const UNAUTHENTICATED = 4401;
const TOO_MANY = 4429;

/**
 * @typedef {object} SocketWatcher
 * @property {() => void} onReady
 * @property {(frame: any) => void} onFrame
 * @property {(reason: {attempts: number, everReady: boolean}) => void} onDown `attempts`: failures in a row
 * @property {() => void} onSignedOut
 */

export class ChatSocket {
  /** @param {string} url @param {SocketWatcher} watcher */
  constructor(url, watcher) {
    this.url = url;
    this.watcher = watcher;
    /** @type {WebSocket|null} */
    this.socket = null;
    this.isReady = false;
    this.everReady = false;
    this.attempts = 0;
    this.timer = 0;
    this.pingTimer = 0;
    this.pongTimer = 0;
  }

  start() {
    addEventListener("online", () => this.#hurry());
    addEventListener("pagehide", () => this.socket?.close());
    addEventListener("pageshow", (event) => event.persisted && this.#hurry());
    document.addEventListener("visibilitychange", () => !document.hidden && this.#wake());
    this.#open();
  }

  /** @param {object} frame @returns {boolean} whether it could be handed over */
  send(frame) {
    if (!this.isReady || this.socket?.readyState !== WebSocket.OPEN) return false;
    this.socket.send(JSON.stringify(frame));
    return true;
  }

  #open() {
    clearTimeout(this.timer);
    const socket = new WebSocket(this.url);
    this.socket = socket;
    // A proxy may swallow the handshake without a word.
    this.timer = setTimeout(() => !this.isReady && this.#lost(socket, 0), OPEN_MS);
    socket.onmessage = (event) => this.#frame(socket, event.data);
    socket.onclose = (event) => this.#lost(socket, event.code);
  }

  /** @param {WebSocket} socket @param {string} data */
  #frame(socket, data) {
    if (socket !== this.socket) return;
    clearTimeout(this.pongTimer);
    const frame = JSON.parse(data);
    if (frame.type === "ready") {
      clearTimeout(this.timer);
      this.isReady = true;
      this.everReady = true;
      this.attempts = 0;
      this.#pingLater();
      this.watcher.onReady();
    } else if (frame.type !== "pong") {
      this.watcher.onFrame(frame);
    }
  }

  /** @param {WebSocket} socket @param {number} code */
  #lost(socket, code) {
    if (socket !== this.socket) return;
    this.socket = null;
    this.isReady = false;
    socket.onmessage = socket.onclose = null;
    socket.close();
    clearTimeout(this.timer);
    clearTimeout(this.pingTimer);
    clearTimeout(this.pongTimer);
    if (code === UNAUTHENTICATED) return this.watcher.onSignedOut();
    this.attempts += 1;
    const ceiling = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (this.attempts - 1));
    const pause = code === TOO_MANY ? LONGEST_PAUSE_MS : ceiling;
    this.timer = setTimeout(() => this.#open(), pause * (0.5 + Math.random() / 2));
    this.watcher.onDown({ attempts: this.attempts, everReady: this.everReady });
  }

  #pingLater() {
    clearTimeout(this.pingTimer);
    this.pingTimer = setTimeout(() => this.#ping(), PING_MS);
  }

  #ping() {
    const socket = this.socket;
    if (!this.send({ type: "ping" })) return;
    this.pongTimer = setTimeout(() => this.#lost(socket, 0), PONG_MS);
    this.#pingLater();
  }

  /** The network is back: do not wait out the pause. */
  #hurry() {
    if (this.socket) return this.#wake();
    this.attempts = 0;
    this.#open();
  }

  /** A laptop that slept has a socket that only looks alive. */
  #wake() {
    if (this.isReady) this.#ping();
    else if (!this.socket) this.#hurry();
  }
}
