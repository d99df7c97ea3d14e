// Block Kit, block by block.
import { h } from "./dom.js";
import { element } from "./elements.js";
import { inputBlock } from "./inputs.js";
import { markdown } from "./markdown.js";
import { richText } from "./richtext.js";
import { plain, textObject } from "./texts.js";

/**
 * Nodes for a list of blocks. `env`: `world`, `personId`, `act(choice)` (sends what was pressed or picked),
 * `confirm(dialog)`, and `fields` (a Map of what can be filled in, by block and action).
 */
export function drawBlocks(blocks, env) {
  return blocks.map((block, index) => {
    const id = block.block_id ?? `block-${index}`;
    const draw = DRAW[block.type] ?? unknown;
    return h("div", { class: `block block-${block.type}`, data: { blockId: id } }, draw(block, { ...env, blockId: id }));
  });
}

const DRAW = {
  header: (block) => h("h3", { class: "bk-header" }, plain(block.text)),
  divider: () => h("hr"),
  section,
  context,
  actions: (block, env) => h("div", { class: "bk-actions" }, block.elements.map((item) => element(item, env))),
  image: (block) => picture(block),
  rich_text: (block, env) => richText(block, env),
  markdown: (block) => markdown(block.text),
  input: inputBlock,
};

function section(block, env) {
  const fields = (block.fields ?? []).map((field) => h("div", { class: "bk-field" }, textObject(field, env)));
  return h("div", { class: "bk-section" },
    h("div", { class: "bk-text" },
      block.text && h("div", {}, textObject(block.text, env)),
      fields.length > 0 && h("div", { class: "bk-fields" }, fields)),
    block.accessory && h("div", { class: "bk-accessory" }, element(block.accessory, env)));
}

function context(block, env) {
  const items = block.elements.map((item) =>
    item.type === "image" ? picture(item) : h("span", { class: "bk-context-text" }, textObject(item, env)));
  return h("div", { class: "bk-context" }, items);
}

/** Pictures from elsewhere are not fetched: their alternative text stands for them. */
export function picture(image) {
  return h("span", { class: "picture", role: "img", "aria-label": image.alt_text }, image.alt_text);
}

const unknown = (block) => h("div", { class: "undrawn" }, `This page does not draw blocks of type ${block.type}.`);
