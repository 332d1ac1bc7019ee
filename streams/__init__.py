"""Where it flows: the topic registry, the codec, delivery, dead letters, and the command line on top. No decisions."""
