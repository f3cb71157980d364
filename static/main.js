// @ts-check
/** Wires the page: what the visitor wants, what the studio does, and what the microphone hears. */

import {Call, listen} from "./call.js";
import {Microphone} from "./microphone.js";
import {Newcomers} from "./newcomers.js";
import {choose} from "./sentences.js";
import {View} from "./view.js";

/** The page from its load to its end. */
class Studio {
  #view = new View();
  #microphone = new Microphone();
  #call = new Call(new URL(document.baseURI));
  #newcomers = new Newcomers(new URL(document.baseURI));
  /** True once the gallery is known. */
  #isGreeted = false;
  /** An avatar that this page added, until the gallery can choose it. */
  #newcomer = "";

  constructor() {
    this.#obeyVisitor();
    this.#followCall();
    this.#hearMicrophone();
    this.#view.microphones = [];
    this.#view.microphoneState = "off";
    this.#call.open();
    this.#newcomers.mayAdd().then((mayAdd) => (this.#view.mayAdd = mayAdd));
  }

  close() {
    this.#call.close();
    this.#newcomers.close();
    this.#microphone.close();
    this.#view.close();
  }

  #obeyVisitor() {
    const on = listen(this.#view);
    on("start", () => this.#start());
    on("again", () => this.#start());
    on("stop", () => this.#call.stop());
    on("interrupt", () => this.#call.interrupt());
    on("sound", () => (this.#view.isSoundOn = !this.#view.isSoundOn));
    on("select", (id) => this.#select(id));
    on("add", (picture) => this.#add(picture));
    on("remove", async (id) => this.#view.sayAdding(await this.#newcomers.remove(id)));
    on("microphone", () => this.#call.isWanted && this.#openMicrophone());
    on("mute", () => {
      if (this.#microphone.track) this.#microphone.mute(this.#microphone.state !== "muted");
      else this.#openMicrophone();
    });
  }

  #followCall() {
    const on = listen(this.#call);
    const view = this.#view;
    on("avatars", (avatars) => {
      view.avatars = avatars;
      this.#isGreeted = true;
      this.#call.select(view.avatar);
      this.#welcome();
      this.#explain();
    });
    on("change", () => {
      if (!this.#call.isWanted) this.#microphone.release();
      view.become(this.#call.state, this.#call.isWanted);
      this.#explain();
    });
    on("avatar", (id) => (view.avatar = id));
    on("speaking", (isSpeaking) => (view.isSpeaking = isSpeaking));
    on("begin", () => view.untime());
    on("stream", ({stream, seen}) => view.show(stream, seen));
    on("end", () => view.clear());
    on("mark", ({moment, ms}) => view.time(moment, ms));
    on("count", ({history, note}) => view.measure(history, note));
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
    this.#call.start();
    if (!this.#microphone.track) this.#openMicrophone();
  }

  /** @param {string} id */
  #select(id) {
    this.#view.avatar = id;
    this.#call.select(id);
    this.#explain();
  }

  /** @param {{file: File, taken: readonly string[]}} picture */
  async #add({file, taken}) {
    const {id, sentence} = await this.#newcomers.add(file, taken, (how) => this.#view.sayAdding(how, true));
    this.#view.sayAdding(sentence);
    this.#newcomer = id;
    this.#welcome();
  }

  /** Choose the newcomer as soon as that can be, unless somebody else is on the stage. */
  #welcome() {
    const id = this.#newcomer;
    if (!this.#view.canChoose(id)) return;
    this.#newcomer = "";
    if (!this.#call.isWanted) this.#select(id);
  }

  async #openMicrophone() {
    const track = await this.#microphone.open(this.#view.microphone);
    if (!this.#call.isWanted) this.#microphone.release();
    else if (track === this.#microphone.track) await this.#call.attach(track);
  }

  #explain() {
    const {state, fault} = this.#call;
    const {avatarName: name, complaint, microphone: device} = this.#view;
    const {sentence, ...how} = choose({state, fault, name, device, microphone: this.#microphone.state, complaint, isGreeted: this.#isGreeted});
    this.#view.say(sentence, how);
  }
}

let studio = new Studio();
window.addEventListener("pagehide", () => studio.close());
// Back from the browser's cache of pages: everything was given away, so begin anew.
window.addEventListener("pageshow", (event) => {
  if (event.persisted) studio = new Studio();
});
