// Modals, drawn inside the column of the person who sees them.
import { announce } from "./announce.js";
import { postAs } from "./api.js";
import { drawBlocks } from "./blocks.js";
import { h, freshId, KeyedChildren, setText } from "./dom.js";
import { icon } from "./icons.js";
import { complaint } from "./inputs.js";
import { plain } from "./texts.js";
import { REACHABLE, reachable, trap } from "./trap.js";

/** The stack of views that one person has open; only the top one shows. */
export class ModalStack {
  #open = new Map();
  #children;
  #views = [];

  constructor(env) {
    this.layer = h("div", { class: "modals" });
    this.#children = new KeyedChildren(this.layer, {
      key: (view) => view.id,
      make: (view) => this.#make(view, env),
      update: (_node, view) => this.#open.get(view.id).update(view),
    });
  }

  get isOpen() {
    return this.#views.length > 0;
  }

  get topId() {
    return this.#views.at(-1)?.id;
  }

  render(views) {
    this.#views = views;
    this.#children.render(views);
    for (const [id, modal] of this.#open) {
      if (modal.node.isConnected) modal.node.hidden = id !== this.topId;
      else this.#open.delete(id);
    }
  }

  focus() {
    this.#open.get(this.topId)?.focus();
  }

  #make(view, env) {
    const modal = new Modal(view, env);
    this.#open.set(view.id, modal);
    return modal.node;
  }
}

class Modal {
  #env;
  #view;
  #drawn = "";
  #fields = new Map();

  constructor(view, env) {
    this.#view = view;
    this.#env = { ...env, act: (choice) => this.#act(choice), place: { view_id: view.id } };
    this.node = this.#frame();
    this.#draw(view);
  }

  /** Slack keeps what was typed where a new view has the same block and action. */
  update(view) {
    const typed = this.#state();
    const within = this.node.contains(document.activeElement);
    const held = this.#heldFocus();
    const redrawn = this.#draw(view, typed);
    if (redrawn && held) this.#refocus(held);
    else if (within && !this.node.contains(document.activeElement)) this.focus(); // the pressed button is gone
    return this.node;
  }

  focus() {
    const [first] = reachable(this.body);
    // What stands above the first field is there to be read first. Never the cross: a space typed too early would close.
    (first && this.#inSight(first) ? first : this.body).focus({ preventScroll: true });
    this.node.scrollIntoView({ block: "nearest", inline: "nearest" }); // where the page itself scrolls
  }

  #inSight(node) {
    return node.getBoundingClientRect().bottom <= this.body.getBoundingClientRect().bottom;
  }

  #frame() {
    const titleId = freshId("modal-title");
    this.title = h("h2", { id: titleId });
    this.banner = h("p", { class: "banner", role: "alert", hidden: true });
    this.body = h("div", { class: "modal-body", tabindex: "-1" });
    this.foot = h("div", { class: "modal-foot" });
    const shut = h("button", { type: "button", class: "btn-bare", "aria-label": "Close window", data: { closeAll: "" }, on: { click: () => this.#close(true) } }, icon("close"));
    const form = h("form", { novalidate: true, on: { submit: (event) => this.#submit(event) } },
      h("div", { class: "modal-head" }, this.title, shut), this.banner, this.body, this.foot);
    // Modal for one of several people: the rest of their column is inert, the others' and the phones are not.
    const dialog = h("div", { class: "modal", role: "dialog", "aria-labelledby": titleId }, form);
    const shade = h("div", { class: "shade", data: { view: this.#view.id, callback: this.#view.callback_id } }, dialog);
    trap(shade, () => this.#close(false));
    return shade;
  }

  /** True when the blocks were drawn anew. */
  #draw(view, typed = view.state?.values ?? view.state ?? {}) {
    const redrawn = this.#drawBlocks(view, typed);
    this.#view = view;
    setText(this.title, plain(view.title));
    this.#drawFoot(view);
    if (redrawn) this.#announce(view);
    if (Object.keys(view.errors ?? {}).length) this.#showErrors(view.errors);
    return redrawn;
  }

  #drawBlocks(view, typed) {
    const print = JSON.stringify(view.blocks);
    if (print === this.#drawn) return false;
    this.#drawn = print;
    this.#fields.clear();
    this.body.replaceChildren(...drawBlocks(view.blocks, { ...this.#env, fields: this.#fields }));
    this.body.tabIndex = this.body.querySelector(REACHABLE) ? -1 : 0; // Tab has to reach what scrolls
    for (const { blockId, spec, write } of this.#fields.values()) {
      const state = typed[blockId]?.[spec.action_id];
      if (state) write(state);
    }
    return true;
  }

  /** Says what the modal has become: its title, and the sentence where there is nothing to fill in. */
  #announce(view) {
    const sentence = this.#fields.size === 0 && this.body.querySelector(":scope > .block-section:first-child")?.textContent;
    announce([`${this.#env.world.person(this.#env.personId).name}: ${plain(view.title)}`, sentence].filter(Boolean).join(". "));
  }

  #drawFoot(view) {
    const print = JSON.stringify([view.submit, view.close]);
    if (this.foot.dataset.print === print) return;
    this.foot.dataset.print = print;
    this.sender = view.submit && h("button", { type: "submit", class: "btn btn-primary", data: { submit: "" } }, plain(view.submit));
    const closer = h("button", { type: "button", class: "btn", data: { close: "" }, on: { click: () => this.#close(false) } },
      plain(view.close) || (view.submit ? "Cancel" : "Close"));
    this.foot.replaceChildren(...[closer, this.sender].filter(Boolean));
  }

  #state() {
    const values = {};
    for (const { blockId, spec, read } of this.#fields.values()) (values[blockId] ??= {})[spec.action_id] = read();
    return values;
  }

  #heldFocus() {
    const active = document.activeElement;
    if (!this.body.contains(active)) return null;
    return {
      block: active.closest("[data-block-id]")?.dataset.blockId,
      action: active.closest("[data-action-id]")?.dataset.actionId,
      range: "selectionStart" in active ? [active.selectionStart, active.selectionEnd] : null,
    };
  }

  #refocus({ block, action, range }) {
    const field = this.#fields.get(`${block}\n${action}`);
    if (!field) return this.focus();
    field.control.focus();
    if (range?.[0] !== null && field.control.setSelectionRange && range) field.control.setSelectionRange(...range);
    return undefined;
  }

  async #act(choice) {
    const { view_id } = this.#env.place;
    const answer = await postAs(this.#env.personId, "click", { view_id, ...choice, values: this.#state() });
    this.#say(answer.error);
  }

  /** The cross closes the whole stack; Cancel and Escape only what is on top. */
  async #close(all) {
    const answer = await postAs(this.#env.personId, "close", { view_id: this.#view.id, all_of_them: all });
    this.#say(answer.error);
  }

  async #submit(event) {
    event.preventDefault();
    const { sender } = this; // the answer may come after a view without one
    if (!sender || sender.getAttribute("aria-busy") === "true") return;
    this.#say(null);
    if (!this.#complete()) return;
    sender.setAttribute("aria-busy", "true");
    const answer = await postAs(this.#env.personId, "submit", { view_id: this.#view.id, values: this.#state() });
    sender.removeAttribute("aria-busy");
    this.#say(answer.error);
    if (answer.data.errors) this.#showErrors(answer.data.errors);
  }

  /** Slack's own client looks for empty required fields before it asks the app. */
  #complete() {
    const faults = {};
    for (const field of this.#fields.values()) {
      const text = complaint(field);
      if (text) faults[field.blockId] = text;
    }
    this.#showErrors(faults);
    return Object.keys(faults).length === 0;
  }

  #showErrors(errors) {
    let first = null;
    for (const field of this.#fields.values()) {
      if (!field.fault) continue;
      field.fault(errors[field.blockId]);
      if (errors[field.blockId]) first ??= field;
    }
    first?.control.focus();
  }

  #say(text) {
    this.banner.hidden = !text;
    setText(this.banner, text ?? "");
  }
}
