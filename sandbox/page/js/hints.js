// The first four steps.
import { COMMAND } from "./commands.js";
import { h, setText } from "./dom.js";
import { icon } from "./icons.js";
import { keep, recall } from "./keep.js";

/** `fillIn(text)` puts a command into the requester's composer. */
export class Hints {
  #root;
  #shown = recall("hints", true);
  #rows;

  constructor(root, fillIn) {
    this.#root = root;
    this.command = h("code", {});
    this.#rows = [
      h("li", {}, h("span", {}, "As Mei: ", this.command), h("button", { type: "button", class: "btn btn-small btn-tint", data: { hint: "fill" }, on: { click: () => fillIn(this.command.textContent) } }, "Fill it in")),
      h("li", {}, h("span", {}, "As Ken, press ", h("b", {}, "Approve"))),
      h("li", {}, h("span", {}, "Sign in as Ken")),
      h("li", {}, h("span", {}, "See the phone reset, ", h("b", {}, "as Ken"))),
    ];
    this.toggle = h("button", { type: "button", class: "chip chip-icon", "aria-label": "First steps", on: { click: () => this.#show(!this.#shown) } }, icon("steps"));
    this.#rows.forEach((row, index) => (row.dataset.step = index + 1));
    root.append(h("ol", {}, this.#rows), h("button", { type: "button", class: "btn-bare", "aria-label": "Hide the steps", on: { click: () => this.#hide() } }, icon("close")));
    this.#show(this.#shown);
  }

  render(snapshot) {
    const owners = (snapshot.phones ?? []).map(({ owner }) => owner.upn);
    const owner = owners.find((upn) => upn.startsWith("ada")) ?? owners[0] ?? "ada@contoso.com";
    setText(this.command, `${COMMAND} ${owner} locked out at customer`);
    const done = progress(snapshot);
    this.#rows.forEach((row, index) => mark(row, index < done, index === done));
  }

  #hide() {
    this.toggle.focus();
    this.#show(false);
  }

  #show(shown) {
    this.#shown = shown;
    keep("hints", shown);
    this.#root.hidden = !shown;
    this.toggle.setAttribute("aria-pressed", String(shown));
  }
}

function mark(row, done, next) {
  row.classList.toggle("done", done);
  row.classList.toggle("next", next);
  if (next) row.setAttribute("aria-current", "step");
  else row.removeAttribute("aria-current");
}

/** How many of the four steps the snapshot shows to be done. */
function progress({ phones = [], calls = [], messages = {}, channels = {}, modals = {} }) {
  if (phones.some((phone) => phone.resets > 0)) return 4;
  if (calls.some(({ to, bearer }) => to === "graph" && bearer.kind === "user")) return 3;
  if ((modals.U0KEN ?? []).length > 0 || privateTo("U0KEN", messages)) return 2;
  const cards = Object.values(channels).filter((channel) => channel.private && !channel.direct);
  return cards.some(({ id }) => (messages[id] ?? []).some(({ from }) => from.app)) ? 1 : 0;
}

const privateTo = (id, messages) => Object.values(messages).flat().some((message) => message.only_for === id && message.from.app);
