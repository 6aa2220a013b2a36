"""Short programs that draw the figures of the Learn page with the library, as the page shows them.

Each leaves what it draws in `figure`; a test runs every one of them.
"""

TRIANGLE = """\
import numpy as np
from emdpo.learn.triangle import EXAMPLE, marks, regrets
from emdpo.plots.learning_triangle import triangle_figure

types = EXAMPLE.sized([50, 30, 20])            # people of each type
mine = np.array([0.5, 0.3, 0.2])               # my policy: a point of the triangle
print(regrets(types, "mixture", mine).share)   # what each type loses, as a share
for rule, (form, weights) in marks(types).items():
    print(rule, form, weights.round(3), regrets(types, form, weights).share.max())
figure = triangle_figure(types, mine, form="mixture", kind="share")
"""

HEDGE = """\
from emdpo.core.aggregation import min_max_regret_mixture
from emdpo.core.hedge import hedge_rounds
from emdpo.learn.triangle import EXAMPLE
from emdpo.plots.learning_hedge import hedge_gap_figure

game = EXAMPLE.regret_matrix                   # row: who is served, column: whose policy
print(min_max_regret_mixture(game))            # exact, by linear programming
rounds = hedge_rounds(game, n_rounds=100)
print(rounds.average[-1], rounds.gap[-1])      # what 100 rounds reach, and how far off at most
figure = hedge_gap_figure(EXAMPLE, rounds, shown=100)
"""

WHOSE_AVERAGE = """\
from emdpo.learn.whose_average import case, verdicts
from emdpo.plots.learning_average import verdicts_figure

types = case(
    utilities=[[10, 7, 3, 4], [2, 4, 9, 5], [5, 2, 6, 4]],   # a row a type, a column an answer
    sizes=[45, 30, 25],
    answers="ABCD",
)
found = verdicts(types, noise=0.0)
for rule, verdict in found.items():
    print(rule, verdict.scores.round(2), [types.answers[i] for i in verdict.winners])
figure = verdicts_figure(types, found)
"""

EXAMPLES = {"triangle": TRIANGLE, "hedge": HEDGE, "whose average": WHOSE_AVERAGE}
"""Every program, by the figure that it draws."""
