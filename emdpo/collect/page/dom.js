/* Building the page: whatever people wrote becomes text, never markup. */

/** Return an element; properties and attributes by name, children as elements or text. */
export function make(tag, settings = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(settings)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "onclick" || name === "onsubmit") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

export const button = (label, onclick, settings = {}) => make("button", { type: "button", onclick, ...settings }, label);

/** Show a screen: its heading gets the focus, so that screen readers begin there. */
export function show(title, ...parts) {
  const heading = make("h1", { tabindex: "-1" }, title);
  document.getElementById("main").replaceChildren(heading, ...parts.flat().filter(Boolean));
  document.title = title;
  scrollTo(0, 0);
  heading.focus({ preventScroll: true });
}

const BRIEFLY_MS = 5_000;
let hiding = 0;

/** Say a line, which is read aloud, too; kind is "", "busy", "good", "warning" or "error"; "" and "good" go again. */
export function say(text, kind = "") {
  const state = document.getElementById("state");
  clearTimeout(hiding);
  if (kind === "" || kind === "good") hiding = setTimeout(() => { state.textContent = ""; }, BRIEFLY_MS);
  state.className = `state ${kind}`;
  state.textContent = text;
}

/** Return a text of which only the beginning is seen where it is long; the rest by a button. */
export function longText(text) {
  const body = make("p", { class: "text" }, text);
  const more = button("Read all of it", () => {
    const open = body.classList.toggle("open");
    more.textContent = open ? "Less" : "Read all of it";
    more.setAttribute("aria-expanded", String(open));
  }, { class: "more", hidden: true, "aria-expanded": "false" });
  requestAnimationFrame(() => { more.hidden = body.scrollHeight <= body.clientHeight + 2; });
  return [body, more];
}
