// The input block: a label, a field, a hint, and what is wrong with it.
import { h, freshId } from "./dom.js";
import { makeField, press, remember } from "./elements.js";
import { plain } from "./texts.js";

/** The node of an input block. Its field joins `env.fields`, with `fault(text)` to show an error under it. */
export function inputBlock(block, env) {
  const field = makeField(block.element, env);
  if (!field) return h("div", { class: "undrawn" }, `This page does not draw inputs of type ${block.element.type}.`);
  const fault = h("p", { class: "fault", id: freshId("fault"), hidden: true });
  const hint = block.hint && h("p", { class: "hint", id: freshId("hint") }, plain(block.hint));
  const root = h("div", { class: "field" }, label(block, field), field.node, hint, fault);
  describe(field, block, [hint, fault]);
  remember({ ...field, block, fault: (text) => showFault(field.control, fault, text) }, block.element, env);
  if (block.dispatch_action) dispatch(block, field, env);
  return root;
}

function label(block, field) {
  const id = freshId("label");
  const words = [plain(block.label), block.optional ? h("span", { class: "optional" }, " (optional)") : ""];
  if (!field.group) return h("label", { for: field.control.id }, words);
  field.node.setAttribute("aria-labelledby", id);
  return h("div", { class: "label", id }, words);
}

function describe(field, block, notes) {
  const target = field.group ? field.node : field.control;
  target.setAttribute("aria-describedby", notes.filter(Boolean).map((note) => note.id).join(" "));
  target.removeAttribute("aria-label"); // the block's own label names the field
  // A group of checkboxes has no such attribute.
  if (!block.optional && target.getAttribute("role") !== "group") target.setAttribute("aria-required", "true");
}

function showFault(control, node, text) {
  node.textContent = text ?? "";
  node.hidden = !text;
  if (text) control.setAttribute("aria-invalid", "true");
  else control.removeAttribute("aria-invalid");
}

// With `dispatch_action` the app hears of the value before the form is submitted.
function dispatch(block, field, env) {
  const tell = () => press(block.element, field.read(), env);
  if (field.onPick) return field.onPick(tell);
  const on = block.element.dispatch_action_config?.trigger_actions_on ?? ["on_enter_pressed"];
  if (on.includes("on_character_entered")) field.control.addEventListener("input", tell);
  if (on.includes("on_enter_pressed")) field.control.addEventListener("keydown", (event) => onEnter(event, tell));
  return undefined;
}

function onEnter(event, tell) {
  if (event.key !== "Enter" || event.shiftKey) return;
  event.preventDefault();
  tell();
}

/** What keeps this field from being submitted, in Slack's words, or null. */
export function complaint({ block, spec, read }) {
  if (!block) return null;
  const state = read();
  const given = state.value ?? state.selected_option ?? state.selected_user ?? state.selected_options?.[0] ?? null;
  if (given === null) return block.optional ? null : "Please complete this required field.";
  if (spec.max_length !== undefined && given.length > spec.max_length) return `Please enter at most ${spec.max_length} characters.`;
  if (spec.min_length !== undefined && given.length < spec.min_length) return `Please enter at least ${spec.min_length} characters.`;
  return null;
}
