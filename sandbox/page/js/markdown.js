// The `markdown` block: the common part of Markdown, read into nodes.
import { h } from "./dom.js";
import { withEmoji } from "./emoji.js";
import { autoLinked, link } from "./links.js";

const LIST = /^\s*(?:([-*+])|(\d+)[.)])\s+(.*)$/;

/** Nodes for a Markdown text. HTML in it is text. */
export function markdown(source) {
  const lines = source.split("\n");
  const out = document.createDocumentFragment();
  while (lines.length) out.append(block(lines));
  return out;
}

function block(lines) {
  const line = lines[0];
  if (/^```/.test(line)) return fence(lines);
  if (/^#{1,6} /.test(line)) return heading(lines.shift());
  if (/^(-{3,}|\*{3,}|_{3,})\s*$/.test(line)) return rule(lines);
  if (/^> ?/.test(line)) return h("blockquote", {}, broken(takeWhile(lines, /^> ?/).map((text) => text.replace(/^> ?/, ""))));
  if (LIST.test(line)) return list(takeWhile(lines, LIST));
  if (!line.trim()) return nothing(lines);
  return h("p", {}, broken(takeWhile(lines, /^(?!```|#{1,6} |> ?|\s*$)(?!\s*(?:[-*+]|\d+[.)])\s)/)));
}

function nothing(lines) {
  lines.shift();
  return document.createDocumentFragment();
}

function rule(lines) {
  lines.shift();
  return h("hr");
}

function takeWhile(lines, pattern) {
  const taken = [lines.shift()];
  while (lines.length && pattern.test(lines[0])) taken.push(lines.shift());
  return taken;
}

function fence(lines) {
  lines.shift();
  const end = lines.findIndex((line) => /^```/.test(line));
  const body = lines.splice(0, end < 0 ? lines.length : end);
  lines.shift();
  return h("pre", {}, body.join("\n"));
}

const heading = (line) => h("p", { class: "md-heading" }, spans(line.replace(/^#+ /, "")));

function list(lines) {
  const ordered = LIST.exec(lines[0])[2] !== undefined;
  return h(ordered ? "ol" : "ul", {}, lines.map((line) => h("li", {}, spans(LIST.exec(line)[3]))));
}

const broken = (lines) => lines.flatMap((line, index) => (index ? [h("br"), ...spans(line)] : spans(line)));

const SPAN = /`([^`]+)`|\*\*(.+?)\*\*|__(.+?)__|~~(.+?)~~|\*([^*\s][^*]*)\*|\b_([^_]+)_\b|\[([^\]]+)\]\(([^)\s]+)\)/g;

function spans(text) {
  const nodes = [];
  let from = 0;
  for (const match of text.matchAll(SPAN)) {
    nodes.push(...autoLinked(withEmoji(text.slice(from, match.index))), span(match));
    from = match.index + match[0].length;
  }
  return [...nodes, ...autoLinked(withEmoji(text.slice(from)))];
}

function span([, code, strong, strongToo, struck, em, emToo, label, address]) {
  if (code) return h("code", {}, code);
  if (strong ?? strongToo) return h("strong", {}, spans(strong ?? strongToo));
  if (struck) return h("s", {}, spans(struck));
  if (em ?? emToo) return h("em", {}, spans(em ?? emToo));
  return link(address, label);
}
