/* What this page asks of the server, and what this browser keeps: a random token, and what is not sent yet. */

const PATIENCE_MS = 20_000;

/** The room's code, as the address says it; empty where that is no text. */
export const code = (() => {
  try {
    return decodeURIComponent(location.pathname.split("/").pop()).trim().toUpperCase();
  } catch {
    return "";
  }
})();

/** What this browser keeps of the room; where it keeps nothing, this page does while it is open. */
export const kept = {
  inMemory: {},
  get(name) {
    try {
      return JSON.parse(localStorage.getItem(`emdpo-room-${code}-${name}`)) ?? this.inMemory[name] ?? null;
    } catch {
      return this.inMemory[name] ?? null;
    }
  },
  set(name, value) {
    this.inMemory[name] = value;
    try {
      localStorage.setItem(`emdpo-room-${code}-${name}`, JSON.stringify(value));
      return true;
    } catch {
      return false;
    }
  },
  drop(...names) {
    for (const name of names) {
      delete this.inMemory[name];
      try {
        localStorage.removeItem(`emdpo-room-${code}-${name}`);
      } catch { /* it keeps nothing anyway */ }
    }
  },
};

/** Return a token of 192 random bits; `crypto.randomUUID` needs https, which classrooms may not have. */
export function newToken() {
  const bytes = crypto.getRandomValues(new Uint8Array(24));
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_");
}

/**
 * Ask once. Return {status, body}; status 0 where there was no answer, so that nobody knows whether it was done.
 */
export async function ask(method, path, body) {
  const token = kept.get("me");
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const options = { method, headers, cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) };
  if (body !== undefined) options.body = JSON.stringify(body);
  try {
    const response = await fetch(`${encodeURIComponent(code)}/${path}`, options);
    return { status: response.status, body: await response.json() };
  } catch {
    return { status: 0, body: { error: "no answer from the server" } };
  }
}

const pause = (ms) => new Promise((done) => { setTimeout(done, ms); });

/** Ask until the server has answered; tell `waiting` each time it has not. It must be safe to ask twice. */
export async function askUntilAnswered(method, path, body, waiting) {
  for (let wait = 1_000; ; wait = Math.min(wait * 1.6, 15_000)) {
    const said = await ask(method, path, body);
    if (said.status !== 0 && said.status < 500) return said;
    waiting();
    await pause(wait * (0.7 + 0.6 * Math.random()));  // a class must not come back all at once
  }
}
