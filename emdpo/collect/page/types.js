/* The types of the room and one's own, as soon as whoever runs it has looked for them. */

import { make } from "./dom.js";
import { ask } from "./server.js";

const EVERY_MS = 8_000;

const percent = (share) => `${Math.round(100 * share)}%`;

/** Return the section that `watchTypes` fills. */
export const typesSection = () => make("section", { id: "types", "aria-live": "polite" });

/** Keep a section up to date while it is on the page and in sight. */
export async function watchTypes(section) {
  let shown = "";
  while (section.isConnected) {
    if (document.visibilityState === "visible") {
      const said = await ask("GET", "me/types");
      const seen = JSON.stringify(said.body);
      if (said.status === 200 && seen !== shown) {
        shown = seen;
        section.replaceChildren(...(said.body.found ? found(said.body.found) : waiting()));
      }
    }
    await new Promise((done) => { setTimeout(done, EVERY_MS * (0.8 + 0.4 * Math.random())); });
  }
}

const waiting = () => [
  make("h2", {}, "Which type are you?"),
  make("p", {}, "Nobody has looked for types yet. When they are found, they and yours appear here by themselves."),
];

function found({ n_people: people, n_rankings: rankings, types, you, run, chat }) {
  return [
    make("h2", {}, "Which type are you?"),
    ...(you ? own(you) : [make("p", {}, "There is nothing to tell yet: put the answers of a question in order.")]),
    make("h2", {}, types.length === 1 ? "One type in this room" : `${types.length} types in this room`),
    make("p", { class: "hint" }, `From ${rankings} rankings by ${people} people. In brackets: where the share lies for 95 of 100 such rooms.`),
    make("ul", { class: "types" }, types.map((each) => type(each, you))),
    run ? link(run, chat, you) : null,
  ].filter(Boolean);
}

const likeliest = (you) => you.posterior.indexOf(Math.max(...you.posterior)) + 1;

function own(you) {
  return [
    make("p", { class: `verdict type-${likeliest(you)}` }, you.verdict),
    ...you.doubts.map((doubt) => make("p", { class: "doubt" }, doubt)),
    make("div", { class: "posterior" }, you.posterior.map((p, k) => bar(`Type ${k + 1}`, p, k + 1))),
    make("details", {}, make("summary", {}, "What this rests on"),
      make("p", {}, you.prior),
      make("ul", { class: "rests-on" }, you.rests_on.map((one) => make("li", {}, make("q", {}, one.prompt), ` ${one.says}`)))),
  ];
}

function bar(name, share, number) {
  const meter = make("progress", { max: "1", value: share, class: `type-${number}`, "aria-label": `${name}, ${percent(share)}` });
  return make("div", { class: "bar" }, make("span", {}, name), meter, make("b", {}, sure(share)));
}

/** A probability is never told as certain. */
const sure = (p) => (p >= 0.995 ? "over 99%" : p < 0.005 ? "under 1%" : percent(p));

function type({ number, share, low, high, wishes }, you) {
  const mine = you && likeliest(you) === number;
  return make(
    "li",
    { class: `card type-${number}` },
    make("b", {}, `Type ${number}${mine ? " (most likely yours)" : ""}`),
    make("span", {}, ` ${percent(share)} of the room (${percent(low)} to ${percent(high)})`),
    wishes.length ? make("ul", {}, wishes.map((wish) => make("li", {}, wish))) : make("p", {}, "No clear wish."),
  );
}

function link(run, chat, you) {
  const target = { href: `../?run=${encodeURIComponent(run)}`, target: "_blank", rel: "noopener" };
  const own = you ? `Type ${likeliest(you)}` : "a type";
  const words = chat ? `Chat with ${own}` : "Open all that was found";
  const how = chat ? ` It opens the whole run: there press 4 Chat and choose ${own}.` : " Portraits of the types, rankings under random ids, and an audit.";
  return make("p", {}, make("a", target, words), how);
}
