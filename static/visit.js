// @ts-check
/** One try to be connected, from the click to the goodbye: its peer, its counters and its stopwatch. */

import {History, derive, fromStudio, read} from "./stats.js";

const SECOND_MS = 1000;

/** One visit. Emits "mark" (detail: {moment, ms}) and, once a second after `count`, "count" (detail: {history, note}). */
export class Visit extends EventTarget {
  #since;
  #history = new History();
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #ticking;
  /** @type {import("./stats.js").Counters | null} */
  #before = null;

  /** @param {import("./peer.js").Peer} peer closed with the visit @param {number} since the click, in ms of `performance.now()` */
  constructor(peer, since) {
    super();
    this.peer = peer;
    this.#since = since;
  }

  /** @param {string} moment that has just come */
  mark(moment) {
    if (this.peer.state === "closed") return;
    this.dispatchEvent(new CustomEvent("mark", {detail: {moment, ms: performance.now() - this.#since}}));
  }

  /** @param {string} sdp */
  async accept(sdp) {
    this.mark("answer");
    await this.peer.accept(sdp);
  }

  /** @param {import("./signaling.js").ServerStats} stats */
  hear(stats) {
    this.#history.add(fromStudio(stats));
  }

  /** Look at the browser's counters once a second from now on. */
  count() {
    this.#ticking ??= setInterval(() => this.#look(), SECOND_MS);
  }

  close() {
    clearInterval(this.#ticking);
    this.peer.close();
  }

  async #look() {
    const report = await this.peer.report();
    if (!report) return;
    const {counters, note} = read(report);
    if (this.#before) this.#history.add(derive(this.#before, counters));
    this.#before = counters;
    this.dispatchEvent(new CustomEvent("count", {detail: {history: this.#history, note}}));
  }
}
