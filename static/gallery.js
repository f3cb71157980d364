// @ts-check
/**
 * The gallery: one radio button per avatar, with its picture. The chosen one moves with the stage.
 *
 * A part of the view; knows nothing of who listens. Arrow keys come with the radio buttons.
 */

/** @typedef {import("./signaling.js").AvatarCard} AvatarCard */

const SIDE = 192;
/** Every so many pictures of the stage the chosen card shows one: it is small, and a face that size need not be smoother. */
const EVERY = 2;

/** The cards. Emits "select" and "remove" with the avatar's id. */
export class Gallery extends EventTarget {
  #box;
  #template;
  #mirror = document.createElement("canvas");
  /** @type {Map<string, AvatarCard>} */
  #cards = new Map();
  #chosen = "";

  /** @param {HTMLElement} box that the cards go into @param {HTMLTemplateElement} template of one card @param {AbortSignal} signal ends it */
  constructor(box, template, signal) {
    super();
    this.#box = box;
    this.#template = template;
    this.#mirror.width = this.#mirror.height = SIDE;
    box.addEventListener("change", ({target}) => {
      this.dispatchEvent(new CustomEvent("select", {detail: /** @type {HTMLInputElement} */ (target).value}));
    }, {signal});
    box.addEventListener("click", (event) => {
      const button = /** @type {HTMLElement} */ (event.target).closest("button");
      if (button) this.dispatchEvent(new CustomEvent("remove", {detail: button.value}));
    }, {signal});
  }

  /** @param {readonly AvatarCard[]} avatars @returns {string} the chosen one: the same as before if it still can, else the first that can */
  fill(avatars) {
    const hadFocus = this.#box.contains(document.activeElement);
    this.#cards = new Map(avatars.map((card) => [card.id, card]));
    this.#box.replaceChildren(...avatars.map((card) => this.#lay(card)));
    const choice = this.#cards.get(this.#chosen)?.ready ? this.#chosen : avatars.find((card) => card.ready)?.id ?? "";
    this.choose(choice);
    // They come again when one was added: the keyboard stays where it was.
    if (hadFocus) this.#label(choice)?.control?.focus();
    return choice;
  }

  /** @param {string} id */
  choose(id) {
    const isSame = id === this.#chosen;
    this.#chosen = id;
    const label = this.#label(id);
    if (!label) return;
    /** @type {HTMLInputElement} */ (label.control).checked = true;
    if (isSame) return; // the list stays where the visitor has scrolled it
    // Not scrollIntoView: that would scroll the whole page to it as well.
    const pane = /** @type {HTMLElement} */ (this.#box.parentElement);
    pane.scrollTo({left: label.offsetLeft - (pane.clientWidth - label.offsetWidth) / 2, top: label.offsetTop - (pane.clientHeight - label.offsetHeight) / 2});
  }

  /** @param {string} id @returns {AvatarCard | undefined} */
  card(id) {
    return this.#cards.get(id);
  }

  /** Those of all cards. */
  get ids() {
    return [...this.#cards.keys()];
  }

  /** Why nobody can be chosen, in words; empty if somebody can. */
  get complaint() {
    const cards = [...this.#cards.values()];
    if (cards.some((card) => card.ready)) return "";
    if (!cards.length) return "There are no avatars yet. Add one to configs/avatars.yaml and start the studio again.";
    return `No avatar can run on this server. ${cards[0].name}: ${cards[0].reason ?? ""}`;
  }

  /**
   * Let the chosen card move with the stage until the stage is empty.
   * @param {HTMLVideoElement} video
   */
  reflect(video) {
    const stream = video.srcObject;
    const pen = this.#mirror.getContext("2d");
    let seen = 0;
    const look = () => {
      if (video.srcObject !== stream || !pen) return;
      if (seen++ % EVERY === 0) this.#draw(pen, video);
      video.requestVideoFrameCallback?.(look);
    };
    video.requestVideoFrameCallback?.(look);
  }

  /** Every card is a still again. */
  rest() {
    this.#mirror.remove();
  }

  /** @param {CanvasRenderingContext2D} pen @param {HTMLVideoElement} video */
  #draw(pen, video) {
    const side = Math.min(video.videoWidth, video.videoHeight);
    pen.drawImage(video, (video.videoWidth - side) / 2, (video.videoHeight - side) / 2, side, side, 0, 0, SIDE, SIDE);
    const face = this.#label(this.#chosen)?.querySelector(".face");
    if (face && this.#mirror.parentElement !== face) face.append(this.#mirror);
  }

  /** @param {AvatarCard} card @returns {Node} */
  #lay(card) {
    const copy = /** @type {DocumentFragment} */ (this.#template.content.cloneNode(true));
    const label = /** @type {HTMLLabelElement} */ (copy.firstElementChild);
    const [radio, image, loop, name, reason] = ["input", "img", "source", "b", "small"].map((tag) => /** @type {any} */ (label.querySelector(tag)));
    radio.value = card.id;
    radio.disabled = !card.ready;
    image.hidden = !card.thumbnail;
    if (card.loop) loop.srcset = card.loop;
    else loop.remove();
    if (card.thumbnail) image.src = card.thumbnail;
    name.textContent = card.name;
    reason.textContent = card.ready ? "" : card.reason || "Not ready on this server.";
    label.title = reason.textContent;
    const remove = /** @type {HTMLButtonElement} */ (label.querySelector("button"));
    [remove.hidden, remove.value, remove.ariaLabel] = [!card.added, card.id, `Remove ${card.name}`];
    return copy;
  }

  /** @param {string} id */
  #label(id) {
    return /** @type {HTMLLabelElement | undefined} */ (this.#box.querySelector(`input[value="${CSS.escape(id)}"]`)?.closest("label"));
  }
}
