"""Short programs that draw the figures of the Learn page with the library, as the page shows them.

Each leaves what it draws in `figure`; a test runs every one of them.
"""

_PAIRS = """\
import numpy as np
from emdpo.learn.designs import INDIFFERENT, designs, divergence, love_and_hate
from emdpo.learn.opposed import em_paths
from emdpo.learn.sampling import sample_answers
from emdpo.learn.surfaces import expected_surface
from emdpo.plots.learning_pairs import answers_figure, surface_figure

truth = love_and_hate(theta={theta}, n_types={types})
figures = []
for design in designs(n_answers={answers}):        # single pairs, best of three, linked pairs
    print(design.key, divergence(design, truth, INDIFFERENT), "nats a person")
    sample = sample_answers(design, truth, {people}, np.random.default_rng({seed}))
    paths = em_paths(sample.rankings(), truth.n_types, np.random.default_rng({seed}))
    print([path.points[-1] for path in paths])     # strength and leaning that each start reaches
    surface = expected_surface(design, truth, n_people={people})
    figure = surface_figure(surface, truth, paths)
    figures += [answers_figure(design, truth), figure]
"""


def pairs_program(theta: float, types: int, answers: int, people: int, seed: int) -> str:
    """Return the program that draws the six pictures of figure 1 at these settings."""
    return _PAIRS.format(theta=theta, types=types, answers=answers, people=people, seed=seed)


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

EXAMPLES = {
    "pairs": pairs_program(1.5, 2, 2, 400, 0),
    "triangle": TRIANGLE,
    "hedge": HEDGE,
    "whose average": WHOSE_AVERAGE,
}
"""Every program, by the figure that it draws."""
