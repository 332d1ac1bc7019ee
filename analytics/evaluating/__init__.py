"""How well what was learned holds on real outcomes and utterances: the measures of `penstock evaluate`, by the code that serves."""
