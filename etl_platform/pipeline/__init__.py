"""A delivery's way from the landing zone to the warehouse. Knows neither Dagster nor a particular store.

`load.py` tells the whole way of many deliveries; the assets in `defs/` tell the same, one function a step.
"""
