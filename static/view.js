// @ts-check
/**
 * The page's face: the only module that touches the document.
 *
 * Shows what it is told and emits what the visitor wants: "start", "stop", "interrupt", "again", "mute" and "sound", and with a
 * detail "select" (avatar id) and "microphone" (device id). Knows nothing of sockets and peers.
 */

import {METRICS, sparkline} from "./stats.js";
import {NO_MICROPHONE} from "./microphone.js";

/**
 * @typedef {"idle" | "connecting" | "live" | "closing" | "failed"} State
 * @typedef {import("./signaling.js").AvatarCard} AvatarCard
 */

/** @type {Record<State, string>} */
const CONDITIONS = {idle: "Ready", connecting: "Connecting", live: "Listening", closing: "Leaving", failed: "Not connected"};
/** @type {Record<import("./microphone.js").MicrophoneState, string>} */
const MICROPHONE_LABELS = {
  off: "Mute microphone",
  asking: "Waiting for your permission",
  on: "Mute microphone",
  muted: "Unmute microphone",
  refused: "Use microphone",
  missing: "Use microphone",
  busy: "Use microphone",
  insecure: "Use microphone",
};
/** Hearing a meter's value spoken more often than this helps nobody. */
const METER_MS = 500;

/** @template {Element} [T=HTMLElement] @param {string} id @returns {T} */
const find = (id) => /** @type {any} */ (document.getElementById(id));

/** @param {string} id of a template @returns {HTMLElement} a fresh copy of its one child */
const copy = (id) => /** @type {any} */ (find(id)).content.firstElementChild.cloneNode(true);

/** The whole page. */
export class View extends EventTarget {
  #life = new AbortController();
  #video = /** @type {HTMLVideoElement} */ (find("video"));
  #mirror = document.createElement("video");
  /** @type {Map<string, AvatarCard>} */
  #cards = new Map();
  #selected = "";
  /** @type {State} */
  #state = "idle";
  #isSpeaking = false;
  #meterTold = 0;
  /** @type {Map<string, {value: Element, line: Element, digits: number}>} */
  #metrics = new Map();

  constructor() {
    super();
    this.#mirror.muted = this.#mirror.autoplay = this.#mirror.playsInline = true;
    this.#listen();
    this.#layMetrics();
    this.state = "idle";
  }

  get state() {
    return this.#state;
  }

  /** Every button's use follows from it alone. */
  set state(state) {
    this.#state = state;
    document.documentElement.dataset.state = state;
    const hadFocus = document.activeElement === find("start") || document.activeElement === find("stop");
    const canStart = state === "idle" || state === "failed";
    find("start").hidden = !canStart;
    find("stop").hidden = canStart;
    this.#enable("stop", state === "connecting" || state === "live");
    this.#enable("interrupt", state === "live");
    if (hadFocus) find(canStart ? "start" : "stop").focus();
    if (state !== "live") this.#isSpeaking = false;
    this.#describe();
  }

  /** @param {boolean} isSpeaking */
  set speaking(isSpeaking) {
    this.#isSpeaking = isSpeaking && this.#state === "live";
    this.#describe();
  }

  /** The avatar that is chosen in the gallery and stands on the stage. */
  get avatar() {
    return this.#selected;
  }

  set avatar(id) {
    const card = this.#cards.get(id);
    if (!card) return;
    this.#selected = id;
    const radio = this.#radio(id);
    radio.checked = true;
    radio.closest("label")?.scrollIntoView({block: "nearest", inline: "nearest"});
    const still = new URL(card.thumbnail, document.baseURI).href;
    this.#video.poster = still;
    find("stage").style.setProperty("--still", `url("${still}")`);
    find("name").textContent = card.name;
    this.#reflect();
  }

  /** @returns {string} device id; empty for the browser's choice */
  get microphone() {
    return /** @type {HTMLSelectElement} */ (find("microphone")).value;
  }

  /** @param {readonly AvatarCard[]} avatars */
  set avatars(avatars) {
    this.#cards = new Map(avatars.map((card) => [card.id, card]));
    find("cards").replaceChildren(...avatars.map((card) => this.#card(card)));
    find("empty").hidden = avatars.length > 0;
    const chosen = this.#cards.get(this.#selected)?.ready ? this.#selected : avatars.find((card) => card.ready)?.id;
    this.#enable("start", chosen !== undefined);
    if (chosen !== undefined) this.avatar = chosen;
  }

  /** @param {string} id @returns {string} the avatar's name, for sentences */
  nameOf(id) {
    return this.#cards.get(id)?.name ?? "The avatar";
  }

  /** @param {string} sentence empty for silence @param {{isFault?: boolean, again?: boolean}} [how] */
  say(sentence, {isFault = false, again = false} = {}) {
    const {textContent} = find("sentence");
    // Writing the same words again would make screen readers repeat them.
    if (textContent !== sentence) find("sentence").textContent = sentence;
    find("status").classList.toggle("fault", isFault);
    find("again").hidden = !again;
  }

  /**
   * Put a stream on the stage; the still stays until its first picture.
   * @param {MediaStream} stream @param {(name: string) => void} mark called with "first-frame" at the first picture
   */
  async show(stream, mark) {
    const video = this.#video;
    video.srcObject = this.#mirror.srcObject = stream;
    this.#reflect();
    video.requestVideoFrameCallback?.(() => {
      if (video.srcObject === stream) mark("first-frame");
    });
    try {
      await video.play();
    } catch (error) {
      if (!(error instanceof DOMException) || error.name !== "NotAllowedError") return;
      this.isSoundOn = false;
      await video.play().catch(() => undefined);
    }
  }

  /** Empty the stage: the still comes back. */
  clear() {
    if (!this.#video.srcObject) return;
    this.#video.srcObject = this.#mirror.srcObject = null;
    this.#mirror.remove();
    this.#video.load();
  }

  /** @param {string} name of a moment @param {number | null} ms since the click; null forgets it */
  time(name, ms) {
    const attribute = `data-${name}-ms`;
    if (ms === null) this.#video.removeAttribute(attribute);
    else this.#video.setAttribute(attribute, String(Math.round(ms)));
  }

  get isSoundOn() {
    return !this.#video.muted;
  }

  set isSoundOn(isOn) {
    this.#video.muted = !isOn;
    find("sound").setAttribute("aria-pressed", String(isOn));
    this.#icon("sound", isOn ? "sound" : "sound-off");
  }

  /** @param {readonly MediaDeviceInfo[]} devices */
  set microphones(devices) {
    const select = /** @type {HTMLSelectElement} */ (find("microphone"));
    const {value} = select;
    const named = devices.filter((device) => device.label).map((device) => new Option(device.label, device.deviceId));
    select.replaceChildren(new Option("Default microphone", ""), ...named, new Option("No microphone", NO_MICROPHONE));
    select.value = [...select.options].some((option) => option.value === value) ? value : "";
  }

  /** @param {import("./microphone.js").MicrophoneState} state */
  set microphoneState(state) {
    document.documentElement.dataset.microphone = state;
    const button = find("mute");
    button.title = MICROPHONE_LABELS[state];
    button.setAttribute("aria-label", MICROPHONE_LABELS[state]);
    this.#enable("mute", state !== "off" && state !== "asking");
    this.#icon("mute", state === "on" || state === "off" || state === "asking" ? "microphone" : "microphone-off");
    if (state !== "on") this.level = 0;
  }

  /** @param {number} level 0 to 1 */
  set level(level) {
    find("stage").style.setProperty("--level", level.toFixed(3));
    const now = performance.now();
    if (level && now - this.#meterTold < METER_MS) return;
    this.#meterTold = now;
    find("level").setAttribute("aria-valuenow", String(Math.round(level * 100)));
  }

  /** @param {import("./stats.js").History} history @param {string} [note] codec, size and path in words */
  measure(history, note) {
    for (const [name, {value, line, digits}] of this.#metrics) {
      const values = history.of(name);
      value.textContent = values.length ? values[values.length - 1].toFixed(digits) : "–";
      line.setAttribute("points", sparkline(values, 120, 28));
    }
    if (note !== undefined) find("note").textContent = note;
  }

  close() {
    this.#life.abort();
    this.clear();
  }

  #listen() {
    this.#on("visit", "submit", (event) => {
      event.preventDefault();
      this.#want("start");
    });
    for (const id of ["stop", "interrupt", "again", "mute", "sound"]) this.#on(id, "click", () => this.#want(id));
    this.#on("microphone", "change", () => this.#want("microphone", this.microphone));
    this.#on("cards", "change", (event) => this.#want("select", /** @type {HTMLInputElement} */ (event.target).value));
    this.#on("statistics", "click", () => this.#slide());
    this.#on("fullscreen", "click", () => this.#fill());
    this.#on("stage", "fullscreenchange", () => find("fullscreen").setAttribute("aria-pressed", String(Boolean(document.fullscreenElement))));
    this.#on("video", "resize", () => {
      const {videoWidth, videoHeight} = this.#video;
      if (videoHeight) find("stage").style.setProperty("--shape", String(videoWidth / videoHeight));
    });
    find("fullscreen").hidden = !document.fullscreenEnabled;
  }

  /** @param {string} id @param {string} event @param {(event: Event) => void} listener */
  #on(id, event, listener) {
    find(id).addEventListener(event, listener, {signal: this.#life.signal});
  }

  /** @param {string} what @param {unknown} [detail] */
  #want(what, detail) {
    this.dispatchEvent(new CustomEvent(what, {detail}));
  }

  #describe() {
    document.documentElement.dataset.speaking = String(this.#isSpeaking);
    find("condition").textContent = this.#isSpeaking ? "Speaking" : CONDITIONS[this.#state];
  }

  /** @param {AvatarCard} card */
  #card(card) {
    const label = copy("card");
    const [radio, image, name, reason] = ["input", "img", "b", "small"].map((tag) => /** @type {any} */ (label.querySelector(tag)));
    Object.assign(radio, {value: card.id, disabled: !card.ready});
    image.src = new URL(card.thumbnail, document.baseURI).href;
    name.textContent = card.name;
    reason.textContent = card.ready ? "" : card.reason || "Not ready on this server.";
    label.title = reason.textContent;
    return label;
  }

  /** @param {string} id */
  #radio(id) {
    return /** @type {HTMLInputElement} */ (document.querySelector(`#cards input[value="${CSS.escape(id)}"]`));
  }

  /** The chosen card of the gallery moves with the stage. */
  #reflect() {
    if (!this.#video.srcObject) return;
    const face = this.#radio(this.#selected)?.closest("label")?.querySelector(".face");
    if (face && this.#mirror.parentElement !== face) face.append(this.#mirror);
    this.#mirror.play().catch(() => undefined);
  }

  #layMetrics() {
    for (const [title, metrics] of Object.entries(METRICS)) {
      const group = copy("group");
      /** @type {any} */ (group.querySelector("h2")).textContent = title;
      for (const [name, metric] of Object.entries(metrics)) {
        const row = copy("metric");
        const [label, unit, value, line] = ["dt", "small", ".value", "polyline"].map((tag) => /** @type {Element} */ (row.querySelector(tag)));
        label.textContent = metric.label;
        unit.textContent = metric.unit;
        row.title = metric.help;
        row.dataset.metric = name;
        group.querySelector("dl")?.append(row);
        this.#metrics.set(name, {value, line, digits: metric.digits});
      }
      find("metrics").append(group);
    }
  }

  #slide() {
    const drawer = find("drawer");
    drawer.hidden = !drawer.hidden;
    find("statistics").setAttribute("aria-expanded", String(!drawer.hidden));
  }

  async #fill() {
    if (document.fullscreenElement) await document.exitFullscreen();
    else await find("stage").requestFullscreen({navigationUI: "hide"});
  }

  /** @param {string} id @param {boolean} isUseful */
  #enable(id, isUseful) {
    /** @type {HTMLButtonElement} */ (find(id)).disabled = !isUseful;
  }

  /** @param {string} id of a button @param {string} name of a symbol */
  #icon(id, name) {
    find(id).querySelector("use")?.setAttribute("href", `#i-${name}`);
  }
}
