// @ts-check
/**
 * The visitor's wish to be connected, and all that is done to fulfil it.
 *
 * A visit is one try to be connected; the wish outlives it: when the studio goes away and comes back, the call goes on by
 * itself. Knows nothing of the document and of the microphone but its track.
 */

import {IceServers} from "./ice.js";
import {Peer} from "./peer.js";
import {BROKEN, FALTERS, LOST, AWAY, NO_PATH} from "./sentences.js";
import {Signaling} from "./signaling.js";
import {Visit} from "./visit.js";

/** @typedef {"idle" | "connecting" | "live" | "closing" | "failed"} CallState */

/** Longer than the studio's own limit, so that its sentence comes first. */
const CONNECT_LIMIT_MS = 25_000;
const STOP_LIMIT_MS = 1500;
/** How long a fault is shown that the visit survives. */
const FAULT_MS = 8000;
const SECOND_MS = 1000;
/** A network that changes may cost a connection; three in a row are a broken one. */
const MOST_RECOVERIES = 3;
/** A connection that held this long was a sound one. */
const STEADY_MS = 30_000;

/**
 * The page's line to the studio. Emits "change" when `state`, `isWanted` or `fault` did, "avatars" (detail: cards), "avatar"
 * (its id: the studio shows another one than was asked for), "speaking" (boolean), "stream", "begin" and "end" of a visit,
 * and what a `Visit` emits.
 */
export class Call extends EventTarget {
  /** True from `start` until `stop` or until a failure that time does not heal. */
  isWanted = false;
  /** What is wrong, in words, and whether trying again is up to the visitor. @type {{sentence: string, again: boolean} | null} */
  fault = null;
  #signaling;
  #ice;
  /** @type {Visit | null} */
  #visit = null;
  /** @type {CallState} */
  #state = "idle";
  /** @type {MediaStreamTrack | null} */
  #track = null;
  #avatar = "";
  /** The avatar that the studio is known to show. */
  #shown = "";
  #recoveries = 0;
  #liveSince = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /** @param {URL} home address of the page */
  constructor(home) {
    super();
    const socket = new URL("ws", home);
    socket.protocol = socket.protocol.replace("http", "ws");
    this.#signaling = new Signaling(socket);
    this.#ice = new IceServers(new URL("api/ice-servers", home));
    this.#hear();
  }

  get state() {
    return this.#state;
  }

  /** Reach for the studio: its avatars are there before anybody calls. */
  open() {
    this.#ice.list();
    this.#signaling.retry();
  }

  start() {
    this.isWanted = true;
    this.#recoveries = 0;
    if (this.#signaling.isOpen) {
      this.#begin();
    } else {
      // It is not there yet: try now, and begin when it opens.
      this.#signaling.retry();
      this.#become("connecting");
    }
  }

  stop() {
    this.isWanted = false;
    const wasThere = this.#visit !== null && this.#signaling.isOpen;
    this.#end();
    if (!wasThere) return this.#become("idle");
    this.#signaling.stop();
    this.#timer = setTimeout(() => this.#become("idle"), STOP_LIMIT_MS);
    this.#become("closing");
  }

  interrupt() {
    this.#signaling.interrupt();
  }

  /** Who shall be shown, now or by the next visit. @param {string} id */
  select(id) {
    if (id === this.#avatar) return;
    this.#avatar = id;
    if (this.#visit) this.#signaling.selectAvatar(id);
    if (this.#state !== "failed") this.#become(this.#state);
  }

  /** @param {MediaStreamTrack | null} track what the studio shall hear, in this visit and the next ones; null: nothing */
  async attach(track) {
    this.#track = track;
    await this.#visit?.peer.attach(track);
    this.#visit?.mark("microphone");
  }

  /** Leave for good, at once, so that the seat is free before the tab is gone. */
  close() {
    this.isWanted = false;
    this.#end();
    this.#signaling.close();
  }

  #hear() {
    const on = listen(this.#signaling);
    on("open", () => this.#greet());
    on("lost", ({returns}) => this.#lose(returns));
    on("avatars", ({avatars}) => this.#emit("avatars", avatars));
    on("avatar_selected", ({avatar_id: id}) => (this.#shown = id));
    on("answer", ({sdp}) => this.#visit?.accept(sdp));
    on("ice_candidate", ({candidate}) => this.#visit?.peer.add(candidate));
    on("state", (state) => this.#follow(state));
    on("stats", (stats) => this.#visit?.hear(stats));
    on("stopped", () => this.#state === "closing" && this.#become("idle"));
    on("error", (fault) => this.#complain(fault));
  }

  /** The socket is open, for the first time or again. */
  #greet() {
    this.#signaling.getAvatars();
    if (this.isWanted) this.#begin();
    else if (this.#state === "failed" && !this.fault?.again) this.#become("idle");
  }

  async #begin() {
    this.#end();
    const since = performance.now();
    this.#timer = setTimeout(() => this.#fail(NO_PATH), CONNECT_LIMIT_MS);
    this.#emit("begin");
    this.#become("connecting");
    const servers = await this.#ice.list();
    if (!this.isWanted || this.#visit) return;
    const visit = this.#visit = this.#visitBy(new Peer(servers), since);
    try {
      const sdp = await visit.peer.offer();
      if (sdp === null) return;
      await visit.peer.attach(this.#track);
      visit.mark("offer");
      this.#shown = this.#avatar;
      this.#signaling.offer(sdp, this.#avatar || null);
    } catch (error) {
      if (visit === this.#visit) this.#fail(BROKEN);
      console.info("offer:", error);
    }
  }

  /** @param {Peer} peer @param {number} since @returns {Visit} */
  #visitBy(peer, since) {
    const visit = new Visit(peer, since);
    for (const type of ["mark", "count"]) listen(visit)(type, (detail) => this.#emit(type, detail));
    const on = listen(peer);
    on("candidate", (candidate) => this.#signaling.iceCandidate(candidate));
    on("stream", (stream) => this.#emit("stream", {stream, seen: () => visit.mark("first-frame")}));
    on("state", () => this.#watch(visit));
    return visit;
  }

  /** @param {Visit} visit whose connection changed its state */
  #watch(visit) {
    if (visit !== this.#visit) return;
    const {state} = visit.peer;
    if (state === "connected") {
      clearTimeout(this.#timer);
      visit.mark("connected");
      visit.count();
      this.#liveSince = performance.now();
      this.#become("live");
    } else if (state === "disconnected") {
      this.#become(this.#state, {sentence: FALTERS, again: false});
    } else if (state === "failed") {
      this.#recover();
    }
  }

  /** The connection is gone although the socket is there. */
  #recover() {
    this.#end();
    if (performance.now() - this.#liveSince > STEADY_MS) this.#recoveries = 0;
    if (++this.#recoveries > MOST_RECOVERIES) return this.#fail(NO_PATH);
    this.#timer = setTimeout(() => this.isWanted && this.#signaling.isOpen && this.#begin(), SECOND_MS * this.#recoveries);
    this.#become("failed", {sentence: LOST, again: false});
  }

  /** @param {boolean} returns whether signaling tries again by itself */
  #lose(returns) {
    const state = this.#state;
    this.#end();
    if (state === "closing") this.#become("idle");
    else if (state === "failed" && this.fault?.again) this.#become("failed", this.fault);
    else if (returns) this.#become("failed", {sentence: this.isWanted ? LOST : AWAY, again: false});
    else this.#fail(this.fault?.sentence ?? AWAY);
  }

  /** @param {{connection: string, speaking: boolean, avatar_id: string}} state of the session as the studio sees it */
  #follow({connection, speaking, avatar_id: id}) {
    this.#shown = id;
    if (connection === "closed" && this.#state === "live") this.#recover();
    else this.#emit("speaking", speaking);
  }

  /** @param {import("./signaling.js").Fault} fault */
  #complain({code, message, fatal, retryable}) {
    if (!fatal && (this.#state === "closing" || this.#state === "failed")) return;
    if (fatal || this.#state === "connecting") return this.#fail(message, retryable);
    if (this.#visit && code.startsWith("avatar_")) {
      this.#avatar = this.#shown;
      this.#emit("avatar", this.#shown);
    }
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.fault?.sentence === message && this.#become(this.#state), FAULT_MS);
    this.#become(this.#state, {sentence: message, again: false});
  }

  /** Give up until the visitor wants it again. @param {string} sentence @param {boolean} [again] */
  #fail(sentence, again = true) {
    this.isWanted = false;
    this.#end();
    this.#become("failed", {sentence, again});
  }

  /** Close the running visit, if there is one. */
  #end() {
    clearTimeout(this.#timer);
    if (!this.#visit) return;
    this.#visit.close();
    this.#visit = null;
    this.#emit("end");
  }

  /** @param {CallState} state @param {{sentence: string, again: boolean} | null} [fault] */
  #become(state, fault = null) {
    if (state === "idle") clearTimeout(this.#timer);
    this.#state = state;
    this.fault = fault;
    this.#emit("change");
  }

  /** @param {string} type @param {unknown} [detail] */
  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, {detail}));
  }
}

/** @param {EventTarget} target @returns {(type: string, react: (detail: any) => unknown) => void} */
export function listen(target) {
  return (type, react) => target.addEventListener(type, (event) => react(/** @type {CustomEvent} */ (event).detail));
}
