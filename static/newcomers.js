// @ts-check
/**
 * Avatars that the visitor brings: sent to the studio, watched while it prepares them, taken away again.
 *
 * Knows nothing of the document. What goes wrong comes back as a sentence.
 */

const BROKEN = "The picture did not reach the studio. Try again.";
const NAME_LENGTH = 64;
const ID_LENGTH = 48;
/** So many ids are tried: the studio may know some that this page does not. */
const TRIES = 9;
const TAKEN = 409;

/** What became of a picture: the id of an avatar that is ready, or why there is none, in words. @typedef {{id: string, sentence: string}} Outcome */

/** The page's way to the studio's avatars. */
export class Newcomers {
  #url;
  #life = new AbortController();

  /** @param {URL} home address of the page */
  constructor(home) {
    this.#url = (/** @type {string} */ path) => new URL(`api/avatars${path}`, home);
  }

  /** Whether this visitor may add avatars, and remove those. @returns {Promise<boolean>} */
  async mayAdd() {
    try {
      const answer = await fetch(this.#url(""), {signal: this.#life.signal});
      return answer.ok && (await answer.json()).may_add === true;
    } catch {
      return false; // the studio is away: the page says so elsewhere
    }
  }

  /**
   * Make an avatar of a picture.
   * @param {File} file @param {readonly string[]} taken ids of avatars there are @param {(sentence: string) => void} tell how it goes
   * @returns {Promise<Outcome>}
   */
  async add(file, taken, tell) {
    const name = nameOf(file.name);
    tell(`Sending ${name} …`);
    try {
      for (let count = 1; count <= TRIES; count++) {
        const id = idOf(name, count);
        if (taken.includes(id)) continue;
        const form = new FormData();
        for (const [field, text] of [["id", id], ["name", name]]) form.set(field, text);
        form.set("image", file);
        const answer = await fetch(this.#url(""), {method: "POST", body: form, signal: this.#life.signal});
        if (answer.status === TAKEN) continue;
        return answer.ok ? await this.#watch(id, name, tell) : {id: "", sentence: (await answer.json()).error.message};
      }
      return {id: "", sentence: `There are several avatars called ${name} already. Give the file another name.`};
    } catch {
      return {id: "", sentence: this.#life.signal.aborted ? "" : BROKEN};
    }
  }

  /** @param {string} id @returns {Promise<string>} why it cannot be removed; empty when it is gone */
  async remove(id) {
    try {
      const answer = await fetch(this.#url(`/${id}`), {method: "DELETE", signal: this.#life.signal});
      return answer.ok ? "" : (await answer.json()).error.message;
    } catch {
      return "The studio does not answer.";
    }
  }

  close() {
    this.#life.abort();
  }

  /** @param {string} id @param {string} name @param {(sentence: string) => void} tell @returns {Promise<Outcome>} */
  #watch(id, name, tell) {
    const events = new EventSource(this.#url(`/${id}/events`));
    return new Promise((resolve) => {
      const end = (/** @type {string} */ sentence, isReady = false) => {
        events.close();
        resolve({id: isReady ? id : "", sentence});
      };
      this.#life.signal.addEventListener("abort", () => end(""), {once: true});
      events.addEventListener("state", ({data}) => {
        const {state, reason, progress} = JSON.parse(data);
        if (state === "ready") return end("", true);
        if (state !== "failed") return tell(`Preparing ${name}: ${Math.round(progress * 100)} %`);
        // Nobody can use it: another picture may have its place.
        this.remove(id);
        end(reason);
      });
      events.addEventListener("removed", () => end(`${name} was removed.`));
      events.addEventListener("error", () => events.readyState === EventSource.CLOSED && end(BROKEN));
    });
  }
}

/** @param {string} file @returns {string} its name without its ending, as a person would write it */
function nameOf(file) {
  return file.replace(/\.[^.]*$/, "").replace(/[_\s]+/g, " ").replace(/\p{C}/gu, "").trim().slice(0, NAME_LENGTH).trim() || "Newcomer";
}

/** @param {string} name @param {number} count @returns {string} */
function idOf(name, count) {
  const plain = name.toLowerCase().normalize("NFKD").replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "").slice(0, ID_LENGTH) || "newcomer";
  const id = plain.startsWith("guest-") ? `a-${plain}` : plain;
  return count > 1 ? `${id}-${count}` : id;
}
