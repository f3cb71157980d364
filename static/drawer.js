// @ts-check
/** The drawer of statistics: a number and a small curve for each metric. A part of the view; computes nothing itself. */

import {METRICS, sparkline} from "./stats.js";

const WIDTH = 120;
const HEIGHT = 28;

/** The rows of the drawer. */
export class Drawer {
  #note;
  /** @type {Map<string, {value: Element, line: Element, area: Element, digits: number}>} */
  #rows = new Map();

  /** @param {HTMLElement} box that the rows go into @param {HTMLElement} note under them @param {Record<"group" | "metric", HTMLTemplateElement>} templates */
  constructor(box, note, templates) {
    this.#note = note;
    box.replaceChildren(...Object.entries(METRICS).map(([title, metrics]) => {
      const group = /** @type {any} */ (templates.group.content.cloneNode(true));
      group.querySelector("h2").textContent = title;
      group.querySelector("dl").append(...Object.entries(metrics).map(([name, metric]) => this.#lay(templates.metric, name, metric)));
      return group;
    }));
  }

  /** @param {import("./stats.js").History} history @param {string} note codec, size and path in words */
  show(history, note) {
    for (const [name, {value, line, area, digits}] of this.#rows) {
      const values = history.of(name);
      value.textContent = values.length ? values[values.length - 1].toFixed(digits) : "–";
      const points = sparkline(values, WIDTH, HEIGHT);
      line.setAttribute("points", points);
      // From the curve's start down to the floor and along it: what lies between is tinted.
      area.setAttribute("points", points && `${points} ${WIDTH},${HEIGHT} ${points.split(",")[0]},${HEIGHT}`);
    }
    this.#note.textContent = note;
  }

  /** @param {HTMLTemplateElement} template @param {string} name @param {import("./stats.js").Metric} metric */
  #lay(template, name, metric) {
    const copy = /** @type {DocumentFragment} */ (template.content.cloneNode(true));
    const row = /** @type {HTMLElement} */ (copy.firstElementChild);
    const [label, unit, value, line, area] = ["dt", "small", ".value", "polyline", "polygon"].map((tag) => /** @type {Element} */ (row.querySelector(tag)));
    label.textContent = metric.label;
    unit.textContent = metric.unit;
    row.title = metric.help;
    row.dataset.metric = name;
    this.#rows.set(name, {value, line, area, digits: metric.digits});
    return copy;
  }
}
