"""The embedded models behind OpenAI's chat-completions protocol.

In: HTTP requests as any OpenAI client sends them. Out: answers put together from sentences of the
passages in the prompt, with the CPU time they took. Kept: nothing between requests. Fails: with
OpenAI-shaped errors. The three models are extractive: they generate no text of their own.
"""
