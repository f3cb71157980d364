// @ts-check
/**
 * The gallery's last place: where a visitor who may do so adds a picture. A part of the view; sends nothing.
 */

/** @typedef {{place: HTMLElement, button: HTMLButtonElement, input: HTMLInputElement, output: HTMLOutputElement}} Parts */

/** The control. Emits "add" with the file. */
export class Adder extends EventTarget {
  #parts;

  /** @param {Parts} parts @param {AbortSignal} signal ends it */
  constructor(parts, signal) {
    super();
    this.#parts = parts;
    const {button, input} = parts;
    button.addEventListener("click", () => button.ariaDisabled !== "true" && input.click(), {signal});
    input.addEventListener("change", () => {
      const file = input.files?.[0];
      // Choosing the same file again shall be a change, too.
      input.value = "";
      if (file) this.dispatchEvent(new CustomEvent("add", {detail: file}));
    }, {signal});
  }

  /** @param {boolean} isOpen */
  set isOpen(isOpen) {
    this.#parts.place.hidden = !isOpen;
  }

  /** @param {string} sentence @param {boolean} isBusy nothing else can be added meanwhile */
  say(sentence, isBusy) {
    // Not disabled: that would take the keyboard's place in the page away.
    this.#parts.button.ariaDisabled = String(isBusy);
    const {output} = this.#parts;
    const height = output.offsetHeight;
    if (output.textContent !== sentence) output.textContent = sentence;
    // Not at every step: visitors may look elsewhere meanwhile.
    if (!isBusy || output.offsetHeight > height) this.reveal();
  }

  /** Bring what is said into view: below many faces it is out of it. */
  reveal() {
    if (this.#parts.output.textContent) this.#parts.place.scrollIntoView({block: "nearest", inline: "nearest"});
  }
}
