/* One question's answers, put in order by dragging, by buttons or by keys. */

import { button, longText, make, say } from "./dom.js";
import { isTied, moved, rankAt, tieToggled } from "./order.js";

/**
 * Return the list of a question's answers.
 *
 * `groups` is the order to begin with; `changed` is told every new one.
 */
export function sorting(responses, groups, changed) {
  const list = make("ol", { class: "order", "aria-label": "Answers, best first" });
  const cards = responses.map((text, place) => card(text, place));
  let now = groups;

  function card(text, place) {
    const rank = make("span", { class: "rank" });
    const up = button("↑ Up", () => shift(place, -1, up, down), { class: "small" });
    const down = button("↓ Down", () => shift(place, 1, down, up), { class: "small" });
    const tie = button("= As good as above", () => toggle(place), { class: "small tie" });
    const handle = make("span", { class: "handle", "aria-hidden": "true" }, "⠿");
    const [body, more] = longText(text);
    const tools = make("div", { class: "tools" }, up, down, tie);
    const item = make("li", { class: "card" }, rank, make("div", { class: "said" }, body, more, tools), handle);
    item.addEventListener("keydown", (event) => {
      const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
      if (!event.altKey || !step) return;
      event.preventDefault();
      shift(place, step, event.target, event.target);
    });
    return { item, rank, up, down, tie };
  }

  function set(groupsNow, told) {
    now = groupsNow;
    draw();
    changed(now);
    say(told);
  }

  function shift(place, step, pressed, otherwise) {
    const from = now.flat().indexOf(place);
    const to = from + step;
    if (to < 0 || to >= responses.length) return;
    set(moved(now, from, to), `Moved to place ${to + 1} of ${responses.length}.`);
    (pressed.disabled ? otherwise : pressed).focus();
  }

  function toggle(place) {
    const index = now.flat().indexOf(place);
    const tied = !isTied(now, index);
    set(tieToggled(now, index), tied ? "Now as good as the one above." : "Now less good than the one above.");
    cards[place].tie.focus();
  }

  function draw() {
    const places = now.flat();
    places.forEach((place, index) => {
      const { item, rank, up, down, tie } = cards[place];
      const tied = isTied(now, index);
      list.append(item);
      rank.textContent = rankAt(now, index);
      rank.setAttribute("aria-label", `rank ${rankAt(now, index)}`);
      item.classList.toggle("tied", tied);
      up.disabled = index === 0;
      down.disabled = index === places.length - 1;
      tie.hidden = index === 0;
      tie.setAttribute("aria-pressed", String(tied));
    });
  }

  draw();
  window.Sortable.create(list, {
    handle: ".handle",
    animation: matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : 150,
    forceFallback: true,  // one behaviour for mouse and touch
    onEnd: ({ oldIndex, newIndex }) => {
      const told = `Moved to place ${newIndex + 1} of ${responses.length}.`;
      set(moved(now, oldIndex, newIndex), told);
    },
  });
  return list;
}
