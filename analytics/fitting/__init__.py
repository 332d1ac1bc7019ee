"""Fitting: from outcomes to the lens, the heads and the trade that routers decide by. Pure numpy, the same rows give the same
bytes.
"""
