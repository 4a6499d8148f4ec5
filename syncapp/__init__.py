"""The backup itself: sources, destinations, the catalog, the engine and its faces."""
