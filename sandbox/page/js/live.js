// Snapshots as they come.

const AGAIN_AFTER_MS = 2000;

/** Calls `onState(snapshot)` for every change and `onLink(connected)` when the connection comes or goes. */
export function follow(onState, onLink) {
  const source = new EventSource("sandbox/events");
  source.addEventListener("open", () => onLink(true));
  source.addEventListener("state", (event) => onState(JSON.parse(event.data)));
  source.addEventListener("error", () => {
    onLink(false);
    // The browser itself tries again after a broken connection, but not after an HTTP error.
    if (source.readyState === EventSource.CLOSED) setTimeout(() => follow(onState, onLink), AGAIN_AFTER_MS);
  });
}
