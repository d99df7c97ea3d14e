// Building the page out of nodes and text: nothing that a person or the bot wrote is ever read as HTML.

import { handOver } from "./trap.js";

const SVG = "http://www.w3.org/2000/svg";

/** An element. `props`: `class`, `on` (listeners), `data`, `style` (CSS properties), else attributes. */
export function h(tag, props = {}, ...children) {
  return fill(dress(document.createElement(tag), props), children);
}

/** The same for drawings. */
export function svg(tag, props = {}, ...children) {
  return fill(dress(document.createElementNS(SVG, tag), props), children);
}

function fill(node, children) {
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) node.append(child);
  }
  return node;
}

function dress(node, props) {
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    put(node, name, value);
  }
  return node;
}

function put(node, name, value) {
  if (name === "on") for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
  else if (name === "data") for (const [key, text] of Object.entries(value)) setData(node, key, text);
  else if (name === "style") for (const [key, text] of Object.entries(value)) node.style.setProperty(key, text);
  else if (name === "class") node.setAttribute("class", value);
  else if (name === "value" || name === "checked" || name === "selected") node[name] = value;
  else node.setAttribute(name, value === true ? "" : String(value));
}

function setData(node, key, value) {
  if (value !== null && value !== undefined) node.dataset[key] = value;
}

/** Replaces text only where it differs, so that selections and screen readers are left in peace. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** A number in a badge, and what it counts, which is for screen readers. */
export function setCount(badge, count, unit) {
  badge.hidden = count === 0;
  badge.replaceChildren(String(count), h("span", { class: "unseen" }, ` ${unit}`));
}

let lastId = 0;

/** An id that no other element of the page has. */
export function freshId(prefix) {
  lastId += 1;
  return `${prefix}-${lastId}`;
}

/**
 * Children kept in step with a list by key. A node is made once, updated only when its item changed,
 * and moved only when the order did: focus, scrolling and what somebody is typing survive.
 */
export class KeyedChildren {
  #parent;
  #keyOf;
  #make;
  #update;
  #kept = new Map();

  constructor(parent, { key, make, update }) {
    this.#parent = parent;
    this.#keyOf = key;
    this.#make = make;
    this.#update = update;
  }

  render(items) {
    const wanted = new Set(items.map(this.#keyOf));
    for (const [key, entry] of this.#kept) if (!wanted.has(key)) this.#drop(key, entry);
    const nodes = items.map((item) => this.#keep(item).node);
    let place = this.#parent.firstElementChild;
    for (const node of nodes) {
      if (node === place) place = place.nextElementSibling;
      else this.#parent.insertBefore(node, place);
    }
  }

  #keep(item) {
    const key = this.#keyOf(item);
    const print = JSON.stringify(item);
    const entry = this.#kept.get(key);
    if (!entry) return this.#remember(key, { node: this.#make(item), print });
    if (entry.print === print) return entry;
    const node = this.#update(entry.node, item) ?? entry.node;
    if (node !== entry.node) entry.node.replaceWith(node);
    return this.#remember(key, { node, print });
  }

  #remember(key, entry) {
    this.#kept.set(key, entry);
    return entry;
  }

  #drop(key, entry) {
    handOver(entry.node);
    entry.node.remove();
    this.#kept.delete(key);
  }
}
