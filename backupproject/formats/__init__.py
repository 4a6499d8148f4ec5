"""How values are written on pages that are not our own: Django's administration."""
