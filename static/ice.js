// @ts-check
/** Which servers help this browser to find the studio. None by default: then no request leaves the host. */

/** TURN passwords expire; older than this they are fetched anew. */
const FRESH_MS = 600_000;

/** The list, fetched when the page loads, so that a click need not wait for it. */
export class IceServers {
  #url;
  #at = -Infinity;
  /** @type {Promise<RTCIceServer[]>} */
  #list = Promise.resolve([]);

  /** @param {URL} url */
  constructor(url) {
    this.#url = url;
  }

  /** @returns {Promise<RTCIceServer[]>} */
  list() {
    if (performance.now() - this.#at > FRESH_MS) {
      this.#at = performance.now();
      this.#list = this.#fetch();
    }
    return this.#list;
  }

  /** @returns {Promise<RTCIceServer[]>} none if the studio does not tell: without them it works in most networks */
  async #fetch() {
    try {
      const response = await fetch(this.#url);
      if (!response.ok) throw new Error(response.statusText);
      return (await response.json()).iceServers ?? [];
    } catch {
      this.#at = -Infinity;
      return [];
    }
  }
}
