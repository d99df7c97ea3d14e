// What people do, sent to the sandbox.

/** POSTs JSON below `sandbox/`. Never throws: `{ok, data, error}`, the error a sentence to show. */
export const post = (path, body) => ask(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });

/** DELETEs what is below `sandbox/`; answers as `post` does. */
export const remove = (path) => ask(path, { method: "DELETE" });

async function ask(path, options) {
  try {
    const answer = await fetch(`sandbox/${path}`, options);
    const data = await answer.json().catch(() => ({}));
    const error = answer.ok ? null : (data.error ?? `The sandbox answered ${answer.status}.`);
    return { ok: answer.ok, data, error };
  } catch {
    return { ok: false, data: {}, error: "The sandbox does not answer. Is it still running in the terminal?" };
  }
}

/** The same, as one person. */
export const postAs = (personId, action, body) => post(`people/${encodeURIComponent(personId)}/${action}`, body);
