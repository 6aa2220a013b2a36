/* Orders with ties: groups of places, best first, those of a group equally good. Nothing is changed in place. */

/** Return the order in which n answers are shown, without ties. */
export const asShown = (n) => Array.from({ length: n }, (_, place) => [place]);

/** Return the rank of the answer at an index from the top; 1 = best, equal ones share theirs. */
export const rankAt = (groups, index) => groups.findIndex((_, g) => index < sizeOf(groups, g + 1)) + 1;

/** Return whether the answer at an index is as good as the one above it. */
export const isTied = (groups, index) => index > 0 && rankAt(groups, index) === rankAt(groups, index - 1);

const sizeOf = (groups, end) => groups.slice(0, end).reduce((sum, group) => sum + group.length, 0);

/**
 * Return the order after the answer at index `from` was put at index `to`.
 *
 * It leaves the ones it was tied with; put between two that are tied, it is tied with them.
 */
export function moved(groups, from, to) {
  if (from === to) return groups;
  const place = groups.flat()[from];
  const rest = groups.map((group) => group.filter((each) => each !== place)).filter((g) => g.length);
  for (let g = 0; g < rest.length; g += 1) {
    const offset = to - sizeOf(rest, g);
    if (offset === 0) return [...rest.slice(0, g), [place], ...rest.slice(g)];
    if (offset < rest[g].length) {
      const joined = [...rest[g].slice(0, offset), place, ...rest[g].slice(offset)];
      return [...rest.slice(0, g), joined, ...rest.slice(g + 1)];
    }
  }
  return [...rest, [place]];
}

/** Return the order in which the answer at an index >= 1 is, or is no longer, tied with the one above. */
export function tieToggled(groups, index) {
  const g = rankAt(groups, index) - 1;
  const offset = index - sizeOf(groups, g);
  if (offset > 0) {
    return [...groups.slice(0, g), groups[g].slice(0, offset), groups[g].slice(offset), ...groups.slice(g + 1)];
  }
  return [...groups.slice(0, g - 1), [...groups[g - 1], ...groups[g]], ...groups.slice(g + 1)];
}
