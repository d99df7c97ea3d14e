// Keeping the keyboard inside what lies on top.

export const REACHABLE = "a[href], button:not([disabled]), input:not([disabled]), select:not([disabled]), summary, textarea:not([disabled]), [tabindex]:not([tabindex='-1'])";

/** Everything in `root` that Tab can reach, in order. */
export function reachable(root) {
  return [...root.querySelectorAll(REACHABLE)].filter((node) => node.offsetParent !== null && !node.closest("[inert]"));
}

/** Before `node` goes away: the keyboard in it moves to the nearest stop after it, else before it. */
export function handOver(node) {
  if (!node.contains(document.activeElement)) return;
  const stops = reachable(node.closest(".column, .panel") ?? document).filter((stop) => !node.contains(stop));
  const after = (stop) => node.compareDocumentPosition(stop) & Node.DOCUMENT_POSITION_FOLLOWING;
  (stops.find(after) ?? stops.at(-1))?.focus({ preventScroll: true });
}

/** Tab goes round inside `root`; Escape calls `leave`. */
export function trap(root, leave) {
  root.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      event.stopPropagation();
      leave();
    }
    if (event.key === "Tab") goRound(event, reachable(root));
  });
}

function goRound(event, stops) {
  const [first, last] = [stops[0], stops.at(-1)];
  const edge = event.shiftKey ? first : last;
  if (document.activeElement !== edge) return;
  event.preventDefault();
  (event.shiftKey ? last : first).focus();
}
