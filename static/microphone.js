// @ts-check
/**
 * The visitor's microphone: asked for, picked, muted, measured, and given back.
 *
 * A refusal is no exception here but a state, because the page goes on without a microphone.
 */

/** @typedef {"off" | "asking" | "on" | "muted" | "refused" | "missing" | "busy" | "insecure"} MicrophoneState */

/** Choice of the picker that means: do not listen to me. */
export const NO_MICROPHONE = "none";

const QUIETEST_DB = -60;
/** @type {Record<string, MicrophoneState>} */
const REFUSALS = {
  NotAllowedError: "refused",
  SecurityError: "refused",
  NotFoundError: "missing",
  OverconstrainedError: "missing",
};

/** One microphone. Emits "state", "devices" and "level" (detail: 0 to 1, about sixty times a second). */
export class Microphone extends EventTarget {
  #life = new AbortController();
  /** @type {MicrophoneState} */
  #state = "off";
  /** @type {MediaStreamTrack | null} */
  #track = null;
  /** @type {AudioContext | null} */
  #context = null;
  #isMuted = false;
  /** Counts the calls, so that an answer to an older one is thrown away. */
  #asked = 0;

  constructor() {
    super();
    const {signal} = this.#life;
    navigator.mediaDevices?.addEventListener("devicechange", () => this.dispatchEvent(new Event("devices")), {signal});
  }

  get state() {
    return this.#state;
  }

  get track() {
    return this.#track;
  }

  /** @returns {Promise<MediaDeviceInfo[]>} the inputs; nameless until the visitor has allowed one */
  async devices() {
    const all = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
    return all.filter((device) => device.kind === "audioinput" && device.deviceId && device.deviceId !== "default");
  }

  /**
   * Ask for a microphone. Never throws; `state` says what came of it.
   * @param {string} deviceId empty for the browser's choice
   * @returns {Promise<MediaStreamTrack | null>}
   */
  async open(deviceId) {
    this.release();
    const asked = ++this.#asked;
    if (deviceId === NO_MICROPHONE) return null;
    if (!navigator.mediaDevices) return this.#refuse("insecure");
    this.#become("asking");
    try {
      const audio = {echoCancellation: true, noiseSuppression: true, autoGainControl: true, deviceId: deviceId ? {exact: deviceId} : undefined};
      const stream = await navigator.mediaDevices.getUserMedia({audio});
      const [track] = stream.getAudioTracks();
      if (asked !== this.#asked) {
        track.stop();
        return null;
      }
      this.#hold(track, stream);
      return track;
    } catch (error) {
      if (asked !== this.#asked) return null;
      return this.#refuse(error instanceof DOMException ? REFUSALS[error.name] ?? "busy" : "busy");
    }
  }

  /** @param {boolean} isMuted remembered for the next microphone too */
  mute(isMuted) {
    this.#isMuted = isMuted;
    if (!this.#track) return;
    this.#track.enabled = !isMuted;
    this.#become(isMuted ? "muted" : "on");
  }

  /** Give the microphone back: the browser's red dot goes out. */
  release() {
    this.#asked++;
    this.#track?.stop();
    this.#track = null;
    this.#context?.close();
    this.#context = null;
    this.#become("off");
  }

  close() {
    this.#life.abort();
    this.release();
  }

  /** @param {MediaStreamTrack} track @param {MediaStream} stream */
  #hold(track, stream) {
    this.#track = track;
    track.enabled = !this.#isMuted;
    track.addEventListener("ended", () => {
      if (track !== this.#track) return;
      this.release();
      this.#refuse("missing");
    });
    this.#become(this.#isMuted ? "muted" : "on");
    this.dispatchEvent(new Event("devices"));
    this.#measure(stream);
  }

  /** @param {MediaStream} stream */
  #measure(stream) {
    const context = new AudioContext();
    this.#context = context;
    const analyser = new AnalyserNode(context, {fftSize: 1024});
    context.createMediaStreamSource(stream).connect(analyser);
    const wave = new Float32Array(analyser.fftSize);
    let shown = 0;
    const look = () => {
      if (context !== this.#context) return;
      analyser.getFloatTimeDomainData(wave);
      // Rises at once and falls slowly, as the needle of a level meter does.
      shown = Math.max(loudness(wave), shown * 0.9);
      this.dispatchEvent(new CustomEvent("level", {detail: shown}));
      requestAnimationFrame(look);
    };
    look();
  }

  /** @param {MicrophoneState} state @returns {null} */
  #refuse(state) {
    this.#become(state);
    return null;
  }

  /** @param {MicrophoneState} state */
  #become(state) {
    if (state === this.#state) return;
    this.#state = state;
    this.dispatchEvent(new Event("state"));
  }
}

/** @param {Float32Array} wave samples in [-1, 1] @returns {number} RMS on a scale of decibels: 0 is -60 dBFS or less, 1 is 0 dBFS */
export function loudness(wave) {
  let energy = 0;
  for (const sample of wave) energy += sample * sample;
  const decibels = 10 * Math.log10(energy / wave.length + 1e-12);
  return Math.min(1, Math.max(0, 1 - decibels / QUIETEST_DB));
}
