// @ts-check
/**
 * Texts and signs of the page that are too faint, as `globalThis.faint()`: pairs of what it is and its contrast (WCAG 2.2, 1.4.3
 * and 1.4.11). What lies on the stage is held against the brightest and the darkest picture that could be below its glass.
 */
(() => {
  const TEXT = 4.5;
  const SIGN = 3;
  const pen = /** @type {OffscreenCanvasRenderingContext2D} */ (new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true}));

  /** @param {string} color any CSS colour @returns {number[]} red, green, blue 0 to 255, alpha 0 to 1 */
  const parse = (color) => {
    pen.clearRect(0, 0, 1, 1);
    pen.fillStyle = color;
    pen.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = pen.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  /** @param {number[]} top @param {number[]} below opaque @returns {number[]} */
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3]));
  /** @param {number[]} rgb @returns {number} relative luminance */
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  /** @param {number[]} one @param {number[]} other @returns {number} */
  const contrast = (one, other) => {
    const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  /** @param {Element} element @returns {number[][]} every colour that may lie behind its text */
  const grounds = (element) => {
    /** @type {number[][]} */
    const layers = [];
    let bases = [parse("white")];
    for (let at = /** @type {Element | null} */ (element); at; at = at.parentElement) {
      if (at.id === "stage") {
        bases = [[0, 0, 0], [255, 255, 255]];
        break;
      }
      const color = parse(getComputedStyle(at).backgroundColor);
      layers.push(color);
      if (color[3] === 1) break;
    }
    return bases.map((base) => layers.reduceRight((below, top) => over(top, below), base));
  };
  /** @param {Element} element @param {string} color @returns {number} the worst contrast */
  const worst = (element, color) => Math.min(...grounds(element).map((ground) => contrast(over(parse(color), ground), ground)));
  /** @param {Element} element */
  const isSeen = (element) => element.checkVisibility({visibilityProperty: true, opacityProperty: true})
    && !element.closest(":disabled, [aria-disabled=true], label:has(:disabled), .heard-only, template");

  Object.assign(globalThis, {
    faint() {
      const own = (/** @type {Element} */ element) => [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.textContent?.trim());
      const texts = [...document.body.querySelectorAll("*")].filter((element) => own(element) && isSeen(element));
      const signs = [...document.querySelectorAll("button svg")].filter(isSeen);
      const measured = [
        ...texts.map((element) => [element.textContent?.trim().slice(0, 40), worst(element, getComputedStyle(element).color), TEXT]),
        ...signs.map((element) => [element.closest("button")?.id, worst(element, getComputedStyle(element).color), SIGN]),
      ];
      return {count: measured.length, faint: measured.filter(([, ratio, least]) => Number(ratio) < Number(least))};
    },
  });
})();
