// The phones that Intune looks after.
import { post } from "./api.js";
import { COMMAND } from "./commands.js";
import { h, freshId, KeyedChildren, setText } from "./dom.js";
import { handset, lockState } from "./handset.js";
import { icon } from "./icons.js";
import { Roles } from "./roles.js";
import { hourMinuteSecond } from "./time.js";

const BEHAVIOURS = ["completes", "fails", "not supported", "stays silent"];

const ACTION_WORDS = {
  none: "Reset asked for", pending: "Reset pending", active: "Resetting",
  done: "Reset done", failed: "The reset failed", notSupported: "Reset not supported", canceled: "Reset cancelled",
};

const RUNNING = new Set(["none", "pending", "active"]);

/** `fillIn(text)` puts a command into the requester's composer. */
export class Phones {
  #cards = new Map();
  #list;

  constructor(root, fillIn) {
    const list = h("div", { class: "phone-list" });
    this.roles = new Roles();
    root.append(
      h("div", { class: "panel-head" }, h("h2", { id: "phones-title" }, "Phones"), h("p", {}, "Click one to ask for it as Mei")),
      h("div", { class: "panel-body" }, list, this.roles.node));
    this.#list = new KeyedChildren(list, {
      key: (phone) => phone.id,
      make: (phone) => this.#make(phone, fillIn),
      update: (_node, phone) => this.#cards.get(phone.id).update(phone),
    });
  }

  render(snapshot) {
    this.#list.render(snapshot.phones ?? []);
    this.roles.render(snapshot.roles ?? []);
  }

  #make(phone, fillIn) {
    const card = new PhoneCard(phone, fillIn);
    this.#cards.set(phone.id, card);
    return card.node;
  }
}

class PhoneCard {
  #phone;

  constructor(phone, fillIn) {
    this.#phone = phone;
    this.drawing = handset(phone);
    this.pill = h("span", { class: "pill" });
    this.progress = h("p", { class: "phone-action", hidden: true });
    this.behaviour = behaviourMenu(phone, (value) => this.#behave(value));
    this.facts = h("dl", { class: "facts" });
    this.result = h("p", { class: "unlock-result", role: "status" });
    this.unlock = unlockForm(phone, (passcode) => this.#unlock(passcode));
    this.node = this.#frame(phone, fillIn);
    this.update(phone);
  }

  #frame(phone, fillIn) {
    const ask = (target) => () => fillIn(`${COMMAND} ${target} `);
    return h("article", { class: "phone", data: { phone: phone.id }, "aria-label": `${phone.owner.name}'s ${phone.model}` },
      this.drawing,
      h("div", { class: "phone-main" },
        h("div", { class: "phone-line" },
          h("button", { type: "button", class: "btn-link owner", title: `Ask for ${phone.owner.upn}`, on: { click: ask(phone.owner.upn) } }, phone.owner.name), this.pill),
        h("div", { class: "phone-line" },
          h("span", { class: "model", title: phone.model }, phone.model),
          serialButton(phone, ask)),
        this.progress, this.unlock, this.result,
        h("div", { class: "phone-tail" },
          h("details", { class: "phone-more" }, h("summary", {}, "On reset: ", h("b", {}, "")), this.behaviour.node, this.facts),
          h("span", { class: "system" }, `${phone.platform} ${shortVersion(phone.os_version)}`))));
  }

  update(phone) {
    this.#phone = phone;
    const lock = lockState(phone);
    this.drawing.dataset.lock = lock;
    this.node.dataset.lock = lock;
    setText(this.pill, { locked: "Locked", open: "No passcode", temporary: "New passcode" }[lock]);
    this.unlock.hidden = lock !== "temporary";
    if (lock !== "temporary") setText(this.result, "");
    this.behaviour.set(phone.behaviour);
    setText(this.node.querySelector("summary b"), phone.behaviour);
    this.#tellAction(phone.action);
    this.#tellFacts(phone);
    return this.node;
  }

  #tellAction(action) {
    const running = Boolean(action) && RUNNING.has(action.state);
    const began = running && this.progress.hidden;
    this.progress.hidden = !action;
    this.node.toggleAttribute("data-busy", running);
    if (!action) return;
    this.progress.dataset.state = action.state;
    const at = action.updated_at ?? action.started_at;
    this.progress.replaceChildren(ACTION_WORDS[action.state] ?? action.state, at ? h("time", { datetime: at }, hourMinuteSecond(at)) : "");
    if (began) this.node.scrollIntoView({ block: "nearest" });
  }

  #tellFacts(phone) {
    const facts = {
      "Device name": phone.name, System: `${phone.platform} ${phone.os_version}`, IMEI: phone.imei, Maker: phone.manufacturer, Enrolled: phone.enrollment,
      State: phone.management_state, "Last sync": phone.last_sync_at && hourMinuteSecond(phone.last_sync_at), Resets: String(phone.resets ?? 0),
    };
    const rows = Object.entries(facts).filter(([, value]) => value);
    this.facts.replaceChildren(...rows.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
  }

  async #behave(value) {
    const { error } = await post(`phones/${encodeURIComponent(this.#phone.id)}`, { behaviour: value });
    if (error) setText(this.result, error);
  }

  async #unlock(passcode) {
    const { data, error } = await post(`phones/${encodeURIComponent(this.#phone.id)}/unlock`, { passcode });
    setText(this.result, error ?? (data.open ? "It opens." : "Not this one: the phone stays locked."));
    this.result.dataset.open = String(Boolean(data.open));
  }
}

// Some devices tell Intune no serial number; Intune's own id always names them.
function serialButton({ id, serial }, ask) {
  const [target, shown] = serial ? [`serial:${serial}`, serial] : [`id:${id}`, "no serial"];
  const title = serial ? "Ask for this serial number" : "Ask for this device by its id";
  return h("button", { type: "button", class: "serial", title, on: { click: ask(target) } }, shown, icon("copy"));
}

const shortVersion = (version) => version.split(".").slice(0, 2).join(".");

function behaviourMenu(phone, change) {
  const select = h("select", { "aria-label": `What ${phone.owner.name}'s ${phone.model} does on a reset` },
    BEHAVIOURS.map((behaviour) => h("option", { value: behaviour }, behaviour)));
  select.addEventListener("change", () => change(select.value));
  return {
    node: h("span", { class: "select select-small" }, select),
    set(value) {
      if (select.value !== value) select.value = value;
    },
  };
}

function unlockForm(phone, submit) {
  const id = freshId("passcode");
  const input = h("input", { id, type: "text", autocomplete: "off", spellcheck: "false", placeholder: "Type the passcode" });
  const send = (event) => {
    event.preventDefault();
    if (input.value) submit(input.value);
  };
  return h("form", { class: "unlock", hidden: true, on: { submit: send } },
    h("label", { class: "unseen", for: id }, `Passcode of ${phone.owner.name}'s ${phone.model}`), input,
    h("button", { type: "submit", class: "btn btn-small" }, "Unlock"));
}
