"""Gold: tables computed from silver and from each other. One file per table in `tables/`."""
