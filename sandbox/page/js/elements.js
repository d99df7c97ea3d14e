// The interactive elements that stand in messages and modals.
import { h, freshId } from "./dom.js";
import { icon } from "./icons.js";
import { safeHref } from "./links.js";
import { menu } from "./menu.js";
import { checkboxes, radios, select, textInput, usersSelect } from "./fields.js";
import { plain } from "./texts.js";

/** The node of one element. Whatever is pressed or picked is sent at once, as Slack does outside of inputs. */
export function element(spec, env) {
  if (spec.type === "button") return button(spec, env);
  if (spec.type === "overflow") return overflow(spec, env);
  if (spec.type === "image") return h("span", { class: "picture", role: "img", "aria-label": spec.alt_text }, spec.alt_text);
  const field = makeField(spec, env);
  if (!field) return h("span", { class: "undrawn" }, `This page does not draw ${spec.type}.`);
  remember(field, spec, env);
  let settled = field.read();
  field.onPick?.(async () => {
    if (await press(spec, field.read(), env)) settled = field.read();
    else field.write(settled);
  });
  return field.node;
}

/** A field of a known type, else null: `{node, control, read(), write(state), onPick(listener)}`. */
export function makeField(spec, env) {
  const make = FIELDS[spec.type];
  if (!make) return null;
  const field = make(spec, env, freshId("field"));
  field.node.dataset.actionId = spec.action_id ?? "";
  return field;
}

const FIELDS = {
  static_select: select,
  users_select: usersSelect,
  radio_buttons: radios,
  checkboxes,
  plain_text_input: textInput,
  email_text_input: textInput,
  url_text_input: textInput,
  number_input: textInput,
};

/** Makes the field part of the surrounding view's state. */
export function remember(field, spec, env) {
  env.fields?.set(`${env.blockId}\n${spec.action_id}`, { blockId: env.blockId, spec, ...field });
}

/** Asks first where the element says so, then sends. False when the person thought better of it. */
export async function press(spec, choice, env) {
  if (spec.confirm && !(await env.confirm(spec.confirm))) return false;
  await env.act({ block_id: env.blockId, action_id: spec.action_id, ...choice });
  return true;
}

function button(spec, env) {
  const look = spec.style ? ` btn-${spec.style}` : "";
  const props = { class: `btn${look}`, data: { actionId: spec.action_id }, "aria-label": spec.accessibility_label };
  return spec.url ? linkButton(spec, env, props) : pressButton(spec, env, props);
}

function pressButton(spec, env, props) {
  const node = h("button", { type: "button", ...props }, plain(spec.text));
  node.addEventListener("click", async () => {
    if (node.getAttribute("aria-busy") === "true") return;
    node.setAttribute("aria-busy", "true");
    await press(spec, { value: spec.value }, env);
    node.removeAttribute("aria-busy");
  });
  return node;
}

// As in Slack: the browser opens the address, and the app hears of it.
function linkButton(spec, env, props) {
  const href = safeHref(spec.url);
  if (!href) return h("span", { class: "undrawn" }, `${plain(spec.text)}: this address cannot be opened`);
  const node = h("a", { ...props, href, target: "_blank", rel: "noopener noreferrer" }, plain(spec.text), icon("out"));
  node.addEventListener("click", async (event) => {
    if (spec.confirm) event.preventDefault();
    const agreed = await press(spec, { value: spec.value }, env);
    if (spec.confirm && agreed) window.open(href, "_blank", "noopener,noreferrer");
  });
  return node;
}

function overflow(spec, env) {
  const options = spec.options.map((option) => ({
    label: plain(option.text),
    href: option.url ? safeHref(option.url) : null,
    pick: () => press(spec, { selected_option: option }, env),
  }));
  return menu("More actions", options, { actionId: spec.action_id });
}
