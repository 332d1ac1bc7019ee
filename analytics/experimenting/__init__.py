"""Two versions side by side on live requests: evidence that stays valid however often one looks, and what follows from it. Pure."""
