"""Reading the files that people write: workflows, the strategy catalogue, the settings.

Comes in: paths. Goes out: the values of ``agents.deciding``, or ``InvalidFile`` with every mistake
at its line and column. Keeps nothing. The only place beside the shells where such files are opened.
"""
