// @ts-check
/**
 * The page's face: with its parts `gallery.js`, `adder.js` and `drawer.js` the only module that touches the document.
 *
 * Shows what it is told and emits what the visitor wants: "start", "stop", "interrupt", "again", "mute", "sound" and
 * "microphone", "select" and "remove" with an avatar's id as detail, and "add" with a picture's file and the ids that are taken. Knows nothing of sockets and peers.
 */

import {Adder} from "./adder.js";
import {Drawer} from "./drawer.js";
import {Gallery} from "./gallery.js";
import {NO_MICROPHONE} from "./microphone.js";

/** @typedef {import("./call.js").CallState} State */

/** @type {Record<State, string>} */
const CONDITIONS = {idle: "Ready", connecting: "Connecting", live: "Live", closing: "Leaving", failed: "Not connected"};
/** @type {Partial<Record<import("./microphone.js").MicrophoneState, string>>} */
const LIVE_CONDITIONS = {on: "Listening", muted: "You are muted"};
/** What screen readers say of a change that the eye sees. @type {Partial<Record<State, (name: string) => string>>} */
const HEARD = {connecting: (name) => `Connecting to ${name}.`, live: (name) => `${name} is live.`, closing: () => "Stopped."};
/** @type {Record<import("./microphone.js").MicrophoneState, {label: string, icon: string, isUseful: boolean}>} */
const MICROPHONES = {
  off: {label: "Microphone", icon: "microphone", isUseful: false},
  asking: {label: "Waiting for your permission", icon: "microphone", isUseful: false},
  on: {label: "Mute microphone", icon: "microphone", isUseful: true},
  muted: {label: "Unmute microphone", icon: "microphone-off", isUseful: true},
  refused: {label: "Use microphone", icon: "microphone-off", isUseful: true},
  missing: {label: "Use microphone", icon: "microphone-off", isUseful: true},
  busy: {label: "Use microphone", icon: "microphone-off", isUseful: true},
  insecure: {label: "Use microphone", icon: "microphone-off", isUseful: true},
};
/** Hearing a meter's value spoken more often than this helps nobody. */
const METER_MS = 500;

/** @param {string} id @returns {any} the element */
const find = (id) => document.getElementById(id);

/** The whole page. */
export class View extends EventTarget {
  #life = new AbortController();
  /** @type {HTMLVideoElement} */
  #video = find("video");
  #gallery = new Gallery(find("cards"), find("card"), this.#life.signal);
  #adder = new Adder({place: find("adder"), button: find("add"), input: find("portrait"), output: find("adding")}, this.#life.signal);
  #drawer = new Drawer(find("metrics"), find("note"), {group: find("group"), metric: find("metric")});
  #avatar = "";
  /** @type {State} */
  #state = "idle";
  /** @type {import("./microphone.js").MicrophoneState} */
  #microphoneState = "off";
  #isWanted = false;
  #isSpeaking = false;
  #meterTold = 0;

  constructor() {
    super();
    this.#listen();
    this.become("idle", false);
  }

  /** Every button's use follows from it, and Start's from there being somebody to start with. @param {State} state @param {boolean} isWanted the visitor waits for it to go on by itself */
  become(state, isWanted) {
    const isNew = state !== this.#state;
    [this.#state, this.#isWanted] = [state, isWanted];
    document.documentElement.dataset.state = state;
    const [start, stop] = [find("start"), find("stop")];
    const canStart = state === "idle" || (state === "failed" && !isWanted);
    const hadFocus = [start, stop, find("again")].includes(document.activeElement);
    start.hidden = !canStart;
    start.disabled = !this.#avatar;
    stop.hidden = canStart;
    // Not disabled: that would take the keyboard's place in the page away.
    stop.setAttribute("aria-disabled", String(state === "closing"));
    find("interrupt").disabled = state !== "live";
    if (hadFocus) (canStart ? start : stop).focus();
    if (!isNew) return this.#tell();
    find("heard").textContent = HEARD[state]?.(this.avatarName) ?? "";
    this.isSpeaking = false;
  }

  /** @param {boolean} isSpeaking counts only while live */
  set isSpeaking(isSpeaking) {
    this.#isSpeaking = isSpeaking && this.#state === "live";
    document.documentElement.toggleAttribute("data-speaking", this.#isSpeaking);
    this.#tell();
  }

  /** Id of the avatar that is chosen in the gallery and stands on the stage; empty if there is none. */
  get avatar() {
    return this.#avatar;
  }

  set avatar(id) {
    const card = this.#gallery.card(id);
    if (!card) return;
    this.#avatar = id;
    this.#gallery.choose(id);
    const still = (card.still || card.thumbnail) && new URL(card.still || card.thumbnail, document.baseURI).href;
    this.#video.poster = still;
    this.#video.setAttribute("aria-label", `${card.name}, live`);
    find("stage").style.setProperty("--still", still ? `url("${still}")` : "none");
    find("stage").classList.toggle("somebody", Boolean(still));
    find("name").textContent = card.name;
  }

  /** Its name, for sentences. */
  get avatarName() {
    return this.#gallery.card(this.#avatar)?.name ?? "The avatar";
  }

  /** Why there is no avatar to start with, in words; empty if there is one. */
  get complaint() {
    return this.#gallery.complaint;
  }

  /** @param {readonly import("./signaling.js").AvatarCard[]} avatars */
  set avatars(avatars) {
    this.avatar = this.#avatar = this.#gallery.fill(avatars);
    this.#adder.reveal();
    find("start").disabled = !this.#avatar;
  }

  /** @param {string} id @returns {boolean} whether the gallery has that avatar, and it is ready */
  canChoose(id) {
    return this.#gallery.card(id)?.ready ?? false;
  }

  /** @param {boolean} mayAdd whether the visitor may add avatars, and remove those */
  set mayAdd(mayAdd) {
    this.#adder.isOpen = mayAdd;
  }

  /** Say how an avatar comes or goes. @param {string} sentence @param {boolean} [isBusy] */
  sayAdding(sentence, isBusy = false) {
    this.#adder.say(sentence, isBusy);
  }

  /** @param {string} sentence empty for silence @param {{isFault?: boolean, again?: boolean}} [how] */
  say(sentence, {isFault = false, again = false} = {}) {
    const output = find("sentence");
    // Writing the same words again would make screen readers repeat them.
    if (output.textContent !== sentence) output.textContent = sentence;
    find("status").classList.toggle("fault", isFault);
    find("again").hidden = !again;
  }

  /**
   * Put a stream on the stage; the still stays until its first picture.
   * @param {MediaStream} stream @param {() => void} seen called at the first picture
   */
  async show(stream, seen) {
    const video = this.#video;
    video.srcObject = stream;
    video.requestVideoFrameCallback?.(() => {
      if (video.srcObject === stream) seen();
    });
    this.#gallery.reflect(video);
    try {
      await video.play();
    } catch (error) {
      // Some browsers want another click before they let a page be heard. To be seen it needs none.
      if (!(error instanceof DOMException) || error.name !== "NotAllowedError") return;
      this.isSoundOn = false;
      await video.play().catch(() => undefined);
    }
  }

  /** Empty the stage: the still comes back. */
  clear() {
    if (!this.#video.srcObject) return;
    this.#gallery.rest();
    this.#video.srcObject = null;
    this.#video.load();
  }

  /** Write a moment's milliseconds after the click on the video element, for tests. @param {string} moment @param {number} ms */
  time(moment, ms) {
    this.#video.setAttribute(`data-${moment}-ms`, String(Math.round(ms)));
  }

  /** Forget the moments of the visit before. */
  untime() {
    for (const name of this.#video.getAttributeNames()) if (name.startsWith("data-")) this.#video.removeAttribute(name);
  }

  get isSoundOn() {
    return !this.#video.muted;
  }

  set isSoundOn(isOn) {
    this.#video.muted = !isOn;
    this.#label("sound", isOn ? "Mute sound" : "Unmute sound", isOn ? "sound" : "sound-off");
    find("sound").classList.toggle("off", !isOn);
  }

  /** Device id that was picked; empty for the browser's choice, `NO_MICROPHONE` for none. @returns {string} */
  get microphone() {
    return find("microphone").value;
  }

  /** @param {readonly MediaDeviceInfo[]} devices */
  set microphones(devices) {
    const select = find("microphone");
    const {value} = select;
    const named = devices.filter((device) => device.label).map((device) => new Option(device.label, device.deviceId));
    const options = [new Option("Default microphone", ""), ...named, new Option("No microphone", NO_MICROPHONE)];
    select.replaceChildren(...options);
    select.value = options.some((option) => option.value === value) ? value : "";
  }

  /** @param {import("./microphone.js").MicrophoneState} state */
  set microphoneState(state) {
    const {label, icon, isUseful} = MICROPHONES[state];
    this.#microphoneState = state;
    document.documentElement.dataset.microphone = state;
    this.#label("mute", label, icon);
    find("mute").disabled = !isUseful;
    if (state !== "on") this.level = 0;
    this.#tell();
  }

  /** @param {number} level 0 to 1 */
  set level(level) {
    find("stage").style.setProperty("--level", level.toFixed(3));
    const now = performance.now();
    if (level && now - this.#meterTold < METER_MS) return;
    this.#meterTold = now;
    find("level").setAttribute("aria-valuenow", String(Math.round(level * 100)));
  }

  /** @param {import("./stats.js").History} history @param {string} note */
  measure(history, note) {
    this.#drawer.show(history, note);
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
    this.#on("stop", "click", () => this.#state !== "closing" && this.#want("stop"));
    for (const id of ["interrupt", "again", "mute", "sound"]) this.#on(id, "click", () => this.#want(id));
    this.#on("microphone", "change", () => this.#want("microphone"));
    for (const what of ["select", "remove"]) this.#gallery.addEventListener(what, (event) => this.#want(what, /** @type {CustomEvent} */ (event).detail));
    this.#adder.addEventListener("add", (event) => this.#want("add", {file: /** @type {CustomEvent} */ (event).detail, taken: this.#gallery.ids}));
    this.#on("statistics", "click", () => this.#slide(find("drawer").hidden));
    this.#on("shut", "click", () => this.#slide(false));
    document.addEventListener("keydown", ({key}) => {
      if (key === "Escape" && !find("drawer").hidden && !document.fullscreenElement) this.#slide(false);
    }, {signal: this.#life.signal});
    this.#on("fullscreen", "click", () => (document.fullscreenElement ? document.exitFullscreen() : find("stage").requestFullscreen()));
    this.#on("stage", "fullscreenchange", () => {
      this.#label("fullscreen", document.fullscreenElement ? "Leave full screen" : "Full screen", document.fullscreenElement ? "window" : "fullscreen");
    });
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

  /** Say on the plate how the avatar is. */
  #tell() {
    const [state, microphone] = [this.#state, this.#microphoneState];
    let condition = CONDITIONS[state];
    if (this.#isSpeaking) condition = "Speaking";
    else if (state === "live") condition = LIVE_CONDITIONS[microphone] ?? condition;
    else if (state === "failed" && this.#isWanted) condition = "Reconnecting";
    find("condition").textContent = condition;
  }

  /** @param {boolean} isOpen */
  #slide(isOpen) {
    find("drawer").hidden = !isOpen;
    find("statistics").setAttribute("aria-expanded", String(isOpen));
    (isOpen ? find("drawer") : find("statistics")).focus({preventScroll: true});
  }

  /** @param {string} id of a button without a text @param {string} label @param {string} icon */
  #label(id, label, icon) {
    const button = find(id);
    button.title = label;
    button.setAttribute("aria-label", label);
    button.querySelector("use").setAttribute("href", `#i-${icon}`);
  }
}
