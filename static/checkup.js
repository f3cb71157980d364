// @ts-check
/**
 * The steps between a visitor's voice and a face that speaks, each tried for itself. Knows nothing of the document.
 *
 * A step says in one sentence how it went, and what to do if it did not. What a later step needs, an earlier one leaves in the
 * `Checkup`; where that is missing, the later step is skipped and says so.
 */

import {IceServers} from "./ice.js";
import {Microphone} from "./microphone.js";
import {Peer} from "./peer.js";
import {Signaling} from "./signaling.js";

/** @typedef {"good" | "bad" | "skipped"} Outcome @typedef {{outcome: Outcome, text: string}} Finding */

const SOCKET_LIMIT_MS = 6000;
/** A little more than the studio's own limit. */
const PATH_LIMIT_MS = 22_000;
const STATS_LIMIT_MS = 2000;
const RELAY_LIMIT_MS = 8000;
const MEDIA_MS = 2500;
const HEARING_MS = 1500;
/** Pictures a second below which a face stutters. */
const FLUENT_FPS = 20;
/** @type {Partial<Record<import("./microphone.js").MicrophoneState, string>>} */
const REMEDIES = {
  refused: "The browser refuses it. Click the icon left of the address, allow the microphone for this page, and check again.",
  missing: "There is none. Connect one, or choose one in the system's sound settings.",
  busy: "Another program holds it. Close that program and check again.",
  insecure: "Browsers give it to secure pages only: see the step above.",
};

/** @param {string} text @returns {Finding} */
const good = (text) => ({outcome: "good", text});
/** @param {string} text @returns {Finding} */
const bad = (text) => ({outcome: "bad", text});
/** @param {string} text @returns {Finding} */
const skipped = (text) => ({outcome: "skipped", text});

/** @param {number} ms */
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** One run through all steps; `close` gives everything back, whatever it was doing. */
export class Checkup {
  /** What the studio sends, as soon as there is some. @type {MediaStream | null} */
  stream = null;
  #microphone = new Microphone();
  #signaling;
  #ice;
  /** @type {Peer | null} */
  #peer = null;
  #life = new AbortController();

  /** @param {URL} home address of the studio's page */
  constructor(home) {
    const socket = new URL("ws", home);
    socket.protocol = socket.protocol.replace("http", "ws");
    this.#signaling = new Signaling(socket);
    this.#ice = new IceServers(new URL("api/ice-servers", home));
  }

  /** The steps in their order. @returns {[string, string, () => Promise<Finding>][]} id, title, what to do */
  get steps() {
    return [
      ["secure", "Secure page", () => this.#checkPage()],
      ["microphone", "Microphone", () => this.#checkMicrophone()],
      ["signaling", "Studio answers", () => this.#checkSignaling()],
      ["path", "Media path", () => this.#checkPath()],
      ["relay", "Relay", () => this.#checkRelay()],
      ["media", "Picture and sound", () => this.#checkMedia()],
    ];
  }

  close() {
    if (this.#life.signal.aborted) return;
    this.#life.abort();
    this.#peer?.close();
    this.#signaling.close();
    this.#microphone.close();
  }

  async #checkPage() {
    if (window.isSecureContext) return good("The browser trusts this address with microphone and calls.");
    return bad("This page came over plain HTTP. Open it by https, or as localhost on the machine itself; the operator finds how in deploy/README.md.");
  }

  async #checkMicrophone() {
    let loudest = 0;
    this.#microphone.addEventListener("level", (event) => {
      loudest = Math.max(loudest, /** @type {CustomEvent<number>} */ (event).detail);
    }, {signal: this.#life.signal});
    const track = await this.#microphone.open("");
    if (!track) return bad(REMEDIES[this.#microphone.state] ?? "It cannot be opened. Restart the browser.");
    await pause(HEARING_MS);
    if (loudest > 0.02) return good(`${track.label || "It"} hears something.`);
    return good(`${track.label || "It"} is open, but it is very quiet. If you just spoke, raise its level in the system's sound settings.`);
  }

  async #checkSignaling() {
    const began = performance.now();
    const opened = this.#heard("open", SOCKET_LIMIT_MS);
    this.#signaling.retry();
    if (!await opened) return bad("No WebSocket to the studio. Is it running? A proxy before it must hand on upgrades (deploy/nginx.conf does); some company networks block WebSockets.");
    const pong = this.#heard("pong", SOCKET_LIMIT_MS);
    const asked = performance.now();
    this.#signaling.ping();
    if (!await pong) return bad("The WebSocket opens, but the studio does not answer in it. Try again, or another network.");
    return good(`Connected in ${Math.round(asked - began)} ms; an answer takes ${Math.round(performance.now() - asked)} ms.`);
  }

  async #checkPath() {
    if (!this.#signaling.isOpen) return skipped("Needs a studio that answers.");
    const peer = this.#peer = new Peer(await this.#ice.list());
    const {signal} = this.#life;
    peer.addEventListener("candidate", (event) => this.#signaling.iceCandidate(/** @type {CustomEvent} */ (event).detail), {signal});
    peer.addEventListener("stream", (event) => (this.stream = /** @type {CustomEvent} */ (event).detail), {signal});
    const answered = this.#heard("answer", PATH_LIMIT_MS, "error");
    const sdp = await peer.offer();
    if (!sdp) return bad("This browser could not begin a call. Reload the page.");
    this.#signaling.offer(sdp, null);
    const answer = await answered;
    if (answer?.type !== "answer") return bad(String(answer?.message ?? "The studio did not answer the call."));
    await peer.accept(String(answer.sdp));
    await peer.attach(this.#microphone.track);
    for (const end = performance.now() + PATH_LIMIT_MS; performance.now() < end && !signal.aborted; await pause(100)) {
      if (peer.state === "connected") return good(await this.#describePath(peer));
      if (peer.state === "failed") break;
    }
    return bad("No path for media. A firewall or VPN blocks UDP, or the studio's ports are closed (operator: ice.ports, ice.public_address). If the next step is ✓, a relay will help: ice.turn.");
  }

  async #checkRelay() {
    const iceServers = await this.#ice.list();
    const relays = iceServers.flatMap(({urls}) => urls).filter((url) => url.startsWith("turn"));
    if (!relays.length) return skipped("The studio has none configured (ice.turn); only strict networks need one.");
    const pc = new RTCPeerConnection({iceServers, iceTransportPolicy: "relay"});
    try {
      const found = new Promise((resolve) => {
        pc.addEventListener("icecandidate", ({candidate}) => candidate?.candidate && resolve(true));
        setTimeout(() => resolve(false), RELAY_LIMIT_MS);
      });
      pc.createDataChannel("");
      await pc.setLocalDescription();
      if (await found) return good("A TURN server relays for this browser, where a direct path is blocked.");
      return bad(`${relays[0].split("?")[0]} does not relay. Operator: is coturn running, its port open, its secret the studio's (ice.turn_secret)? Visitor: this network may block it.`);
    } finally {
      pc.close();
    }
  }

  async #checkMedia() {
    const peer = this.#peer;
    if (peer?.state !== "connected") return skipped("Needs a media path.");
    await pause(MEDIA_MS);  // the first picture and the encoder's first second are no measure
    const before = await inbound(peer);
    await pause(MEDIA_MS);
    const after = await inbound(peer);
    const fps = (after.pictures - before.pictures) / (MEDIA_MS / 1000);
    const sounds = after.sounds - before.sounds;
    if (fps <= 0) return bad("The path is open, but no picture comes. Look into the studio's log.");
    if (sounds <= 0) return bad("Pictures come, but no sound packets. Look into the studio's log.");
    const lost = `${Math.round(fps)} pictures a second, ${after.lost - before.lost} packets lost`;
    if (fps < FLUENT_FPS) return bad(`It stutters: ${lost}. The network or the studio's machine is too slow: try cable instead of radio, or fewer visitors.`);
    return good(`It flows: ${lost}.`);
  }

  /** @param {Peer} peer */
  async #describePath(peer) {
    /** @type {any} */
    let report, pair;
    for (const end = performance.now() + STATS_LIMIT_MS; !pair && performance.now() < end; await pause(100)) {
      report = await peer.report();  // may be older than the connection's state
      report?.forEach((entry) => {
        if (entry.type === "candidate-pair" && entry.nominated && entry.state === "succeeded") pair = entry;
      });
    }
    if (!pair) return "Connected.";
    const ends = [report.get(pair.localCandidateId), report.get(pair.remoteCandidateId)];
    const how = ends.some((end) => end?.candidateType === "relay") ? "through a relay" : "directly";
    const ms = Math.round(1000 * (pair.currentRoundTripTime ?? 0));
    return `Connected ${how} over ${String(ends[0]?.protocol ?? "udp").toUpperCase()} (${ends[0]?.candidateType} to ${ends[1]?.candidateType}); there and back in ${ms} ms.`;
  }

  /**
   * Wait for the next message of one of the kinds.
   * @param {string} kind @param {number} limit ms @param {string} [other]
   * @returns {Promise<Record<string, unknown> | null>} null if none came
   */
  #heard(kind, limit, other = kind) {
    return new Promise((resolve) => {
      const life = new AbortController();
      const end = (/** @type {Record<string, unknown> | null} */ result) => {
        life.abort();
        clearTimeout(timer);
        resolve(result);
      };
      const timer = setTimeout(() => end(null), limit);
      for (const name of new Set([kind, other])) {
        this.#signaling.addEventListener(name, (event) => end(/** @type {CustomEvent} */ (event).detail ?? {type: name}), {signal: life.signal});
      }
      this.#life.signal.addEventListener("abort", () => end(null), {signal: life.signal});
    });
  }
}

/** What has arrived so far. @param {Peer} peer */
async function inbound(peer) {
  const counted = {pictures: 0, sounds: 0, lost: 0};
  (await peer.report())?.forEach((entry) => {
    if (entry.type !== "inbound-rtp") return;
    counted.lost += entry.packetsLost ?? 0;
    if (entry.kind === "video") counted.pictures += entry.framesDecoded ?? 0;
    else counted.sounds += entry.packetsReceived ?? 0;
  });
  return counted;
}
