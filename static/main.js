// @ts-check
/**
 * Wires the page: what the visitor wants, what the studio says, and what the browser does, into one state.
 *
 * A visit is one try to be connected, from the click to the goodbye. The wish to be connected outlives it: when the studio
 * goes away and comes back, the page goes on by itself.
 */

import {IceServers} from "./ice.js";
import {Microphone, NO_MICROPHONE} from "./microphone.js";
import {Peer} from "./peer.js";
import {AWAY, BROKEN, DEAF, FALTERS, LOST, NO_PATH, welcome} from "./sentences.js";
import {Signaling} from "./signaling.js";
import {View} from "./view.js";
import {Visit} from "./visit.js";

/** Longer than the studio's own limit, so that its sentence comes first. */
const CONNECT_LIMIT_MS = 25_000;
const STOP_LIMIT_MS = 1500;
const SECOND_MS = 1000;
/** A network that changes may cost a connection; three in a row are a broken one. */
const MOST_RECOVERIES = 3;

/** The page from its load to its end. */
class Studio {
  #view = new View();
  #signaling = new Signaling(socketUrl());
  #microphone = new Microphone();
  /** @type {Visit | null} */
  #visit = null;
  /** True from Start until Stop or until a failure that time does not heal. */
  #isWanted = false;
  /** True once the gallery is known. */
  #isGreeted = false;
  #recoveries = 0;
  /** @type {{sentence: string, again: boolean} | null} */
  #fault = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #ice = new IceServers(new URL("api/ice-servers", document.baseURI));

  constructor() {
    this.#obeyVisitor();
    this.#hearStudio();
    this.#hearMicrophone();
    this.#view.microphones = [];
    this.#view.microphoneState = "off";
    this.#ice.list();
    this.#signaling.retry();
  }

  /** Say goodbye at once, so that the seat is free before the tab is gone. */
  close() {
    this.#isWanted = false;
    this.#end();
    this.#signaling.close();
    this.#microphone.close();
    this.#view.close();
  }

  #obeyVisitor() {
    const on = listen(this.#view);
    on("start", () => this.#start());
    on("again", () => this.#start());
    on("stop", () => this.#stop());
    on("interrupt", () => this.#signaling.interrupt());
    on("sound", () => (this.#view.isSoundOn = !this.#view.isSoundOn));
    on("select", (id) => this.#select(id));
    on("microphone", () => this.#visit && this.#listenTo());
    on("mute", () => {
      if (this.#microphone.track) this.#microphone.mute(this.#microphone.state !== "muted");
      else this.#listenTo();
    });
  }

  #hearStudio() {
    const on = listen(this.#signaling);
    on("open", () => this.#greet());
    on("lost", ({returns}) => this.#lose(returns));
    on("avatars", ({avatars}) => {
      this.#view.avatars = avatars;
      this.#isGreeted = true;
      this.#explain();
    });
    on("avatar_selected", ({avatar_id: id}) => (this.#view.avatar = id));
    on("answer", ({sdp}) => this.#visit?.accept(sdp));
    on("ice_candidate", ({candidate}) => this.#visit?.peer.add(candidate));
    on("state", (state) => this.#follow(state));
    on("stats", (stats) => this.#visit?.hear(stats));
    on("stopped", () => this.#view.state === "closing" && this.#rest());
    on("error", (fault) => this.#complain(fault));
  }

  #hearMicrophone() {
    const on = listen(this.#microphone);
    on("level", (level) => (this.#view.level = level));
    on("devices", async () => (this.#view.microphones = await this.#microphone.devices()));
    on("state", () => {
      this.#view.microphoneState = this.#microphone.state;
      this.#explain();
    });
  }

  #start() {
    this.#isWanted = true;
    this.#recoveries = 0;
    this.#fault = null;
    if (!this.#microphone.track) this.#listenTo();
    if (this.#signaling.isOpen) this.#begin();
    else this.#reach();
  }

  /** The studio is not there yet: try now, and begin when it opens. */
  #reach() {
    this.#view.state = "connecting";
    this.#explain();
    this.#signaling.retry();
  }

  /** The socket is open, for the first time or again. */
  #greet() {
    this.#signaling.getAvatars();
    if (this.#isWanted) {
      this.#begin();
    } else if (this.#view.state === "failed" && !this.#fault?.again) {
      this.#rest();
    }
  }

  async #begin() {
    this.#end();
    const since = performance.now();
    this.#view.state = "connecting";
    this.#explain();
    this.#timer = setTimeout(() => this.#fail(NO_PATH, true), CONNECT_LIMIT_MS);
    const servers = await this.#ice.list();
    if (!this.#isWanted || this.#visit) return;
    const visit = this.#visit = this.#visitBy(new Peer(servers), since);
    try {
      const sdp = await visit.peer.offer();
      if (sdp === null) return;
      await visit.peer.attach(this.#microphone.track);
      visit.mark("offer");
      this.#signaling.offer(sdp, this.#view.avatar || null);
    } catch (error) {
      if (visit === this.#visit) this.#fail(BROKEN, true);
      console.info("offer:", error);
    }
  }

  /** @param {Peer} peer @param {number} since @returns {Visit} */
  #visitBy(peer, since) {
    const visit = new Visit(peer, since);
    this.#view.untime();
    listen(visit)("mark", ({moment, ms}) => this.#view.time(moment, ms));
    listen(visit)("count", ({history, note}) => this.#view.measure(history, note));
    const on = listen(peer);
    on("candidate", (candidate) => this.#signaling.iceCandidate(candidate));
    on("stream", (stream) => this.#view.show(stream, () => visit.mark("first-frame")));
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
      this.#fault = null;
      this.#view.state = "live";
      visit.count();
    } else if (state === "disconnected") {
      this.#fault = {sentence: FALTERS, again: false};
    } else if (state === "failed") {
      this.#recover();
    }
    this.#explain();
  }

  /** The connection is gone although the socket is there. */
  #recover() {
    this.#end();
    if (++this.#recoveries > MOST_RECOVERIES) {
      this.#fail(NO_PATH, true);
      return;
    }
    this.#fault = {sentence: LOST, again: false};
    this.#view.state = "failed";
    this.#explain();
    this.#timer = setTimeout(() => this.#isWanted && this.#signaling.isOpen && this.#begin(), SECOND_MS * this.#recoveries);
  }

  /** @param {boolean} returns whether signaling tries again by itself */
  #lose(returns) {
    const {state} = this.#view;
    this.#end();
    if (state === "closing") {
      this.#rest();
    } else if (state !== "failed" || !this.#fault?.again) {
      const sentence = this.#isWanted ? LOST : AWAY;
      this.#fault = returns ? {sentence, again: false} : this.#fault ?? {sentence: AWAY, again: true};
      this.#view.state = "failed";
    }
    this.#explain();
  }

  /** @param {{connection: string, speaking: boolean}} state of the session as the studio sees it */
  #follow({connection, speaking}) {
    if (connection === "closed" && this.#view.state === "live") this.#recover();
    else this.#view.isSpeaking = speaking;
  }

  /** @param {import("./signaling.js").Fault} fault */
  #complain({message, fatal, retryable}) {
    if (fatal || this.#view.state === "connecting") {
      this.#fail(message, retryable);
    } else {
      this.#fault = {sentence: message, again: false};
      this.#explain();
    }
  }

  /** Give up until the visitor wants it again. @param {string} sentence @param {boolean} again */
  #fail(sentence, again) {
    this.#isWanted = false;
    this.#end();
    this.#microphone.release();
    this.#fault = {sentence, again};
    this.#view.state = "failed";
    this.#explain();
  }

  #stop() {
    this.#isWanted = false;
    const wasThere = this.#visit !== null && this.#signaling.isOpen;
    this.#end();
    this.#microphone.release();
    if (!wasThere) return this.#rest();
    this.#view.state = "closing";
    this.#signaling.stop();
    this.#timer = setTimeout(() => this.#rest(), STOP_LIMIT_MS);
  }

  #rest() {
    clearTimeout(this.#timer);
    this.#fault = null;
    this.#view.state = "idle";
    this.#explain();
  }

  /** Close the running visit, if there is one. */
  #end() {
    clearTimeout(this.#timer);
    this.#visit?.close();
    this.#visit = null;
    this.#view.clear();
  }

  /** @param {string} id */
  #select(id) {
    this.#view.avatar = id;
    this.#fault = this.#view.state === "failed" ? this.#fault : null;
    if (this.#visit) this.#signaling.selectAvatar(id);
    this.#explain();
  }

  async #listenTo() {
    const track = await this.#microphone.open(this.#view.microphone);
    if (!this.#isWanted) this.#microphone.release();
    else if (track === this.#microphone.track) await this.#visit?.peer.attach(track);
    this.#visit?.mark("microphone");
  }

  /** One sentence at a time, the most urgent one. */
  #explain() {
    const {state, avatarName: name, complaint} = this.#view;
    const isVisiting = state === "connecting" || state === "live";
    if (this.#fault) {
      this.#view.say(this.#fault.sentence, {isFault: true, again: this.#fault.again});
    } else if (isVisiting && this.#view.microphone !== NO_MICROPHONE) {
      this.#view.say(DEAF[this.#microphone.state]?.(name) ?? "");
    } else if (state === "idle" && this.#isGreeted) {
      this.#view.say(complaint || welcome(name));
    } else {
      this.#view.say("");
    }
  }
}

/** @param {EventTarget} target @returns {(type: string, react: (detail: any) => unknown) => void} */
function listen(target) {
  return (type, react) => target.addEventListener(type, (event) => react(/** @type {CustomEvent} */ (event).detail));
}

/** @returns {URL} */
function socketUrl() {
  const url = new URL("ws", document.baseURI);
  url.protocol = url.protocol.replace("http", "ws");
  return url;
}

let studio = new Studio();
window.addEventListener("pagehide", () => studio.close());
// Back from the browser's cache of pages: everything was given away, so begin anew.
window.addEventListener("pageshow", (event) => {
  if (event.persisted) studio = new Studio();
});
