"""How well a request was answered: automatic scores, the reward, and what is remembered until feedback comes. Pure."""
