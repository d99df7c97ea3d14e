// Every call the bot made, and whose token it carried: the point of the product, to be looked at.
import { avatar } from "./avatar.js";
import { h, KeyedChildren, setText } from "./dom.js";
import { hourMinuteSecond } from "./time.js";

const PLACES = { all: "All", slack: "Slack", entra: "Entra", graph: "Graph" };

export class Calls {
  #world;
  #filter = "all";
  #rows;

  constructor(root, world) {
    this.#world = world;
    this.filters = h("div", { class: "filters", role: "group", "aria-label": "Show calls to" }, Object.entries(PLACES).map(([place, label]) => this.#filterButton(place, label)));
    this.pinned = h("div", { class: "pinned", hidden: true });
    const list = h("div", { class: "call-list" });
    this.empty = h("p", { class: "nothing" });
    root.append(
      h("div", { class: "panel-head" }, h("h2", { id: "calls-title" }, "Calls"), h("p", {}, "and whose token each carried")),
      this.filters, this.pinned, h("div", { class: "panel-body", tabindex: "0", role: "region", "aria-label": "Calls, newest first" }, list, this.empty));
    this.#rows = new KeyedChildren(list, { key: (call) => call.id, make: (call) => this.#row(call), update: (_node, call) => this.#row(call) });
    this.#press();
  }

  render() {
    const calls = [...(this.#world.snapshot?.calls ?? [])].reverse();
    const chosen = calls.filter((call) => this.#filter === "all" || call.to === this.#filter);
    this.#rows.render(chosen);
    this.empty.hidden = chosen.length > 0;
    setText(this.empty, this.#filter === "all" ? "Nothing yet. The first call shows when somebody asks." : `No calls to ${PLACES[this.#filter]} yet.`);
    this.#pin(calls.find(isReset));
  }

  #filterButton(place, label) {
    const choose = () => {
      this.#filter = place;
      this.#press();
      this.render();
    };
    return h("button", { type: "button", class: "filter", data: { filter: place }, on: { click: choose } }, label);
  }

  #press() {
    for (const button of this.filters.children) button.setAttribute("aria-pressed", String(button.dataset.filter === this.#filter));
  }

  #pin(reset) {
    this.pinned.hidden = !reset;
    if (!reset || this.pinned.dataset.call === String(reset.id)) return;
    this.pinned.dataset.call = reset.id;
    this.pinned.dataset.kind = reset.bearer.kind;
    const own = reset.bearer.kind === "user";
    this.pinned.replaceChildren(
      this.#face(reset.bearer) ?? "",
      h("p", {}, h("strong", {}, `resetPasscode, as ${reset.bearer.who}`),
        h("span", {}, own ? `Their own token, not the bot's. ${intuneAnswered(reset)}` : `Not a person's token. ${intuneAnswered(reset)}`)));
  }

  #row(call) {
    const reset = isReset(call);
    const data = { call: call.id, to: call.to, bearer: call.bearer.kind };
    return h("details", { class: reset ? "call call-reset" : "call", data },
      h("summary", {},
        h("span", { class: "call-line" },
          h("span", { class: `to to-${call.to}` }, PLACES[call.to]), h("span", { class: "path", title: call.path }, verb(call), short(call)),
          h("span", { class: `status ${refused(call) ? "status-bad" : ""}` }, call.status === NO_ANSWER ? "none" : String(call.status))),
        h("span", { class: "call-line" }, this.#badge(call.bearer), h("span", { class: "note" }, call.note), h("time", { datetime: call.at }, hourMinuteSecond(call.at)))),
      h("p", { class: "call-more" }, explain(call)), h("p", { class: "call-path" }, verb(call), call.path, h("span", {}, ` · ${Math.round(call.duration_ms)} ms`)));
  }

  #badge(bearer) {
    return h("span", { class: `bearer bearer-${bearer.kind}` }, this.#face(bearer), BEARERS[bearer.kind]?.(bearer.who) ?? bearer.who);
  }

  #face(bearer) {
    if (bearer.kind !== "user") return null;
    const person = this.#world.people.find(({ name }) => name === bearer.who);
    return avatar(person ?? { name: bearer.who }, "avatar-small");
  }
}

const BEARERS = { none: () => "No token", unknown: () => "Unknown token", user: (who) => `as ${who}` };

const NO_ANSWER = 0;

const isReset = (call) => call.to === "graph" && call.method === "POST" && /\/resetPasscode$/i.test(call.path);

// The sandbox was told to break some calls: what Intune answered is not always what arrived.
function intuneAnswered({ status, note }) {
  if (status === NO_ANSWER) return "No answer: it never arrived at Intune.";
  const broken = /^fault: (reset after|truncated|aborted|(hang|\d+), after)/.test(note ?? "");
  return broken ? `Intune answered ${status}, but the answer was lost.` : `Intune answered ${status}.`;
}

// Slack says no with status 200 and a note.
const refused = (call) => call.status >= 400 || call.status === NO_ANSWER || /ok:\s*false/.test(call.note ?? "");

// A Slack method is named by its path already.
const verb = ({ method }) => /^[A-Z]+$/.test(method) && h("b", {}, `${method} `);

const GUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/gi;

function short({ path, to }) {
  const bare = path.replace(/^\/(?:slack\/api\/|entra\/|graph(?=\/))/, "").replace(/^\/v1\.0/, "");
  const cut = to === "entra" ? bare.replace(/^[^/]+\//, "") : bare;
  return cut.replace(GUID, (guid) => `${guid.slice(0, 4)}…`);
}

function explain({ bearer, to }) {
  switch (bearer.kind) {
    case "user":
      return to === "graph"
        ? `Carried ${bearer.who}'s own token. Intune decided by their roles, and names them in its audit log.`
        : `Carried ${bearer.who}'s own token.`;
    case "bot":
      return "Carried the bot token that the workspace gave Unlatch.";
    case "app-level":
      return "Carried the app-level token, which only opens sockets.";
    case "none":
      return "Carried no token.";
    default:
      return "Carried a token that this sandbox never gave out.";
  }
}
