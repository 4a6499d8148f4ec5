"""Set-up, the demo and the upkeep of the project. The product imports nothing from here."""
