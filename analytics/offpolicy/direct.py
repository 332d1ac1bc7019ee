"""The direct part: what every strategy would have brought, by ridge regression, never fitted on the request that it is asked about.

In: a log, an assignment of its requests to folds. Out: predictions of every outcome of every strategy. Keeps nothing. Cannot fail
on a log that was checked: a strategy that was never chosen is predicted by the part that all share.

How it works. Requests are described by their features and by their nearness to kinds of request, which are found in the features
alone (as the lens of the heads does it, but of whatever was logged): which strategy can answer depends on what kind of thing is
asked. The outcome of strategy k on such an x (standardised, with a constant) is (s + o_k) . x: a shared part s and an own
part o_k that is shrunk to nothing harder, so that a strategy with few requests borrows from the others. With G_k = X_k'X_k and
b_k = X_k'y_k over its requests, o_k is eliminated (Schur complement) and s solves one system of d equations:

    o_k = (G_k + L_o)^-1 (b_k - G_k s),   (L_s + sum G_k - G_k (G_k + L_o)^-1 G_k) s = sum b_k - G_k (G_k + L_o)^-1 b_k

Each fold is predicted by the fit on the others (cross-fitting, Chernozhukov et al. 2018), which keeps the doubly robust estimate
free of the bias of a model that has seen its answer. The strengths of shrinkage were chosen on both outcome files and hardly
matter: what is left is the noise of single outcomes.
"""

import numpy as np

from agents.deciding.lens import nearness
from analytics.fitting.clusters import kinds_of
from analytics.offpolicy.logged import Floats, Integers, Logged

SHARED_SHRINKAGE = 5.0
OWN_SHRINKAGE = 50.0
"""Of own slopes: as many requests as outweigh it."""
OWN_MEAN_SHRINKAGE = 2.0
_MEAN_SHRINKAGE = 1e-3
KINDS = 24
REQUESTS_A_KIND = 25
REACH = 1.6
"""Mean squared distance of a request from the middle of all, in the units of the lens's sharpness."""
_READ = 4_000


def design(features: Floats) -> Floats:
    """(n, 1 + d): a constant, and the features with mean 0 and variance 1; a feature that is constant counts for nothing."""
    spread = features.std(axis=0)
    return np.column_stack(
        [np.ones(len(features)), (features - features.mean(axis=0)) / np.where(spread > 0, spread, 1.0)]
    )


def described(features: Floats) -> Floats:
    """(n, 1 + d'): the design of the features and of the nearness to kinds, which no outcome was used for."""
    plain = design(features)
    varying = plain[:, 1:][:, np.any(plain[:, 1:] != 0.0, axis=0)]
    kinds = min(KINDS, len(features) // REQUESTS_A_KIND)
    if kinds <= 1 or not varying.shape[1]:
        return plain
    places = varying * np.sqrt(REACH / varying.shape[1])
    near = nearness(places, kinds_of(places[:: max(1, -(-len(places) // _READ))], kinds))
    return np.column_stack([plain, design(near)[:, 1:]])


def fit_heads(x: Floats, outcomes: Floats, chosen: Integers, strategies: int) -> Floats:
    """(d, K, m) coefficients from a design (n, d) and outcomes (n, m)."""
    d, m = x.shape[1], outcomes.shape[1]
    shared = np.full(d, SHARED_SHRINKAGE)
    own = np.full(d, OWN_SHRINKAGE)
    shared[0], own[0] = _MEAN_SHRINKAGE, OWN_MEAN_SHRINKAGE
    left, right = np.diag(shared), np.zeros((d, m))
    parts = []
    for k in range(strategies):
        of_k = chosen == k
        gram, moment = x[of_k].T @ x[of_k], x[of_k].T @ outcomes[of_k]
        inverse = np.linalg.inv(gram + np.diag(own))
        left += gram - gram @ inverse @ gram
        right += moment - gram @ inverse @ moment
        parts.append((gram, moment, inverse))
    common = np.linalg.solve(left, right)
    heads = [common + inverse @ (moment - gram @ common) for gram, moment, inverse in parts]
    return np.stack(heads, axis=1)


def predictions(log: Logged, names: tuple[str, ...], folds: Integers) -> Floats:
    """(n, K, m): every outcome of every strategy, each request predicted without its own fold; ``folds``: (n,)."""
    x = described(log.features)
    outcomes = np.column_stack([log.outcomes[name] for name in names])
    scale = np.where((spread := outcomes.std(axis=0)) > 0, spread, 1.0)
    k = len(log.strategies)
    predicted = np.empty((len(log), k, len(names)))
    for fold in np.unique(folds):
        inside = folds == fold
        heads = fit_heads(x[~inside], outcomes[~inside] / scale, log.chosen[~inside], k)
        predicted[inside] = (x[inside] @ heads.reshape(x.shape[1], -1)).reshape(-1, k, len(names)) * scale
    return predicted
