"""The boxes of the picture (router, generator, evaluator) and, beside them, the pure modules that decide."""
