// @ts-check
/** One recital: a portrait speaks a recording, over one WebRTC connection that only receives. Knows nothing of the document. */

/** Candidates go inside the offer; a network that finds none of its own in this time has none to offer. */
const GATHER_LIMIT_MS = 1500;

/** @typedef {{audio_path: string, source_path: string, setup_kwargs: object, run_kwargs: object}} Wish */

/** Emits "stream" (detail: MediaStream), "connected", which says nothing yet of pictures, and "end". */
export class Recital extends EventTarget {
  #pc;
  #stream = new MediaStream();
  #life = new AbortController();

  /** @param {RTCIceServer[]} iceServers */
  constructor(iceServers) {
    super();
    this.#pc = new RTCPeerConnection({iceServers, bundlePolicy: "max-bundle"});
    for (const kind of ["video", "audio"]) this.#pc.addTransceiver(kind, {direction: "recvonly"});
    const {signal} = this.#life;
    this.#pc.addEventListener("track", ({track}) => this.#receive(track), {signal});
    this.#pc.addEventListener("connectionstatechange", () => this.#follow(), {signal});
  }

  /**
   * @param {URL} url of the offer @param {Wish} wish
   * @returns {Promise<string[]>} what the studio had to change about the wish, in words
   */
  async begin(url, wish) {
    await this.#pc.setLocalDescription();
    await this.#gathered();
    const {sdp, type} = this.#pc.localDescription ?? {};
    const {signal} = this.#life;
    const answer = await ask(fetch(url, {
      method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify({sdp, type, ...wish}), signal,
    }));
    if (signal.aborted) return [];
    await this.#pc.setRemoteDescription({type: "answer", sdp: answer.sdp});
    // The studio says goodbye over DTLS; the connection itself would notice six seconds later that nobody is there.
    const {transport} = this.#pc.getReceivers()[0];
    transport?.addEventListener("statechange", () => transport.state === "closed" && this.#end(), {signal});
    return answer.warnings ?? [];
  }

  close() {
    if (this.#life.signal.aborted) return;
    this.#life.abort();
    this.#pc.close();
  }

  /** Resolve when all candidates are known, or after the limit. */
  #gathered() {
    if (this.#pc.iceGatheringState === "complete") return Promise.resolve();
    return new Promise((resolve) => {
      const {signal} = this.#life;
      this.#pc.addEventListener("icegatheringstatechange", () => this.#pc.iceGatheringState === "complete" && resolve(null), {signal});
      setTimeout(resolve, GATHER_LIMIT_MS);
    });
  }

  /** @param {MediaStreamTrack} track */
  #receive(track) {
    this.#stream.addTrack(track);
    if (track.kind === "video") this.dispatchEvent(new CustomEvent("stream", {detail: this.#stream}));
  }

  #follow() {
    const state = this.#pc.connectionState;
    if (state === "connected") this.dispatchEvent(new Event("connected"));
    else if (["disconnected", "failed", "closed"].includes(state)) this.#end();
  }

  #end() {
    this.dispatchEvent(new Event("end"));
  }
}

/**
 * @param {Promise<Response>} request
 * @returns {Promise<any>} the body of the answer
 * @throws {Error} whose message is a sentence for the visitor
 */
export async function ask(request) {
  let response;
  try {
    response = await request;
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Error("The studio does not answer. Try again in a moment.");
  }
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(body.detail ?? body.error?.message ?? "Something went wrong in the studio.");
  return body;
}
