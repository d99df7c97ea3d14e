// Who may reset passcodes, by Intune's own roles.
import { post } from "./api.js";
import { h, KeyedChildren } from "./dom.js";

export class Roles {
  #rows;

  constructor() {
    const list = h("div", { class: "role-list" });
    this.problem = h("p", { class: "problem", role: "alert", hidden: true });
    this.node = h("section", { class: "roles", "aria-label": "Intune roles" },
      h("h3", {}, "Intune roles"), h("p", {}, "Who holds “Reset passcode”. Intune decides by this, whoever approves in Slack."), list, this.problem);
    this.#rows = new KeyedChildren(list, { key: (role) => role.oid, make: (role) => this.#make(role), update: (node, role) => put(node, role) });
  }

  render(roles) {
    this.#rows.render(roles);
  }

  #make(role) {
    const box = h("input", { type: "checkbox", role: "switch", on: { change: () => this.#change(role.oid, box) } });
    const node = h("label", { class: "role", data: { role: role.oid } }, box, h("span", { class: "knob", "aria-hidden": "true" }), h("span", {}, role.name, h("small", {}, role.upn)));
    put(node, role);
    return node;
  }

  async #change(oid, box) {
    const wanted = box.checked;
    const { error } = await post(`roles/${encodeURIComponent(oid)}`, { reset_passcode: wanted });
    this.problem.hidden = !error;
    this.problem.textContent = error ?? "";
    if (error) box.checked = !wanted;
  }
}

function put(node, role) {
  node.querySelector("input").checked = role.reset_passcode;
  return node;
}
