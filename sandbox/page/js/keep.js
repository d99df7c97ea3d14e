// Choices that outlive a reload, where the browser allows it.

const PREFIX = "unlatch-sandbox:";

export function recall(name, fallback) {
  try {
    const text = localStorage.getItem(PREFIX + name);
    return text === null ? fallback : JSON.parse(text);
  } catch {
    return fallback; // storage switched off, or something else was written there
  }
}

export function keep(name, value) {
  try {
    localStorage.setItem(PREFIX + name, JSON.stringify(value));
  } catch {
    // Storage switched off or full: the choice lasts until the page is closed.
  }
}
