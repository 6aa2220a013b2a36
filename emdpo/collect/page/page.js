/* The way of a participant: the code, consent, questions one by one, an overview with their type, withdrawal. */

import { button, make, say, show } from "./dom.js";
import { asShown } from "./order.js";
import { ask, askUntilAnswered, code, kept, newToken } from "./server.js";
import { sorting } from "./sorting.js";
import { typesSection, watchTypes } from "./types.js";

const NAMES = { ranked: "ordered", cannot_say: "cannot say", skipped: "skipped" };

let room = null;
let tasks = [];
let closed = false;

async function begin() {
  if (!code) return askForCode();
  const said = await askUntilAnswered("GET", "room", undefined, () => say("No answer from the server. Trying again.", "warning"));
  say("");
  if (said.status !== 200) return askForCode(said.body.error);
  room = said.body;
  return kept.get("me") ? comeBack() : welcome();
}

function askForCode(problem = "") {
  const input = make("input", { id: "code", autocomplete: "off", autocapitalize: "characters", maxlength: "12", required: true });
  const form = make(
    "form",
    { onsubmit: (event) => { event.preventDefault(); location.assign(`./${encodeURIComponent(input.value.trim().toUpperCase())}`); } },
    make("label", { for: "code" }, "The room's code, six letters and digits"),
    input,
    make("button", { class: "primary" }, "Enter"),
  );
  show("Which room?", make("p", {}, "Whoever opened the room has a link, a picture and a code for you."), form);
  if (problem) say(problem, "error");
}

function welcome() {
  if (room.closed) return show(room.title, make("p", {}, "This room is closed: it takes nobody in any more."));
  const agreed = make("input", { type: "checkbox", id: "agreed", required: true });
  const asked = room.groups.map(groupField);
  const form = make(
    "form",
    { onsubmit: (event) => { event.preventDefault(); join(asked); } },
    asked.length ? make("fieldset", {}, make("legend", {}, "About you, if you like: you may leave all of it open"), asked.map((each) => each.row)) : null,
    make("label", { class: "agree" }, agreed, make("span", {}, "I have read this and agree")),
    make("button", { class: "primary", id: "begin" }, "Begin"),
  );
  const n = room.per_person;
  const task = n === 1 ? "one question with several answers" : `${n} questions with several answers each`;
  show(
    room.title,
    make("p", {}, `You get ${task}. Put the answers in the order in which you like them, best first. There is no right or wrong.`),
    make("h2", {}, "What happens with what you say"),
    make("p", { class: "consent" }, room.consent),
    form,
  );
  return footer();
}

function groupField({ name, choices }, index) {
  const id = `group-${index}`;
  const field = choices.length
    ? make("select", { id }, make("option", { value: "" }, "I leave this open"), choices.map((choice) => make("option", { value: choice }, choice)))
    : make("input", { id, maxlength: "80", autocomplete: "off" });
  return { name, field, row: make("p", {}, make("label", { for: id }, name), field) };
}

async function join(asked) {
  const token = kept.get("me") ?? newToken();
  const remembers = kept.set("me", token);  // before it is sent: whoever joins twice is one person
  const groups = Object.fromEntries(asked.filter(({ field }) => field.value.trim()).map(({ name, field }) => [name, field.value]));
  const form = document.querySelector("form");
  form.inert = true;
  say("Beginning ...", "busy");
  const said = await askUntilAnswered("POST", "people", { token, agreed: true, groups }, notYet);
  form.inert = false;
  if (said.status !== 200) {
    kept.drop("me");
    return say(said.body.error, "error");
  }
  take(said.body);
  next();
  return say(remembers ? "" : "This browser keeps nothing: once you close this page you cannot come back.", remembers ? "" : "warning");
}

const notYet = () => say("Not saved yet: no answer from the server. Trying again ...", "warning");

async function comeBack() {
  const unsent = kept.get("unsent");
  if (unsent) {
    say("Saving what was not sent ...", "busy");
    const sent = await askUntilAnswered("PUT", `me/answers/${unsent.position}`, unsent.body, notYet);
    kept.drop("unsent");
    if (sent.status !== 200 && sent.status !== 401) say(sent.body.error, "error");
    else say(sent.status === 200 ? "Saved." : "", "good");
  }
  const said = await askUntilAnswered("GET", "me", undefined, () => say("No answer from the server. Trying again ...", "warning"));
  if (said.status === 401) {
    kept.drop("me", "draft");
    return welcome();
  }
  if (said.status !== 200) return say(said.body.error, "error");
  take(said.body);
  return next();
}

function take(me) {
  tasks = me.tasks;
  closed = me.closed;
  footer();
}

/** Show the first open question after one, or the overview when none is open. */
function next(after = -1) {
  const open = (task, position) => !task.answer && position > after;
  const position = tasks.findIndex(open);
  const any = position >= 0 ? position : tasks.findIndex((task) => !task.answer);
  return any < 0 || closed ? overview() : question(any);
}

function question(position) {
  const task = tasks[position];
  const draft = kept.get("draft");
  const before = task.answer?.outcome === "ranked" ? task.answer.order : null;
  let order = draft?.position === position ? draft.order : before ?? asShown(task.responses.length);
  const save = button("", () => send(position, { outcome: "ranked", order }), { class: "primary", id: "save" });
  const label = (touched) => { save.textContent = touched ? "Save this order" : "This order is mine already"; };
  label(before !== null || draft?.position === position);
  const list = sorting(task.responses, order, (changed) => {
    order = changed;
    kept.set("draft", { position, order });
    label(true);
  });
  show(
    `Question ${position + 1} of ${tasks.length}`,
    make("progress", { max: tasks.length, value: tasks.filter((each) => each.answer).length, "aria-label": "Questions answered" }),
    make("p", { class: "prompt" }, task.prompt),
    make("p", { class: "hint" }, "Best on top. Drag by the dots, or use the buttons (Alt with arrow keys works, too)."),
    list,
    make("div", { class: "buttons" }, save, button("I cannot say", () => send(position, { outcome: "cannot_say", order: [] })), button("Skip", () => send(position, { outcome: "skipped", order: [] }))),
    make("div", { class: "buttons quiet" }, position > 0 ? button("Back", () => question(position - 1)) : null, button("All questions, and my type", overview)),
  );
}

/** Send an answer until the server has it; only then is it called saved. */
async function send(position, said) {
  const body = { token: newToken(), ...said, replaces: tasks[position].answer?.token ?? null };
  kept.set("unsent", { position, body });
  const main = document.getElementById("main");
  main.inert = true;
  say("Saving ...", "busy");
  const answer = await askUntilAnswered("PUT", `me/answers/${position}`, body, notYet);
  main.inert = false;
  kept.drop("unsent");
  if (answer.status !== 200) return refused(answer, position);
  kept.drop("draft");
  tasks[position].answer = { token: body.token, outcome: body.outcome, order: body.order };
  next(position);
  return say("Saved.", "good");
}

async function refused({ status, body }, position) {
  if (status === 401) {
    kept.drop("me", "draft");
    welcome();
    return say("You are no longer in this room: withdrawn, or taken out by whoever opened it.", "error");
  }
  const said = await ask("GET", "me");
  if (said.status === 200) take(said.body);
  if (status === 409) {
    kept.drop("draft");
    question(position);
  } else if (closed) overview();
  return say(body.error, "error");
}

function overview() {
  const count = (outcome) => tasks.filter((task) => task.answer?.outcome === outcome).length;
  const open = tasks.filter((task) => !task.answer).length;
  const sums = [`${count("ranked")} ordered`, `${count("cannot_say")} cannot say`, `${count("skipped")} skipped`, `${open} open`].join(", ");
  const rows = tasks.map((task, position) => make(
    "li",
    {},
    closed ? make("span", { class: "prompt" }, task.prompt) : button(task.prompt, () => question(position), { class: "link" }),
    make("span", { class: "outcome" }, NAMES[task.answer?.outcome] ?? "open"),
  ));
  const types = typesSection();
  show(
    open && !closed ? "Where you are" : "Thank you",
    make("p", {}, `All of this is saved: ${sums}.`),
    closed ? make("p", {}, "The room is closed: answers can no longer be given or changed.") : null,
    open && !closed ? make("div", { class: "buttons" }, button("Go on", () => next(), { class: "primary" })) : null,
    types,
    make("h2", {}, "Your questions"),
    closed ? null : make("p", { class: "hint" }, "Press one to change its answer."),
    make("ol", { class: "questions" }, rows),
  );
  watchTypes(types);
}

function footer() {
  const joined = kept.get("me") !== null;
  const parts = [make("p", {}, joined
    ? "You may close this page at any time: this browser brings you back, with the same link. No name and no address of yours is kept."
    : "No account, no cookies; no name and no address of yours is kept.")];
  if (joined) parts.push(button("Withdraw and delete all of mine", () => document.getElementById("withdrawing").showModal(), { class: "link", id: "withdraw" }));
  document.getElementById("footer").replaceChildren(...parts);
}

async function withdraw() {
  document.getElementById("withdrawing").close();
  say("Deleting ...", "busy");
  const said = await askUntilAnswered("DELETE", "me", undefined, () => say("Not deleted yet: no answer from the server. Trying again ...", "warning"));
  if (said.status !== 200) return say(said.body.error, "error");
  kept.drop("me", "draft", "unsent");
  footer();
  show("You have withdrawn", make("p", {}, "All that you gave in this room is deleted, and every result that was made with it."));
  return say("Deleted.", "good");
}

document.getElementById("do-withdraw").onclick = withdraw;
document.getElementById("do-not-withdraw").onclick = () => document.getElementById("withdrawing").close();
begin();
