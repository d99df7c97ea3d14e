// Where a person writes, with suggestions after a slash.
import { announce } from "./announce.js";
import { postAs } from "./api.js";
import { suggestions } from "./commands.js";
import { h, freshId } from "./dom.js";
import { icon } from "./icons.js";

const TALLEST_PX = 120;

export class Composer {
  #env;
  #channelId = null;
  #drafts = new Map();
  #items = [];
  #marked = -1;

  constructor(env) {
    this.#env = env;
    const listId = freshId("suggestions");
    this.input = h("textarea", {
      rows: "1", autocomplete: "off", spellcheck: "false", "aria-autocomplete": "list", "aria-haspopup": "listbox", "aria-controls": listId,
      on: { input: () => this.#typed(), keydown: (event) => this.#key(event), blur: () => this.#suggest([]), focus: () => this.#offer() },
    });
    this.list = h("ul", { class: "suggestions", role: "listbox", id: listId, "aria-label": "Suggestions", hidden: true });
    this.sendButton = h("button", { type: "submit", class: "btn-send", "aria-label": "Send" }, icon("send"));
    this.node = h("form", { class: "composer", on: { submit: (event) => this.#submit(event) } }, this.list, this.input, this.sendButton);
  }

  /** Turns to another channel: what was typed waits in the old one. */
  turnTo(channelId, name, readOnly) {
    if (channelId === this.#channelId) return;
    if (this.#channelId) this.#drafts.set(this.#channelId, this.input.value);
    this.#channelId = channelId;
    this.input.disabled = readOnly;
    this.input.placeholder = readOnly ? "Sending messages to this app has been turned off." : `Message ${name}`;
    this.input.setAttribute("aria-label", this.input.placeholder);
    this.#set(this.#drafts.get(channelId) ?? "");
    this.#suggest([]);
  }

  /** Puts a text in, ready to be sent or finished by hand. */
  write(text) {
    this.#set(text);
    this.input.focus();
    this.input.setSelectionRange(text.length, text.length);
    this.#offer();
  }

  #set(text) {
    this.input.value = text;
    this.#grow();
  }

  #typed() {
    this.#grow();
    this.#offer();
  }

  #grow() {
    this.input.style.setProperty("height", "auto");
    if (this.input.scrollHeight) this.input.style.setProperty("height", `${Math.min(this.input.scrollHeight, TALLEST_PX)}px`);
    this.sendButton.disabled = this.input.value.trim() === "";
  }

  #offer() {
    const { items, eager } = suggestions(this.input.value);
    this.#suggest(items, eager ? 0 : -1);
  }

  #suggest(items, marked = -1) {
    if (items.length > this.#items.length) announce(`${items.length} suggestions. Choose with the arrow keys.`);
    this.#items = items;
    this.list.replaceChildren(...items.map((item, index) => this.#row(item, index)));
    this.list.hidden = items.length === 0;
    this.#mark(marked);
  }

  #row(item, index) {
    const pick = (event) => {
      event.preventDefault(); // the focus stays in the composer
      this.#complete(index);
    };
    return h("li", { role: "option", id: freshId("suggestion"), "aria-selected": "false", on: { mousedown: pick } },
      h("span", { class: "way" }, h("b", {}, item.show), item.hint && h("i", {}, ` ${item.hint}`)), h("span", { class: "way-help" }, item.help));
  }

  #mark(index) {
    this.#marked = index;
    [...this.list.children].forEach((row, at) => row.setAttribute("aria-selected", String(at === index)));
    const row = this.list.children[index];
    if (row) this.input.setAttribute("aria-activedescendant", row.id);
    else this.input.removeAttribute("aria-activedescendant");
    row?.scrollIntoView({ block: "nearest" });
  }

  #complete(index) {
    this.write(this.#items[index].text);
  }

  #key(event) {
    if (event.isComposing) return;
    if (this.#items.length > 0 && this.#listKey(event)) event.preventDefault();
    else if (event.key === "Enter" && !event.shiftKey) this.#submit(event);
  }

  /** True when the key was meant for the list of suggestions. */
  #listKey({ key, shiftKey }) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[key];
    const count = this.#items.length;
    if (step) this.#mark(this.#marked < 0 && step < 0 ? count - 1 : (this.#marked + step + count) % count);
    else if (key === "Escape") this.#suggest([]);
    else if (key === "Enter" && !shiftKey && this.#marked >= 0) this.#complete(this.#marked);
    else if (key === "Tab" && !shiftKey && this.#marked >= 0) this.#complete(this.#marked);
    else return false;
    return true;
  }

  async #submit(event) {
    event.preventDefault();
    const text = this.input.value.trim();
    if (!text) return;
    const channel = this.#channelId;
    this.#env.moveOn();
    if (document.activeElement === this.sendButton) this.input.focus(); // there is nothing to send now
    this.#set("");
    this.#suggest([]);
    const answer = await postAs(this.#env.personId, text.startsWith("/") ? "command" : "message", { channel, text });
    this.#env.say(answer.error);
    if (answer.ok) return;
    // Nothing was lost: it goes back where it was written.
    if (this.#channelId !== channel) this.#drafts.set(channel, text);
    else if (!this.input.value) this.#set(text);
  }
}
