// @ts-check
/** The demo's page: a portrait, a recording, two sliders, and a stage on which the one speaks the other. */

import {IceServers} from "./ice.js";
import {Recital, ask} from "./recital.js";

/** A preset's values; `chunks` are past, present and future pictures. @type {Record<string, {scale: number, steps: number, chunks: number[]}>} */
const PRESETS = {
  quality: {scale: 0.6, steps: 15, chunks: [3, 5, 2]},
  latency: {scale: 0.3, steps: 10, chunks: [2, 3, 2]},
};
const OWN_PORTRAIT = "static/avatars/astronaut.png";
const LOOK_MS = 700;
const home = new URL(document.baseURI);

/** @template {HTMLElement} T @param {string} id @param {new () => T} kind @returns {T} */
function find(id, kind) {
  const element = document.getElementById(id);
  if (!(element instanceof kind)) throw new Error(`no ${id}`);
  return element;
}

/** @param {string} portrait by the path that the studio knows @returns {Promise<any>} how its preparation goes */
function look(portrait) {
  const url = new URL("api/portraits", home);
  url.searchParams.set("source_path", portrait);
  return ask(fetch(url));
}

/** One field for a file: uploads what is chosen and remembers the path by which the studio knows it. */
class Upload {
  path = "";
  #input;
  #note;
  #field;
  #shown = "";
  #latest = 0;

  /** @param {string} id of the input, and name of the form's field @param {(url: string) => void} show @param {() => void} done */
  constructor(id, show, done) {
    this.#field = id;
    this.#input = find(id, HTMLInputElement);
    this.#note = find(`${id}-note`, HTMLElement);
    this.#input.addEventListener("change", () => this.#send(show, done));
  }

  /** @param {string} sentence @param {boolean} [isFault] */
  say(sentence, isFault = false) {
    this.#note.textContent = sentence;
    this.#note.classList.toggle("fault", isFault);
  }

  /** @param {(url: string) => void} show @param {() => void} done */
  async #send(show, done) {
    const file = this.#input.files?.[0];
    if (!file) return;
    const turn = ++this.#latest;
    this.path = "";
    URL.revokeObjectURL(this.#shown);
    this.#shown = URL.createObjectURL(file);
    show(this.#shown);
    this.say("Uploading…");
    done();
    const form = new FormData();
    form.append(this.#field, file);
    try {
      const answer = await ask(fetch(new URL("upload", home), {method: "POST", body: form}));
      if (turn !== this.#latest) return;
      this.path = answer[`${this.#field}_path`];
      this.say("Ready.");
    } catch (error) {
      if (turn === this.#latest) this.say(String(error instanceof Error ? error.message : error), true);
    }
    done();
  }
}

/** The page from its load to its end. */
class Demo {
  #ice = new IceServers(new URL("api/ice-servers", home));
  #video = find("video", HTMLVideoElement);
  #scale = find("scale", HTMLInputElement);
  #steps = find("steps", HTMLInputElement);
  #sound = find("sound", HTMLAudioElement);
  #portrait = find("portrait", HTMLImageElement);
  #start = find("start", HTMLButtonElement);
  #stop = find("stop", HTMLButtonElement);
  #source = new Upload("source", (url) => (this.#portrait.src = this.#video.poster = url), () => this.#watch());
  #audio = new Upload("audio", (url) => this.#preview(url), () => this.#show());
  #chunks = PRESETS.quality.chunks;
  /** @type {Recital | null} */
  #recital = null;
  /** Connected to a studio that still prepares the portrait. */
  #isPreparing = false;
  #looks = 0;

  constructor() {
    find("demo", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      this.#begin();
    });
    this.#stop.addEventListener("click", () => this.#end("idle", ""));
    this.#video.addEventListener("loadeddata", () => this.#recital && this.#video.srcObject && this.#become("live", ""));
    for (const slider of [this.#scale, this.#steps]) slider.addEventListener("input", () => this.#choose("own"));
    for (const radio of this.#presets) radio.addEventListener("change", () => this.#choose(radio.value));
    this.#ice.list();
    this.#show();
  }

  close() {
    this.#recital?.close();
  }

  get #presets() {
    return [...document.querySelectorAll("input[name=preset]")].filter((one) => one instanceof HTMLInputElement);
  }

  /** @param {string} name of a preset, or "own" */
  #choose(name) {
    for (const radio of this.#presets) radio.checked = radio.value === name;
    const preset = PRESETS[name];
    if (preset) {
      this.#scale.value = String(preset.scale);
      this.#steps.value = String(preset.steps);
      this.#chunks = preset.chunks;
    }
    this.#show();
  }

  /** @param {string} url of the recording that was chosen */
  #preview(url) {
    this.#sound.src = url;
    this.#sound.hidden = false;
  }

  async #begin() {
    this.#end("connecting", "");
    this.#sound.pause();
    const recital = this.#recital = new Recital(await this.#ice.list());
    recital.addEventListener("stream", (event) => (this.#video.srcObject = /** @type {CustomEvent} */ (event).detail));
    const portrait = this.#source.path || OWN_PORTRAIT;
    recital.addEventListener("connected", () => this.#await(recital, portrait));
    recital.addEventListener("end", () => this.#conclude(recital, portrait));
    try {
      const warnings = await recital.begin(new URL("webrtc/offer", home), {
        audio_path: this.#audio.path,
        source_path: portrait,
        setup_kwargs: {sampling_timesteps: Number(this.#steps.value), online_mode: true},
        run_kwargs: {frame_scale: Number(this.#scale.value), chunk_config: this.#chunks},
      });
      if (warnings.length) this.#say(warnings.join(" "));
    } catch (error) {
      if (recital === this.#recital) this.#end("failed", error instanceof Error ? error.message : String(error));
    }
  }

  /** Connected, which it also is while the portrait is not ready: say so until its first picture. @param {Recital} recital @param {string} portrait */
  async #await(recital, portrait) {
    const {ready, reason} = await look(portrait).catch(() => ({ready: true, reason: ""}));
    if (recital !== this.#recital || this.#isLive || ready || reason) return;
    this.#isPreparing = true;
    this.#become("connecting", "Preparing the portrait…");
  }

  /** It is over; without a picture there is a reason for it. @param {Recital} recital @param {string} portrait */
  async #conclude(recital, portrait) {
    if (recital !== this.#recital) return;
    if (this.#isLive) return this.#end("idle", "That was all. Press Start to hear it again.");
    const {reason} = await look(portrait).catch((error) => ({reason: error.message}));
    if (recital === this.#recital) this.#end("failed", reason || "No picture came from the studio. Press Start to try again.");
  }

  get #isLive() {
    return document.documentElement.dataset.state === "live";
  }

  /** @param {string} state @param {string} sentence */
  #end(state, sentence) {
    this.#recital?.close();
    this.#recital = null;
    this.#isPreparing = false;
    this.#video.srcObject = null;
    this.#become(state, sentence);
  }

  /** @param {string} state @param {string} sentence */
  #become(state, sentence) {
    document.documentElement.dataset.state = state;
    this.#say(sentence);
    this.#show();
  }

  /** @param {string} sentence */
  #say(sentence) {
    find("sentence", HTMLElement).textContent = sentence;
    find("status", HTMLElement).classList.toggle("fault", document.documentElement.dataset.state === "failed");
  }

  /** Ask how the portrait's preparation goes until it has come to an end. */
  async #watch() {
    const turn = ++this.#looks;
    const progress = find("preparation", HTMLProgressElement);
    progress.hidden = true;
    find("findings", HTMLElement).replaceChildren();
    this.#show();
    while (this.#source.path && turn === this.#looks) {
      try {
        const report = await look(this.#source.path);
        if (turn !== this.#looks) return;
        progress.value = report.done;
        progress.hidden = report.ready || Boolean(report.reason);
        this.#source.say(report.reason || (report.ready ? "Prepared." : `Preparing: ${report.phrase}`), Boolean(report.reason));
        if (report.ready || report.reason) return this.#report(report.findings);
      } catch (error) {
        return this.#source.say(error instanceof Error ? error.message : String(error), true);
      }
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
  }

  /** @param {{good: boolean, text: string}[]} findings */
  #report(findings) {
    const lines = findings.map(({good, text}) => {
      const line = document.createElement("li");
      line.textContent = text;
      line.classList.toggle("poor", !good);
      return line;
    });
    find("findings", HTMLElement).replaceChildren(...lines);
  }

  #show() {
    const {state} = document.documentElement.dataset;
    const isOn = state === "connecting" || state === "live";
    find("scale-shown", HTMLOutputElement).value = Number(this.#scale.value).toFixed(2);
    find("steps-shown", HTMLOutputElement).value = this.#steps.value;
    this.#start.hidden = isOn;
    this.#stop.hidden = !isOn;
    this.#start.disabled = !this.#audio.path;
    const words = /** @type {Record<string, string>} */ ({idle: "Ready", connecting: "Connecting", live: "Live", failed: "Failed"});
    find("condition", HTMLElement).textContent = this.#isPreparing && !this.#isLive ? "Preparing" : words[state ?? "idle"];
    if (state === "idle" && !this.#audio.path && !this.#recital) this.#say("Choose a recording, and press Start.");
    else if (state === "idle" && find("sentence", HTMLElement).textContent?.startsWith("Choose")) this.#say("");
  }
}

const demo = new Demo();
window.addEventListener("pagehide", () => demo.close());
