// @ts-check
/**
 * One WebRTC connection to the studio: the avatar's picture and sound come in, the microphone goes out if there is one.
 *
 * The offer never waits for the microphone. It holds a sending audio line with nothing on it yet, and `attach` puts the track
 * there once the visitor has allowed it: no second negotiation, and the face is on the page meanwhile.
 */

/** One WebRTC connection. Emits "state", "stream" and "candidate". */
export class Peer extends EventTarget {
  #pc;
  #voice;
  #stream = new MediaStream();
  /** Every listener is added with its signal. */
  #life = new AbortController();

  /** @param {RTCIceServer[]} iceServers what the studio configured; none by default, so that nothing leaves the host */
  constructor(iceServers) {
    super();
    this.#pc = new RTCPeerConnection({iceServers, bundlePolicy: "max-bundle"});
    this.#voice = this.#pc.addTransceiver("audio", {direction: "sendrecv"});
    this.#pc.addTransceiver("video", {direction: "recvonly"});
    const {signal} = this.#life;
    this.#pc.addEventListener("connectionstatechange", () => this.dispatchEvent(new Event("state")), {signal});
    this.#pc.addEventListener("track", (event) => this.#receive(event.track), {signal});
    this.#pc.addEventListener("icecandidate", ({candidate}) => {
      // An empty candidate line ends one generation only; null ends them all and is the one that is sent.
      if (!candidate || candidate.candidate) this.dispatchEvent(new CustomEvent("candidate", {detail: candidate}));
    }, {signal});
  }

  /** "new", "connecting", "connected", "disconnected", "failed" or "closed". */
  get state() {
    return this.#life.signal.aborted ? "closed" : this.#pc.connectionState;
  }

  /** @returns {Promise<string | null>} the SDP to send, or null if the peer was closed meanwhile */
  async offer() {
    await this.#pc.setLocalDescription();
    return this.#life.signal.aborted ? null : this.#pc.localDescription?.sdp ?? null;
  }

  /** @param {string} sdp the studio's answer, with its candidates inside */
  async accept(sdp) {
    if (!this.#life.signal.aborted) await this.#pc.setRemoteDescription({type: "answer", sdp});
  }

  /** @param {RTCIceCandidateInit | null} candidate one that the studio sent later */
  async add(candidate) {
    if (!this.#life.signal.aborted && candidate?.candidate) await this.#pc.addIceCandidate(candidate);
  }

  /** @param {MediaStreamTrack | null} track the microphone; null takes it away */
  async attach(track) {
    if (!this.#life.signal.aborted) await this.#voice.sender.replaceTrack(track);
  }

  /** @returns {Promise<RTCStatsReport | null>} */
  async report() {
    return this.#life.signal.aborted ? null : this.#pc.getStats();
  }

  close() {
    if (this.#life.signal.aborted) return;
    this.#life.abort();
    this.#pc.close();
  }

  /** @param {MediaStreamTrack} track */
  #receive(track) {
    this.#stream.addTrack(track);
    // Announced with the picture: a stream of sound alone would take the still away and show nothing.
    if (track.kind === "video") this.dispatchEvent(new CustomEvent("stream", {detail: this.#stream}));
  }
}
