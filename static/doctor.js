// @ts-check
/** The connection check's page: shows a `Checkup`, step by step. */

import {Checkup} from "./checkup.js";

const HOME = new URL("../", document.baseURI);
const WORDS = {waiting: "not tried yet", running: "being tried", good: "works", bad: "does not work", skipped: "skipped"};

/** @param {string} id */
const find = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

/** The list and the button under it. */
class Doctor {
  #list = find("steps");
  #button = /** @type {HTMLButtonElement} */ (find("run"));
  #video = /** @type {HTMLVideoElement} */ (find("seen"));
  /** @type {Checkup | null} */
  #checkup = null;

  constructor() {
    this.#lay(new Checkup(HOME));
    this.#button.addEventListener("click", () => this.#run());
  }

  close() {
    this.#checkup?.close();
  }

  async #run() {
    const checkup = this.#checkup = new Checkup(HOME);
    this.#lay(checkup);
    this.#button.disabled = true;
    document.documentElement.dataset.state = "running";
    find("verdict").textContent = "";
    const outcomes = [];
    try {
      for (const [id, , work] of checkup.steps) {
        this.#show(id, "running", "");
        const {outcome, text} = await attempt(work);
        this.#show(id, outcome, text);
        this.#look(checkup.stream);
        outcomes.push(outcome);
      }
    } finally {
      checkup.close();
      this.#look(null);
      this.#button.disabled = false;
      this.#button.textContent = "Check again";
    }
    const isWell = !outcomes.includes("bad");
    find("verdict").textContent = isWell ? "Everything that is needed works." : "The first ✗ is where to begin: what is below it may only follow from it.";
    document.documentElement.dataset.state = isWell ? "good" : "bad";
  }

  /** @param {Checkup} checkup */
  #lay(checkup) {
    const template = /** @type {HTMLTemplateElement} */ (find("step"));
    this.#list.replaceChildren(...checkup.steps.map(([id, title]) => {
      const row = /** @type {HTMLElement} */ (/** @type {DocumentFragment} */ (template.content.cloneNode(true)).firstElementChild);
      row.id = `step-${id}`;
      /** @type {Element} */ (row.querySelector("b")).textContent = title;
      return row;
    }));
    for (const [id] of checkup.steps) this.#show(id, "waiting", "");
  }

  /** @param {string} id @param {keyof typeof WORDS} state @param {string} text */
  #show(id, state, text) {
    const row = find(`step-${id}`);
    row.dataset.state = state;
    /** @type {Element} */ (row.querySelector(".heard-only")).textContent = `: ${WORDS[state]}. `;
    /** @type {Element} */ (row.querySelector("p")).textContent = text;
  }

  /** @param {MediaStream | null} stream */
  #look(stream) {
    if (this.#video.srcObject !== stream) this.#video.srcObject = stream;
    this.#video.hidden = !stream;
  }
}

/**
 * Take a step; one that breaks has failed, and the others go on.
 * @param {() => Promise<import("./checkup.js").Finding>} work
 * @returns {Promise<import("./checkup.js").Finding>}
 */
async function attempt(work) {
  try {
    return await work();
  } catch (error) {
    return {outcome: "bad", text: `The browser could not do it (${error instanceof Error ? error.name : "unknown"}). Another browser may: Chrome, Edge, Firefox and Safari of the last two years can.`};
  }
}

const doctor = new Doctor();
window.addEventListener("pagehide", () => doctor.close());
