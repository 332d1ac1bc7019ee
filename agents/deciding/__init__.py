"""How it is decided: pure functions and frozen values, nothing else.

Comes in: what people wrote (workflows, catalogue, settings), what was learned (profiles) and the
features of one request. Goes out: a plan with its propensities and its reasoning. Nothing here
reads a file, a clock, the environment or a random source: all of them are parameters.
Files are read by ``agents.loading``.
"""
