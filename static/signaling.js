// @ts-check
/**
 * The studio's signaling over one WebSocket; mirrors `studio/messages.py` name by name.
 *
 * Knows nothing of peers or of the document. What the studio says arrives as a `CustomEvent` named after its `type`, with the
 * message as `detail`. Two events are about the socket itself: "open", and "lost" whenever an open or opening socket is gone.
 */

/**
 * @typedef {{id: string, name: string, video_path: string, engine: string, thumbnail: string, ready: boolean, reason?: string, still?: string, loop?: string, added?: boolean}} AvatarCard
 * @typedef {{fps: number, queue_depth: number, beat_lateness_ms: number, engine_ms: number, dropped: number}} ServerStats
 * @typedef {{code: string, message: string, fatal: boolean, retryable: boolean}} Fault
 */

const FIRST_RETRY_MS = 250;
const LAST_RETRY_MS = 5000;
const PING_MS = 5000;
/** A socket that stays silent this long is dead, whatever the browser believes. */
const SILENCE_MS = 12_000;

/** One WebSocket that comes back by itself. Emits "open", "lost" and every message type of the studio. */
export class Signaling extends EventTarget {
  #url;
  /** @type {WebSocket | null} */
  #socket = null;
  #life = new AbortController();
  #attempts = 0;
  #heard = 0;
  #mayReturn = true;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #retry;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #pulse;

  /** @param {string | URL} url `ws:` or `wss:` */
  constructor(url) {
    super();
    this.#url = url;
    window.addEventListener("online", () => this.retry(), {signal: this.#life.signal});
  }

  get isOpen() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  /** Connect now, without waiting for the next attempt's turn. Does nothing while a socket is open or opening. */
  retry() {
    clearTimeout(this.#retry);
    if (this.#socket || this.#life.signal.aborted) return;
    this.#mayReturn = true;
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    this.#heard = performance.now();
    this.#pulse = setInterval(() => this.#beat(), PING_MS);
    socket.addEventListener("open", () => this.#opened(socket));
    socket.addEventListener("message", (event) => this.#receive(socket, event.data));
    socket.addEventListener("close", () => this.#lose(socket));
  }

  getAvatars() {
    this.#send({type: "get_avatars"});
  }

  /** @param {string} avatarId */
  selectAvatar(avatarId) {
    this.#send({type: "select_avatar", avatar_id: avatarId});
  }

  /** @param {string} sdp @param {string | null} avatarId */
  offer(sdp, avatarId) {
    this.#send({type: "offer", sdp, avatar_id: avatarId});
  }

  /** @param {RTCIceCandidate | null} candidate null: there are no more */
  iceCandidate(candidate) {
    this.#send({type: "ice_candidate", candidate: candidate?.toJSON() ?? null});
  }

  interrupt() {
    this.#send({type: "interrupt"});
  }

  stop() {
    this.#send({type: "stop"});
  }

  ping() {
    this.#send({type: "ping", timestamp: Math.round(performance.now())});
  }

  /** Leave for good. */
  close() {
    if (this.#life.signal.aborted) return;
    this.#life.abort();
    clearTimeout(this.#retry);
    clearInterval(this.#pulse);
    this.#socket?.close(1000);
    this.#socket = null;
  }

  /** @param {Record<string, unknown>} message dropped when the socket is not open: a new one starts from the beginning anyway */
  #send(message) {
    if (this.isOpen) this.#socket?.send(JSON.stringify(message));
  }

  /** @param {WebSocket} socket */
  #opened(socket) {
    if (socket !== this.#socket) return;
    this.#attempts = 0;
    this.#heard = performance.now();
    this.dispatchEvent(new Event("open"));
  }

  /** @param {WebSocket} socket @param {unknown} text */
  #receive(socket, text) {
    if (socket !== this.#socket || typeof text !== "string") return;
    this.#heard = performance.now();
    const message = parse(text);
    if (!message) return;
    if (message.type === "error" && message.fatal && !message.retryable) this.#mayReturn = false;
    this.dispatchEvent(new CustomEvent(message.type, {detail: message}));
  }

  #beat() {
    if (this.#socket && performance.now() - this.#heard > SILENCE_MS) this.#lose(this.#socket);
    else this.ping();
  }

  /** @param {WebSocket} socket */
  #lose(socket) {
    if (socket !== this.#socket) return;
    this.#socket = null;
    socket.close();
    clearInterval(this.#pulse);
    if (this.#mayReturn) {
      const delay = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** this.#attempts++);
      // Half of it is left to chance, so that a restarted studio does not meet all its visitors in one instant.
      this.#retry = setTimeout(() => this.retry(), delay * (0.5 + Math.random() / 2));
    }
    this.dispatchEvent(new CustomEvent("lost", {detail: {returns: this.#mayReturn}}));
  }
}

/** @param {string} text @returns {({type: string} & Record<string, unknown>) | null} null for what is not a message */
function parse(text) {
  try {
    const message = JSON.parse(text);
    return typeof message?.type === "string" ? message : null;
  } catch {
    return null;
  }
}
