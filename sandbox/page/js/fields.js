// Things to fill in or pick from, each as `{node, control, read(), write(state), onPick(listener)}`.
// `read` gives what Slack calls the state of an element; `write` takes it back after a view was redrawn.
import { h } from "./dom.js";
import { plain } from "./texts.js";

/** A native menu of options, grouped or not. */
export function select(spec, _env, id) {
  const groups = spec.option_groups ?? [{ options: spec.options ?? [] }];
  const options = groups.flatMap((group) => group.options);
  let count = 0;
  const draw = (option) => h("option", { value: option.value, data: { index: count++ } }, plain(option.text));
  const items = spec.option_groups
    ? groups.map((group) => h("optgroup", { label: plain(group.label) }, group.options.map(draw)))
    : options.map(draw);
  const control = h("select", { id, "aria-label": plain(spec.placeholder) || null }, hollow(spec), items);
  const chosen = () => options[Number(control.selectedOptions[0]?.dataset.index)] ?? null;
  const write = (state) => choose(control, state?.selected_option?.value);
  write({ selected_option: spec.initial_option });
  return {
    node: h("span", { class: "select" }, control),
    control,
    read: () => ({ type: spec.type, selected_option: chosen() }),
    write,
    onPick: (listener) => control.addEventListener("change", listener),
  };
}

const hollow = (spec) => h("option", { value: "", disabled: true, selected: true }, plain(spec.placeholder) || "Choose an option");

function choose(control, value) {
  const index = [...control.options].findIndex((option) => option.value === value && value !== undefined && !option.disabled);
  control.selectedIndex = Math.max(index, 0);
}

/** The people of the workspace. */
export function usersSelect(spec, env, id) {
  const people = env.world.people.map((person) => h("option", { value: person.id }, person.name));
  const control = h("select", { id, "aria-label": plain(spec.placeholder) || null }, hollow(spec), people);
  const write = (state) => choose(control, state?.selected_user);
  write({ selected_user: spec.initial_user });
  return {
    node: h("span", { class: "select" }, control),
    control,
    read: () => ({ type: spec.type, selected_user: control.value || null }),
    write,
    onPick: (listener) => control.addEventListener("change", listener),
  };
}

export function radios(spec, env, id) {
  const { node, inputs } = choices("radio", spec, env, id);
  const write = (state) => inputs.forEach((input, index) => (input.checked = spec.options[index].value === state?.selected_option?.value));
  write({ selected_option: spec.initial_option });
  return {
    node,
    control: inputs[0],
    group: true,
    read: () => ({ type: spec.type, selected_option: spec.options[inputs.findIndex((input) => input.checked)] ?? null }),
    write,
    onPick: (listener) => node.addEventListener("change", listener),
  };
}

export function checkboxes(spec, env, id) {
  const { node, inputs } = choices("checkbox", spec, env, id);
  const write = (state) => {
    const values = new Set((state?.selected_options ?? []).map((option) => option.value));
    inputs.forEach((input, index) => (input.checked = values.has(spec.options[index].value)));
  };
  write({ selected_options: spec.initial_options });
  return {
    node,
    control: inputs[0],
    group: true,
    read: () => ({ type: spec.type, selected_options: spec.options.filter((_option, index) => inputs[index].checked) }),
    write,
    onPick: (listener) => node.addEventListener("change", listener),
  };
}

function choices(type, spec, env, id) {
  const inputs = spec.options.map((option) => h("input", { type, name: id, value: option.value }));
  const labels = spec.options.map((option, index) =>
    h("label", { class: "choice" }, inputs[index], h("span", {}, plain(option.text), option.description && h("small", {}, plain(option.description)))));
  return { node: h("div", { class: "choices", id, role: type === "radio" ? "radiogroup" : "group" }, labels), inputs };
}

const INPUT_TYPES = { email_text_input: "email", url_text_input: "url", number_input: "number" };

export function textInput(spec, _env, id) {
  const props = { id, placeholder: plain(spec.placeholder) || null, autocomplete: "off", spellcheck: "false" };
  const control = spec.multiline
    ? h("textarea", { ...props, rows: "3" })
    : h("input", { ...props, type: INPUT_TYPES[spec.type] ?? "text" });
  control.value = spec.initial_value ?? "";
  const left = h("span", { class: "left", "aria-live": "off" });
  const count = () => countDown(left, spec.max_length, control.value.length);
  control.addEventListener("input", count);
  count();
  return {
    node: h("span", { class: "text-field" }, control, left),
    control,
    read: () => ({ type: spec.type, value: control.value === "" ? null : control.value }),
    write: (state) => {
      control.value = state?.value ?? "";
      count();
    },
  };
}

// Slack lets people type past the end and says by how much.
function countDown(node, limit, length) {
  const left = limit - length;
  const near = limit !== undefined && left <= Math.max(20, limit / 10);
  node.textContent = near ? String(left) : "";
  node.classList.toggle("over", left < 0);
}
